#pragma once

#include <span>
#include <string>

#include "policy/compile/model.h"
#include "policy/runtime/facts.h"
#include "policy/runtime/verdict.h"

namespace sallyport::test {

/// A policy as a document that compiles back to it.
std::string to_yaml(const PolicyModel& policy);

/// What decide() must say, found by walking every rule with plain comparisons: no clauses, sets,
/// intervals or Hyperscan. `policies` are in the order they are tried in.
Decision reference_decide(std::span<const PolicyModel> policies, const FlowFacts& facts);

}  // namespace sallyport::test
