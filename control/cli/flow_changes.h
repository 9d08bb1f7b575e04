#pragma once

#include <cstdint>
#include <expected>
#include <istream>
#include <string>
#include <vector>

#include "control/cli/loaded_policy.h"
#include "policy/compile/flow_text.h"
#include "policy/runtime/verdict.h"

namespace sallyport {

/// A recorded flow that two policies decide differently.
struct FlowChange {
  uint64_t line = 0;  ///< Of the records, from 1.
  FlowDescription flow;
  Decision before;
  Decision after;
  std::string old_rule;  ///< "policy/rule" or a reason: what gave the decision.
  std::string new_rule;
};

/// What became of a file of flow records.
struct FlowChanges {
  uint64_t read = 0;  ///< Flows.
  uint64_t changed = 0;
  uint64_t newly_allowed = 0;
  uint64_t newly_denied = 0;
  std::vector<FlowChange> flows;  ///< The first kMaxFlowChanges of `changed`.
};
inline constexpr size_t kMaxFlowChanges = 10'000;

/// Decides every record, one JSON object a line, with both tables. A flow changes when its verdict
/// does, or whether it would be denied.
/// @param now  Unix seconds, for records without a time.
/// @return     the changes, or the first line that is no flow record, as "line 3: why".
std::expected<FlowChanges, std::string> compare_flows(std::istream& records,
                                                      const PolicyTable& before,
                                                      const PolicyTable& after, int64_t now);

}  // namespace sallyport
