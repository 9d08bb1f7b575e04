#pragma once

#include <optional>
#include <vector>

#include "policy/compile/explain.h"

namespace sallyport {

/// What a walk over the rules, one after the other, comes to.
struct WalkResult {
  Decision decision;
  std::vector<TriedRule> tried;
  size_t skipped = 0;
};

/// Tries every rule in order, as the language is described and without the compiled table, so that
/// an explanation can be held against decide().
/// @param labels  All labels of the source; nothing while they are unknown.
WalkResult walk_rules(const PolicyModels& models, const FlowFacts& facts,
                      const std::optional<Labels>& labels, RuleMatcher& matcher);

}  // namespace sallyport
