#include "control/cli/flow_reasons.h"

#include <algorithm>
#include <array>

namespace sallyport {
namespace {

constexpr std::array kReasons{
    FlowReasonText{"undecided", "it ended before it was decided"},
    FlowReasonText{"rule", "the named rule says so", true},
    FlowReasonText{"default_deny", "no rule matches, or none that could would allow it", true},
    FlowReasonText{"no_policy", "no policy was ever loaded: without one everything is denied"},
    FlowReasonText{"scan_error", "the name matcher reported an error"},
    FlowReasonText{"destination_binding",
                   "the rule allows it, but only to addresses that a trusted resolver gave for the "
                   "name: binding.resolvers",
                   true},
    FlowReasonText{"budget_exceeded", "the budget of the rule is spent", true},
    FlowReasonText{"inbound_pass", "it was opened from outside, and inbound_flows is pass"},
    FlowReasonText{"malformed", "the client's first bytes break their protocol"},
    FlowReasonText{"overlap_conflict", "two segments disagree about the same byte"},
    FlowReasonText{"reassembly_limit",
                   "too much was said before it could be decided: inspection.held_bytes_per_flow"},
    FlowReasonText{"held_memory_full",
                   "the worker held inspection.held_packets_per_worker packets already"},
    FlowReasonText{"fact_memory_full", "there was no room to keep what it was decided by"},
    FlowReasonText{"inspection_limit", "the worker read as many flows as inspection lets it"},
    FlowReasonText{"budget_ledger_full",
                   "the rule has a budget, and there was no room to count it: budgets.entries"},
    FlowReasonText{"inspection_timeout",
                   "the client had not said what it wants after inspection.timeout_seconds"},
    FlowReasonText{"facts_not_inspected",
                   "the policy asks for a fact that was not, or cannot be, looked for"},
    FlowReasonText{"midstream", "the flow is older than the gateway: its start was not seen"},
    FlowReasonText{"undecodable_quic",
                   "QUIC datagrams that nobody without the client's keys can read"},
    FlowReasonText{"log_ring_full", "there was no room for the record of its verdict"},
};

}  // namespace

std::optional<FlowReasonText> flow_reason(std::string_view name) noexcept {
  const auto* found = std::ranges::find(kReasons, name, &FlowReasonText::name);
  if (found == kReasons.end()) return {};
  return *found;
}

}  // namespace sallyport
