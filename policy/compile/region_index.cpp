#include "policy/compile/region_index.h"

#include <algorithm>
#include <bit>

namespace sallyport {
namespace {

constexpr unsigned kWordBits = 64;
/// So few clauses are as soon explored as left out.
constexpr size_t kFew = 8;
constexpr Axis kSpanAxes[] = {Axis::destination, Axis::source, Axis::l4, Axis::app};

void set(std::vector<uint64_t>& bits, uint32_t bit) {
  bits[bit / kWordBits] |= uint64_t{1} << (bit % kWordBits);
}

size_t count(const std::vector<uint64_t>& bits) {
  size_t out = 0;
  for (const uint64_t word : bits) out += static_cast<size_t>(std::popcount(word));
  return out;
}

uint32_t condition_of(const RegionSpace::Clause& clause, Axis axis) {
  return clause.conditions[static_cast<unsigned>(axis)];
}

}  // namespace

RegionIndex::RegionIndex(const RegionSpace& space)
    : space_(space), words_(space.clauses().size() / kWordBits + 1) {
  index_clauses();
  for (const Axis axis : kSpanAxes) index_spans(axis);
  index_names();
  index_labels();
}

void RegionIndex::index_clauses() {
  for (AxisIndex& axis : axes_) axis.any.assign(words_, 0);
  for (uint32_t clause = 0; clause < space_.clauses().size(); ++clause) {
    for (const Axis axis : {Axis::name, Axis::destination, Axis::source, Axis::l4, Axis::app}) {
      const uint32_t condition = condition_of(space_.clauses()[clause], axis);
      AxisIndex& index = axes_[static_cast<unsigned>(axis)];
      if (condition == kAnyValue) {
        set(index.any, clause);
      } else {
        index.by_condition[condition].push_back(clause);
      }
    }
  }
}

void RegionIndex::index_spans(Axis axis) {
  AxisIndex& index = axes_[static_cast<unsigned>(axis)];
  auto& [sorted, reach] = index.spans;
  for (const auto& bucket : index.by_condition) {
    for (const Interval& one : space_.intervals(axis, bucket.first)) {
      sorted.push_back({one.first, one.last, bucket.first});
    }
  }
  std::ranges::sort(sorted, {}, &Span::first);
  const size_t leaves = std::bit_ceil(std::max<size_t>(sorted.size(), 1));
  reach.assign(2 * leaves, 0);
  for (size_t i = 0; i < sorted.size(); ++i) reach[leaves + i] = sorted[i].last;
  for (size_t i = leaves; i-- > 1;) reach[i] = std::max(reach[2 * i], reach[2 * i + 1]);
}

void RegionIndex::index_names() {
  for (const auto& bucket : axes_[static_cast<unsigned>(Axis::name)].by_condition) {
    if ((bucket.first & kRegexName) != 0) {
      regexes_.push_back(bucket.first);
      continue;
    }
    const auto& list = space_.names(bucket.first);
    for (const uint32_t id : list.exact) exact_[id].push_back(bucket.first);
    for (const uint32_t id : list.under) under_[id].push_back(bucket.first);
  }
  const auto note = [&](const auto& names, const auto& others) {
    for (const auto& entry : names) {
      if (&names != &others && others.contains(entry.first)) continue;
      for (const uint32_t parent : space_.above(entry.first)) {
        below_[parent].push_back(entry.first);
      }
    }
  };
  note(exact_, exact_);
  note(under_, exact_);
}

void RegionIndex::index_labels() {
  for (uint32_t clause = 0; clause < space_.clauses().size(); ++clause) {
    const uint32_t condition = condition_of(space_.clauses()[clause], Axis::labels);
    if (condition == kAnyValue) continue;
    for (const auto& label : space_.predicate(Axis::labels, condition).predicate.labels) {
      Bits& bits = by_label_key_[label.first];
      bits.resize(words_);
      set(bits, clause);
      by_label_[label].push_back(clause);
    }
  }
}

/// The spans of node's part [low, high) of the sorted ones that meet `wanted`.
void RegionIndex::spans_meeting(const Spans& spans, const Interval& wanted, size_t node, size_t low,
                                size_t high, std::vector<uint32_t>& out) const {
  if (low >= spans.sorted.size() || spans.sorted[low].first > wanted.last ||
      spans.reach[node] < wanted.first) {
    return;
  }
  if (high - low == 1) {
    out.push_back(spans.sorted[low].condition);
    return;
  }
  const size_t middle = low + (high - low) / 2;
  spans_meeting(spans, wanted, 2 * node, low, middle, out);
  spans_meeting(spans, wanted, 2 * node + 1, middle, high, out);
}

/// Lists that hold this very name.
void RegionIndex::exact_meeting(uint32_t name, std::vector<uint32_t>& out) const {
  const auto add = [&](const auto& map, uint32_t id) {
    const auto it = map.find(id);
    if (it != map.end()) out.insert(out.end(), it->second.begin(), it->second.end());
  };
  add(exact_, name);
  for (const uint32_t parent : space_.above(name)) add(under_, parent);
}

void RegionIndex::names_meeting(uint32_t condition, std::vector<uint32_t>& out) const {
  const auto add = [&](const auto& map, uint32_t id) {
    const auto it = map.find(id);
    if (it != map.end()) out.insert(out.end(), it->second.begin(), it->second.end());
  };
  out.insert(out.end(), regexes_.begin(), regexes_.end());
  if ((condition & kRegexName) != 0) {
    for (const auto& bucket : axes_[static_cast<unsigned>(Axis::name)].by_condition) {
      out.push_back(bucket.first);
    }
    return;
  }
  const auto& list = space_.names(condition);
  for (const uint32_t id : list.exact) exact_meeting(id, out);
  for (const uint32_t id : list.under) {
    add(under_, id);
    for (const uint32_t parent : space_.above(id)) add(under_, parent);
    const auto below = below_.find(id);
    if (below == below_.end()) continue;
    for (const uint32_t name : below->second) {
      add(exact_, name);
      add(under_, name);
    }
  }
}

const Candidates& RegionIndex::met_by(Axis axis, uint32_t condition) {
  AxisIndex& index = axes_[static_cast<unsigned>(axis)];
  const auto [it, fresh] = index.met.try_emplace(condition);
  if (!fresh) return it->second;
  std::vector<uint32_t> conditions;
  if (axis == Axis::name) {
    names_meeting(condition, conditions);
  } else {
    for (const Interval& one : space_.intervals(axis, condition)) {
      spans_meeting(index.spans, one, 1, 0, index.spans.reach.size() / 2, conditions);
    }
  }
  std::ranges::sort(conditions);
  conditions.erase(std::ranges::unique(conditions).begin(), conditions.end());
  for (const uint32_t one : conditions) {
    const Candidates& clauses = index.by_condition.at(one);
    it->second.insert(it->second.end(), clauses.begin(), clauses.end());
  }
  return it->second;
}

/// A source has one value a label.
void RegionIndex::drop_other_labels(uint32_t condition, Bits& bits) const {
  for (const auto& label : space_.predicate(Axis::labels, condition).predicate.labels) {
    Bits other = by_label_key_.at(label.first);
    for (const uint32_t clause : by_label_.at(label)) {
      other[clause / kWordBits] &= ~(uint64_t{1} << (clause % kWordBits));
    }
    for (size_t i = 0; i < words_; ++i) bits[i] &= ~other[i];
  }
}

/// The axis whose lists are the longest comes last: it is not asked where few are left anyway.
RegionIndex::Bits RegionIndex::meeting_clause(uint32_t clause) {
  const auto& one = space_.clauses()[clause];
  Bits out(words_, ~uint64_t{0});
  out.back() = (uint64_t{1} << (space_.clauses().size() % kWordBits)) - 1;  // None but clauses.
  const uint32_t labels = condition_of(one, Axis::labels);
  if (labels != kAnyValue) drop_other_labels(labels, out);
  for (const Axis axis : {Axis::source, Axis::destination, Axis::l4, Axis::app, Axis::name}) {
    const uint32_t condition = condition_of(one, axis);
    if (condition == kAnyValue) continue;
    if (count(out) <= kFew) break;
    Bits meets = axes_[static_cast<unsigned>(axis)].any;
    for (const uint32_t other : met_by(axis, condition)) set(meets, other);
    for (size_t i = 0; i < words_; ++i) out[i] &= meets[i];
  }
  return out;
}

Candidates RegionIndex::meeting(uint32_t rule, uint32_t end) {
  const auto& info = space_.rules()[rule];
  Bits all(words_, 0);
  for (uint32_t clause = info.first_clause; clause < info.first_clause + info.clauses; ++clause) {
    const Bits bits = meeting_clause(clause);
    for (size_t i = 0; i < words_; ++i) all[i] |= bits[i];
    set(all, clause);
  }
  Candidates out;
  for (size_t i = 0; i < words_; ++i) {
    for (uint64_t word = all[i]; word != 0; word &= word - 1) {
      const auto clause = static_cast<uint32_t>(i * kWordBits + std::countr_zero(word));
      if (clause >= end) return out;
      out.push_back(clause);
    }
  }
  return out;
}

}  // namespace sallyport
