#include "dataplane/inspect/flow.h"

#include <array>

namespace sallyport {

FlowKey flow_key(const Endpoints& endpoints, uint32_t vlan_ids, Direction direction) noexcept {
  FlowKey key;
  const bool outbound = direction == Direction::outbound;
  key.inside = outbound ? endpoints.source : endpoints.destination;
  key.outside = outbound ? endpoints.destination : endpoints.source;
  key.inside_port = outbound ? endpoints.source_port : endpoints.destination_port;
  key.outside_port = outbound ? endpoints.destination_port : endpoints.source_port;
  key.ip_protocol = endpoints.ip_protocol;
  for (size_t i = 0; i < sizeof key.vlan_ids; ++i) {
    key.vlan_ids[i] = static_cast<uint8_t>(vlan_ids >> 8 * i);
  }
  return key;
}

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
      "undecided",          "rule",
      "default_deny",       "no_policy",
      "scan_error",         "destination_binding",
      "budget_exceeded",    "inbound_pass",
      "malformed",          "overlap_conflict",
      "reassembly_limit",   "held_memory_full",
      "fact_memory_full",   "inspection_limit",
      "inspection_timeout", "facts_not_inspected"};
  static_assert(!kNames.back().empty(), "a name for each FlowReason");
  return kNames[static_cast<size_t>(reason)];
}

}  // namespace sallyport
