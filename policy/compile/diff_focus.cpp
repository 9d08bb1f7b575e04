#include "policy/compile/diff_focus.h"

#include <algorithm>
#include <map>

#include "policy/compile/region.h"

namespace sallyport {
namespace {

using Content = std::vector<uint32_t>;

void append(uint64_t value, Content& out) {
  out.push_back(static_cast<uint32_t>(value));
  out.push_back(static_cast<uint32_t>(value >> 32));
}

/// All that a rule says, but for its name and its document's.
Content content_of(const RegionSpace& space, const RegionSpace::Rule& rule) {
  const RuleTerms terms = terms_of(rule);
  Content out{static_cast<uint32_t>(terms.action),
              static_cast<uint32_t>(terms.tier),
              static_cast<uint32_t>(terms.mode),
              static_cast<uint32_t>(terms.on_deny),
              static_cast<uint32_t>(terms.log),
              static_cast<uint32_t>(terms.binding),
              terms.budget.window_seconds,
              static_cast<uint32_t>(terms.budget.scope),
              static_cast<uint32_t>(terms.budget.on_exceed)};
  append(terms.budget.bytes_out, out);
  for (uint32_t i = 0; i < rule.clauses; ++i) {
    const auto& clause = space.clauses()[rule.first_clause + i];
    out.insert(out.end(), clause.conditions.begin(), clause.conditions.end());
    out.push_back(clause.by_name ? 1 : 0);
  }
  return out;
}

/// For each rule of one side, its twin among the other's: the n-th with a content is the twin of
/// the other side's n-th.
std::vector<std::pair<uint32_t, uint32_t>> twins(const RegionSpace& space) {
  std::map<Content, std::pair<std::vector<uint32_t>, size_t>> before;
  std::vector<std::pair<uint32_t, uint32_t>> out;
  for (uint32_t rule = 0; rule < space.rules().size(); ++rule) {
    const auto& info = space.rules()[rule];
    const Content content = content_of(space, info);
    if (info.side == 0) {
      before[content].first.push_back(rule);
      continue;
    }
    const auto found = before.find(content);
    if (found == before.end()) continue;
    auto& [rules, used] = found->second;
    if (used < rules.size()) out.emplace_back(rules[used++], rule);
  }
  return out;
}

/// The most twins that stand in the same order on both sides: the longest increasing subsequence.
std::vector<bool> unchanged(const RegionSpace& space) {
  const auto pairs = twins(space);  // In the order of the second side.
  std::vector<size_t> tails;        // Of the best run of each length, the pair that it ends with.
  std::vector<size_t> previous(pairs.size(), SIZE_MAX);
  for (size_t i = 0; i < pairs.size(); ++i) {
    const auto at = std::ranges::lower_bound(tails, pairs[i].first, {},
                                             [&](size_t tail) { return pairs[tail].first; });
    if (at != tails.begin()) previous[i] = *std::prev(at);
    if (at == tails.end()) {
      tails.push_back(i);
    } else {
      *at = i;
    }
  }
  std::vector<bool> out(space.rules().size(), false);
  for (size_t i = tails.empty() ? SIZE_MAX : tails.back(); i != SIZE_MAX; i = previous[i]) {
    out[pairs[i].first] = true;
    out[pairs[i].second] = true;
  }
  return out;
}

/// What the changed clauses speak of on one axis; nothing where one of them has no condition there.
std::optional<Intervals> reach_of(const RegionSpace& space, const Candidates& changed, Axis axis) {
  Intervals out;
  for (const uint32_t clause : changed) {
    const uint32_t one = space.clauses()[clause].conditions[static_cast<unsigned>(axis)];
    if (one == kAnyValue) return std::nullopt;
    const Intervals& keys = space.intervals(axis, one);
    out.insert(out.end(), keys.begin(), keys.end());
  }
  return normalised(std::move(out));
}

}  // namespace

DiffFocus find_focus(const RegionSpace& space) {
  DiffFocus out;
  const std::vector<bool> same = unchanged(space);
  for (uint32_t clause = 0; clause < space.clauses().size(); ++clause) {
    out.candidates.push_back(clause);
    if (!same[space.clauses()[clause].rule]) out.changed.push_back(clause);
  }
  for (const Axis axis : {Axis::destination, Axis::source, Axis::l4, Axis::app}) {
    const auto reach = reach_of(space, out.changed, axis);
    if (!reach) continue;
    std::erase_if(out.candidates, [&](uint32_t clause) {
      const uint32_t one = space.clauses()[clause].conditions[static_cast<unsigned>(axis)];
      return one != kAnyValue && !overlap(space.intervals(axis, one), *reach);
    });
  }
  return out;
}

}  // namespace sallyport
