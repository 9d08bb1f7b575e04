#pragma once

#include <algorithm>
#include <array>
#include <string_view>

#include "dataplane/io/counters.h"

namespace sallyport {

/// What one more of a family is one of.
struct FamilyUnit {
  std::string_view family;
  std::string_view unit;
};

/// One line a family. Documents and tests read this.
inline constexpr std::array<FamilyUnit, 46> kFamilyUnits{{
    {"sallyport_packets_total", "packets"},
    {"sallyport_bytes_total", "bytes"},
    {"sallyport_missed_packets_total", "packets"},
    {"sallyport_port_errors_total", "frames"},
    {"sallyport_link_control_packets_total", "packets"},
    {"sallyport_handed_off_packets_total", "packets"},
    {"sallyport_taken_over_packets_total", "packets"},
    {"sallyport_turned_packets_total", "packets"},
    {"sallyport_resets_sent_total", "packets"},
    {"sallyport_tls_alerts_sent_total", "packets"},
    {"sallyport_http_forbidden_sent_total", "packets"},
    {"sallyport_acks_sent_total", "packets"},
    {"sallyport_icmp_errors_sent_total", "packets"},
    {"sallyport_icmp_errors_limited_total", "packets"},
    {"sallyport_replies_lost_total", "packets"},
    {"sallyport_multipath_removed_total", "packets"},
    {"sallyport_fragments_total", "fragments"},
    {"sallyport_fragments_joined_total", "fragments"},
    {"sallyport_atomic_fragments_total", "packets"},
    {"sallyport_datagrams_reassembled_total", "datagrams"},
    {"sallyport_datagrams_cut_total", "datagrams"},
    {"sallyport_verdicts_total", "verdicts"},
    {"sallyport_budget_exceeded_total", "verdicts"},
    {"sallyport_budget_ledger_full_total", "verdicts"},
    {"sallyport_budget_state_failures_total", "writes"},
    {"sallyport_budget_state_behind_seconds", "seconds"},
    {"sallyport_bindings_learnt_total", "addresses"},
    {"sallyport_bindings_evicted_total", "addresses"},
    {"sallyport_bindings_refused_total", "addresses"},
    {"sallyport_events_lost_total", "events"},
    {"sallyport_polls_total", "turns"},
    {"sallyport_flows", "flows"},
    {"sallyport_held_packets", "packets"},
    {"sallyport_guard_packets", "packets"},
    {"sallyport_held_bytes", "bytes"},
    {"sallyport_held_fragments", "fragments"},
    {"sallyport_flow_table_capacity", "flows"},
    {"sallyport_handoff_ring_packets", "packets"},
    {"sallyport_handoff_ring_capacity", "packets"},
    {"sallyport_event_ring_lines", "lines"},
    {"sallyport_event_ring_capacity", "lines"},
    {"sallyport_budget_entries", "budgets"},
    {"sallyport_drops_total", "packets"},
    {"sallyport_inspection_faults_total", "flows"},
    {"sallyport_exceptions_total", "events"},
    {"sallyport_exception_fails_open", "switch"},
}};

constexpr std::string_view unit_of(std::string_view family) noexcept {
  const auto found = std::ranges::find(kFamilyUnits, family, &FamilyUnit::family);
  return found == kFamilyUnits.end() ? std::string_view{} : found->unit;
}

static_assert(std::ranges::all_of(kCounterInfo,
                                  [](const CounterInfo& info) {
                                    return !unit_of(info.family).empty();
                                  }),
              "a family of kCounterInfo has no unit");

}  // namespace sallyport
