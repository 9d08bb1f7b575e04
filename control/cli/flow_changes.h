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
  uint64_t unreadable = 0;        ///< Lines that are no flow record; they are passed over.
  std::vector<std::string> whys;  ///< Of the first kMaxUnreadableShown of them: "line 3: why".
};
inline constexpr size_t kMaxUnreadableShown = 5;
inline constexpr size_t kMaxFlowChanges = 10'000;

/// Decides every record, one JSON object a line, with both tables. A flow changes when its verdict
/// does, or whether it would be denied.
/// @param now  Unix seconds, for records without a time.
/// @return     the changes; an error when the records cannot be read, or no line is a record.
std::expected<FlowChanges, std::string> compare_flows(std::istream& records,
                                                      const PolicyTable& before,
                                                      const PolicyTable& after, int64_t now);

}  // namespace sallyport
