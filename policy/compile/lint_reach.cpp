#include "policy/compile/lint_reach.h"

#include <algorithm>

namespace sallyport {
namespace {

/// In clauses looked at: about a tenth of a second for one rule.
constexpr uint64_t kMaxSteps = 4'000'000;
/// What all rules may cost together: a few seconds for a thousand of them.
constexpr uint64_t kFirstSteps = 20'000'000;
constexpr uint64_t kStepsARule = 40'000;
/// So many rules that cover another are thinned out to the ones that matter.
constexpr size_t kMaxThinned = 16;

RegionSpace space_of(const PolicyModels& models) {
  RegionSpace out;
  out.add(models);
  return out;
}

/// An audit Deny lets pass, yet not as an Allow does.
bool same_effect(const RegionSpace::Rule& a, const RegionSpace::Rule& b) {
  const RuleTerms x = terms_of(a);
  const RuleTerms y = terms_of(b);
  return x.action == y.action && (x.action != RuleAction::deny || x.mode == y.mode);
}

}  // namespace

RuleReach::RuleReach(const PolicyModels& models, int64_t now)
    : space_(space_of(models)),
      index_(space_),
      engine_(space_, {time_key(now), time_key(INT64_MAX)}, kMaxSteps),
      steps_left_(kFirstSteps) {}

Candidates RuleReach::own_clauses(uint32_t rule) const {
  const auto& info = space_.rules()[rule];
  Candidates out;
  for (uint32_t i = 0; i < info.clauses; ++i) out.push_back(info.first_clause + i);
  return out;
}

RegionEngine::Found RuleReach::find(const Candidates& list, const RegionEngine::Target& target) {
  const Candidates own = own_clauses(target.rule);
  for (const uint32_t clause : own) engine_.splitter().focus(clause, true);
  engine_.limit_steps(std::min(kMaxSteps, steps_left_));
  const uint64_t before = engine_.splitter().steps();
  auto out = engine_.find(list, target);
  steps_left_ -= std::min(steps_left_, engine_.splitter().steps() - before);
  for (const uint32_t clause : own) engine_.splitter().focus(clause, false);
  return out;
}

RuleReach::Answer RuleReach::reach(uint32_t rule) {
  steps_left_ += kStepsARule;
  const auto& info = space_.rules()[rule];
  const Candidates all = index_.meeting(rule, info.first_clause + info.clauses);
  auto found = find(all, {rule, false});
  Answer out;
  if (found.region) {
    out.region = std::move(found.region);
    return out;
  }
  out.kind = Answer::Kind::undecided;
  if (engine_.end() != SearchEnd::complete) return out;
  const bool matches = find(own_clauses(rule), {rule, false}).region.has_value();
  if (!matches && engine_.end() != SearchEnd::complete) return out;
  out.kind = matches ? Answer::Kind::covered : Answer::Kind::never_matches;
  if (!matches) return out;
  const std::vector<uint32_t> by(found.deciders.begin(), found.deciders.end());
  std::vector<uint32_t> like;
  for (const uint32_t one : by) {
    if (same_effect(space_.rules()[one], info)) like.push_back(one);
  }
  const Cover cover{rule, all, by};
  out.same_effect = !like.empty() && covers(cover, like);
  out.by = fewest(cover, out.same_effect ? like : by);
  return out;
}

/// Whether the rule decides nothing behind these of its deciders. Every Pass that is none of them
/// stays: what it hands on to the next tier is not decided where it stands.
bool RuleReach::covers(const Cover& cover, const std::vector<uint32_t>& by) {
  Candidates list;
  for (const uint32_t clause : cover.candidates) {
    const uint32_t other = space_.clauses()[clause].rule;
    const bool stays = space_.rules()[other].model->terms.action == RuleAction::pass &&
                       !std::ranges::binary_search(cover.deciders, other);
    if (stays || other == cover.rule || std::ranges::binary_search(by, other)) {
      list.push_back(clause);
    }
  }
  return !find(list, {cover.rule, false}).region && engine_.end() == SearchEnd::complete;
}

std::vector<uint32_t> RuleReach::fewest(const Cover& cover, std::vector<uint32_t> by) {
  if (by.size() > kMaxThinned) return by;
  for (size_t i = by.size(); i-- > 0 && by.size() > 1;) {
    std::vector<uint32_t> without = by;
    without.erase(without.begin() + static_cast<std::ptrdiff_t>(i));
    if (covers(cover, without)) by = std::move(without);
  }
  return by;
}

std::optional<uint32_t> RuleReach::deny_behind(uint32_t rule) {
  const auto all = index_.meeting(rule, static_cast<uint32_t>(space_.clauses().size()));
  const auto found = find(all, {rule, true});
  if (!found.region || engine_.end() != SearchEnd::complete) return std::nullopt;
  return found.behind;
}

}  // namespace sallyport
