#include <algorithm>

#include "policy/compile/region.h"

namespace sallyport {

RegionEngine::Found RegionEngine::find(const Candidates& list, const Target& target) {
  target_ = target;
  end_ = SearchEnd::complete;
  max_steps_ = splitter_.steps() + steps_each_;
  splitter_.limit(max_steps_);
  found_ = {};
  path_ = {};
  memo_.clear();
  search(list, Axis::name, {});
  target_.reset();
  return std::move(found_);
}

/// Depth first, in the order in which a hit is likely. The memo holds what was searched in vain.
bool RegionEngine::search(Candidates list, Axis from, RegionContext context) {
  splitter_.charge(list.size() + kStepsEach);
  if (spent()) return false;
  const Deeper deeper(depth_);
  list = cut(list, from, context);
  if (!splitter_.any_in_focus(list)) return false;
  if (hit(list, from, context)) {
    found_.region = path_;
    std::ranges::sort(found_.region->answers);
    return true;
  }
  const Axis axis = splitter_.next_axis(list, from, context);
  if (axis == Axis::binding) return false;
  if (axis != from || is_interval(axis)) context.enter(axis);
  std::vector<uint32_t> key = memo_key(list, axis, context);
  if (memo_.contains(key)) return false;
  RegionSplit outside;
  outside.axis = axis;
  for (const uint32_t clause : list) {
    const auto condition = space_.clauses()[clause].conditions[static_cast<unsigned>(axis)];
    if (condition == kAnyValue) outside.any.push_back(clause);
  }
  if (splitter_.any_in_focus(outside.any)) {
    outside.parts = splitter_.outside(axis, context);
    if (search_parts(outside)) return true;
  }
  RegionSplit split = splitter_.split(list, axis, context);
  std::ranges::stable_sort(split.parts, {},
                           [](const RegionSplit::Part& part) { return part.conditions.size(); });
  if (search_parts(split)) return true;
  memo_.emplace(std::move(key), 0);
  return false;
}

bool RegionEngine::search_parts(const RegionSplit& split) {
  const Axis axis = split.axis;
  const bool predicate = axis != Axis::name && !is_interval(axis);
  const Axis next = predicate ? axis : axis_at(static_cast<unsigned>(axis) + 1);
  for (const RegionSplit::Part& part : split.parts) {
    if (predicate) {
      path_.answers.push_back({axis, split.predicate, part.label[0].first == 1});
    } else {
      path_.keys[axis] = part.label;
    }
    if (search(split.members(part), next, part.context)) return true;
    if (predicate) {
      path_.answers.pop_back();
    } else {
      path_.keys.erase(axis);
    }
  }
  return false;
}

/// Whether what is left is a flow as wanted: the target decides it and, where that is asked, an
/// enforced Deny of another rule would be next.
bool RegionEngine::hit(const Candidates& list, Axis axis, const RegionContext& context) {
  if (!target_) return false;
  const auto rule_at = [&](size_t i) { return space_.clauses()[list[i]].rule; };
  if (rule_at(0) != target_->rule || !splitter_.settled(list[0], axis, context)) return false;
  if (!target_->deny_behind) return true;
  size_t next = 1;
  while (next < list.size() && rule_at(next) == target_->rule) ++next;
  if (next == list.size() || !splitter_.settled(list[next], axis, context)) return false;
  const RuleTerms terms = terms_of(space_.rules()[rule_at(next)]);
  found_.behind = rule_at(next);
  return terms.action == RuleAction::deny && terms.mode == PolicyMode::enforce;
}

}  // namespace sallyport
