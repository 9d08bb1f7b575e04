#pragma once

#include <optional>
#include <span>
#include <string>

#include "policy/compile/model.h"
#include "policy/runtime/facts.h"
#include "policy/runtime/identity.h"
#include "policy/runtime/verdict.h"

namespace sallyport::test {

/// A policy as documents that compile back to it, sets included.
std::string to_yaml(const PolicyModel& policy);
std::string to_yaml(const DestinationSetModel& set);
std::string to_yaml(const PolicyModels& models);

/// What decide() must say, found by walking every rule with plain comparisons: no clauses, sets,
/// intervals or Hyperscan. `identities` is none when no feed is loaded.
Decision reference_decide(const PolicyModels& models,
                          const std::optional<std::vector<Identity>>& identities,
                          const FlowFacts& facts);

}  // namespace sallyport::test
