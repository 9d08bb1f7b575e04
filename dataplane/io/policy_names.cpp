#include "dataplane/io/policy_names.h"

namespace sallyport {

void PolicyNames::add(uint32_t generation, const PolicyTable& table) {
  Names names{.revision = table.revision()};
  names.rules.reserve(table.rule_count());
  for (uint32_t i = 0; i < table.rule_count(); ++i) {
    const RuleInfo rule = table.rule(i);
    names.rules.push_back({.revision = names.revision,
                           .policy = std::string(rule.policy),
                           .rule = std::string(rule.name),
                           .tier = rule.terms.tier,
                           .mode = rule.terms.mode});
  }
  const std::lock_guard lock(mutex_);
  generations_[generation] = std::move(names);
  while (generations_.size() > kGenerationsKept) generations_.erase(generations_.begin());
}

PolicyNames::Found PolicyNames::find(uint32_t generation, uint32_t rule) const {
  const std::lock_guard lock(mutex_);
  const auto at = generations_.find(generation);
  if (at == generations_.end()) return {};
  if (rule < at->second.rules.size()) return at->second.rules[rule];
  return {.revision = at->second.revision};
}

}  // namespace sallyport
