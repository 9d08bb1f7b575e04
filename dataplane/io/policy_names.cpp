#include "dataplane/io/policy_names.h"

namespace sallyport {

void PolicyNames::add(uint32_t generation, const PolicyTable& table) {
  Names names{.revision = table.revision()};
  names.rules.reserve(table.rule_count());
  for (uint32_t i = 0; i < table.rule_count(); ++i) {
    const RuleInfo rule = table.rule(i);
    names.rules.emplace_back(rule.policy, rule.name);
  }
  const std::lock_guard lock(mutex_);
  generations_[generation] = std::move(names);
  while (generations_.size() > kGenerationsKept) generations_.erase(generations_.begin());
}

PolicyNames::Found PolicyNames::find(uint32_t generation, uint32_t rule) const {
  const std::lock_guard lock(mutex_);
  const auto at = generations_.find(generation);
  if (at == generations_.end()) return {};
  Found found{.revision = at->second.revision};
  if (rule < at->second.rules.size()) {
    found.policy = at->second.rules[rule].first;
    found.rule = at->second.rules[rule].second;
  }
  return found;
}

}  // namespace sallyport
