#include "dataplane/inspect/flow.h"

#include <array>

namespace sallyport {

std::string_view to_string(FlowState state) noexcept {
  switch (state) {
    case FlowState::free:
      return "free";
    case FlowState::pending:
      return "pending";
    case FlowState::allowed:
      return "allowed";
    case FlowState::denied:
      break;
  }
  return "denied";
}

std::string_view to_string(FlowReason reason) noexcept {
  static constexpr std::array<std::string_view, static_cast<size_t>(FlowReason::count_)> kNames{
      "undecided",           "rule",
      "default_deny",        "no_policy",
      "scan_error",          "destination_binding",
      "budget_exceeded",     "inbound_pass",
      "malformed",           "overlap_conflict",
      "reassembly_limit",    "held_memory_full",
      "fact_memory_full",    "inspection_limit",
      "budget_ledger_full",  "inspection_timeout",
      "facts_not_inspected", "midstream",
      "undecodable_quic",    "log_ring_full"};
  static_assert(!kNames.back().empty(), "a name for each FlowReason");
  return kNames[static_cast<size_t>(reason)];
}

}  // namespace sallyport
