#pragma once

#include <string>
#include <vector>

#include "control/cli/flow_changes.h"
#include "control/common/json_text.h"
#include "policy/compile/diff.h"

namespace sallyport {

/// For people: one aligned line a change, then how many there are of each kind.
std::string diff_text(const PolicyDiff& diff);

/// The same with examples: {"changes": [...], "newly_allowed": 2, ..., "complete": true}.
Json diff_json(const PolicyDiff& diff, int64_t now);

/// One aligned line a flow that changes, the first ones only unless `all`, then how many do.
std::string flow_changes_text(const FlowChanges& changes, int64_t now, bool all);

/// {"read": 12, "changed": 3, "newly_allowed": 1, "newly_denied": 2, "flows": [...]}
Json flow_changes_json(const FlowChanges& changes, int64_t now);

}  // namespace sallyport
