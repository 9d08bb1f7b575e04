#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "dataplane/inspect/drop_reason.h"
#include "dataplane/inspect/exception.h"
#include "dataplane/inspect/flow.h"
#include "dataplane/inspect/identify.h"
#include "dataplane/inspect/packet.h"
#include "dataplane/io/histograms.h"
#include "dataplane/io/rule_hits.h"
#include "policy/runtime/measuring.h"
#include "policy/runtime/stats_layout.h"

namespace sallyport {

/// What each core counts, beside its drops and faults. Pairs ending in _outbound and _inbound stand
/// side by side, in the order of Direction: CoreCounters::add(Counter, Direction).
enum class Counter : uint8_t {
  rx_packets_inside,
  rx_packets_outside,
  rx_bytes_inside,
  rx_bytes_outside,
  tx_packets_inside,
  tx_packets_outside,
  tx_bytes_inside,
  tx_bytes_outside,
  missed_queue_full_inside,
  missed_queue_full_outside,
  missed_no_buffer_inside,
  missed_no_buffer_outside,
  port_errors_rx_inside,
  port_errors_rx_outside,
  port_errors_tx_inside,
  port_errors_tx_outside,
  link_control,
  handed_off_outbound,
  handed_off_inbound,
  taken_over_outbound,
  taken_over_inbound,
  turned_outbound,
  turned_inbound,
  resets_sent_outbound,
  resets_sent_inbound,
  tls_alerts_sent,
  http_forbidden_sent,
  acks_sent,
  icmp_errors_sent,
  icmp_errors_limited,
  replies_lost,
  multipath_removed,
  fragments_rx_outbound,
  fragments_rx_inbound,
  fragments_tx_outbound,
  fragments_tx_inbound,
  fragments_joined_outbound,
  fragments_joined_inbound,
  atomic_fragments,
  datagrams_reassembled_outbound,
  datagrams_reassembled_inbound,
  datagrams_cut_outbound,
  datagrams_cut_inbound,
  verdicts_allow_tls,
  verdicts_allow_quic,
  verdicts_allow_http,
  verdicts_allow_dns,
  verdicts_allow_unknown,
  verdicts_deny_tls,
  verdicts_deny_quic,
  verdicts_deny_http,
  verdicts_deny_dns,
  verdicts_deny_unknown,
  verdicts_audit_tls,
  verdicts_audit_quic,
  verdicts_audit_http,
  verdicts_audit_dns,
  verdicts_audit_unknown,
  budgets_exceeded_deny,
  budgets_exceeded_audit,
  budget_ledger_full,
  budget_state_failures,
  budget_state_behind,
  bindings_learnt,
  bindings_evicted,
  bindings_crowded_out,
  bindings_unasked,
  events_lost_ring_full,
  events_lost_write_failed,
  events_lost_sink_gone,
  events_lost_sink_slow,
  polls_busy,
  polls_idle,
  flows_pending,
  flows_allowed,
  flows_denied,
  held_packets,
  guard_packets,
  held_bytes,
  fragments_held_outbound,
  fragments_held_inbound,
  flow_table_capacity,
  handoff_waiting,
  handoff_capacity,
  event_ring_lines,
  event_ring_capacity,
  budget_entries,
  count_
};

struct CounterInfo {
  Counter id;
  StatsKind kind;
  std::string_view family;
  std::string_view labels;
  std::string_view help;
  std::string_view entry;  ///< What the books call it.
  BookSides books = {};    ///< Its part in them: policy/runtime/books.h.
};

inline constexpr std::string_view kVerdictsHelp =
    "Verdicts given to flows, requests and queries. Those of action=deny,mode=audit passed.";
inline constexpr std::string_view kPortErrorsHelp =
    "Frames that a port received damaged, or failed to send, as its driver counts (first core).";
/// The books of a direction, and both of them.
inline constexpr BookSides kIntoOutbound{1, 0, 0};
inline constexpr BookSides kIntoInbound{0, 1, 0};
inline constexpr BookSides kOutOfOutbound{-1, 0, 0};
inline constexpr BookSides kOutOfInbound{0, -1, 0};

inline constexpr size_t kCounters = static_cast<size_t>(Counter::count_);

/// One line a counter, in enum order: the stats segment and the tests read this.
inline constexpr std::array<CounterInfo, kCounters> kCounterInfo{{
    {Counter::rx_packets_inside, StatsKind::counter, "sallyport_packets_total",
     "direction=rx,port=inside", "Packets taken from or given to a port.", "received",
     kIntoOutbound},
    {Counter::rx_packets_outside, StatsKind::counter, "sallyport_packets_total",
     "direction=rx,port=outside", "Packets taken from or given to a port.", "received",
     kIntoInbound},
    {Counter::rx_bytes_inside, StatsKind::counter, "sallyport_bytes_total",
     "direction=rx,port=inside", "Frame bytes without FCS."},
    {Counter::rx_bytes_outside, StatsKind::counter, "sallyport_bytes_total",
     "direction=rx,port=outside", "Frame bytes without FCS."},
    {Counter::tx_packets_inside, StatsKind::counter, "sallyport_packets_total",
     "direction=tx,port=inside", "Packets taken from or given to a port.", "sent", kOutOfInbound},
    {Counter::tx_packets_outside, StatsKind::counter, "sallyport_packets_total",
     "direction=tx,port=outside", "Packets taken from or given to a port.", "sent", kOutOfOutbound},
    {Counter::tx_bytes_inside, StatsKind::counter, "sallyport_bytes_total",
     "direction=tx,port=inside", "Frame bytes without FCS."},
    {Counter::tx_bytes_outside, StatsKind::counter, "sallyport_bytes_total",
     "direction=tx,port=outside", "Frame bytes without FCS."},
    {Counter::missed_queue_full_inside, StatsKind::counter, "sallyport_missed_packets_total",
     "cause=queue_full,port=inside", "Packets a port lost before any core saw them (first core)."},
    {Counter::missed_queue_full_outside, StatsKind::counter, "sallyport_missed_packets_total",
     "cause=queue_full,port=outside", "Packets a port lost before any core saw them (first core)."},
    {Counter::missed_no_buffer_inside, StatsKind::counter, "sallyport_missed_packets_total",
     "cause=no_buffer,port=inside", "Packets a port lost before any core saw them (first core)."},
    {Counter::missed_no_buffer_outside, StatsKind::counter, "sallyport_missed_packets_total",
     "cause=no_buffer,port=outside", "Packets a port lost before any core saw them (first core)."},
    {Counter::port_errors_rx_inside, StatsKind::counter, "sallyport_port_errors_total",
     "direction=rx,port=inside", kPortErrorsHelp},
    {Counter::port_errors_rx_outside, StatsKind::counter, "sallyport_port_errors_total",
     "direction=rx,port=outside", kPortErrorsHelp},
    {Counter::port_errors_tx_inside, StatsKind::counter, "sallyport_port_errors_total",
     "direction=tx,port=inside", kPortErrorsHelp},
    {Counter::port_errors_tx_outside, StatsKind::counter, "sallyport_port_errors_total",
     "direction=tx,port=outside", kPortErrorsHelp},
    {Counter::link_control, StatsKind::counter, "sallyport_link_control_packets_total", "",
     "ARP and IPv6 neighbour discovery, passed without a flow."},
    {Counter::handed_off_outbound, StatsKind::counter, "sallyport_handed_off_packets_total",
     "towards=outside", "Packets given to the core that owns their flow.", "handed to other cores",
     BookSides{-1, 0, 1}},
    {Counter::handed_off_inbound, StatsKind::counter, "sallyport_handed_off_packets_total",
     "towards=inside", "Packets given to the core that owns their flow.", "handed to other cores",
     BookSides{0, -1, 1}},
    {Counter::taken_over_outbound, StatsKind::counter, "sallyport_taken_over_packets_total",
     "towards=outside", "Packets taken from the cores that received them.",
     "taken from other cores", BookSides{1, 0, -1}},
    {Counter::taken_over_inbound, StatsKind::counter, "sallyport_taken_over_packets_total",
     "towards=inside", "Packets taken from the cores that received them.", "taken from other cores",
     BookSides{0, 1, -1}},
    {Counter::turned_outbound, StatsKind::counter, "sallyport_turned_packets_total",
     "towards=outside",
     "Packets whose flow, not their port, says where they go (ports.orientation).", "turned round",
     BookSides{1, -1, 0}},
    {Counter::turned_inbound, StatsKind::counter, "sallyport_turned_packets_total",
     "towards=inside",
     "Packets whose flow, not their port, says where they go (ports.orientation).", "turned round",
     BookSides{-1, 1, 0}},
    {Counter::resets_sent_outbound, StatsKind::counter, "sallyport_resets_sent_total",
     "towards=outside", "TCP RSTs made for denied flows.", "resets made", kIntoOutbound},
    {Counter::resets_sent_inbound, StatsKind::counter, "sallyport_resets_sent_total",
     "towards=inside", "TCP RSTs made for denied flows.", "resets made", kIntoInbound},
    {Counter::tls_alerts_sent, StatsKind::counter, "sallyport_tls_alerts_sent_total", "",
     "TLS alerts access_denied sent to denied clients.", "TLS alerts made", kIntoInbound},
    {Counter::http_forbidden_sent, StatsKind::counter, "sallyport_http_forbidden_sent_total", "",
     "HTTP 403 answers sent to denied clients.", "answers 403 made", kIntoInbound},
    {Counter::acks_sent, StatsKind::counter, "sallyport_acks_sent_total", "",
     "Acknowledgements made for what denied clients still send.", "acknowledgements made",
     kIntoInbound},
    {Counter::icmp_errors_sent, StatsKind::counter, "sallyport_icmp_errors_sent_total", "",
     "ICMP errors 'administratively prohibited' sent to denied clients.", "ICMP errors made",
     kIntoInbound},
    {Counter::icmp_errors_limited, StatsKind::counter, "sallyport_icmp_errors_limited_total", "",
     "ICMP errors not sent: over 1,000 a second on one core."},
    {Counter::replies_lost, StatsKind::counter, "sallyport_replies_lost_total", "",
     "Resets, alerts, answers and ICMP errors not made for want of a buffer."},
    {Counter::multipath_removed, StatsKind::counter, "sallyport_multipath_removed_total", "",
     "SYNs whose Multipath TCP options were taken out."},
    {Counter::fragments_rx_outbound, StatsKind::counter, "sallyport_fragments_total",
     "direction=rx,towards=outside",
     "IP fragments taken in, or sent on behalf of whole datagrams."},
    {Counter::fragments_rx_inbound, StatsKind::counter, "sallyport_fragments_total",
     "direction=rx,towards=inside", "IP fragments taken in, or sent on behalf of whole datagrams."},
    {Counter::fragments_tx_outbound, StatsKind::counter, "sallyport_fragments_total",
     "direction=tx,towards=outside", "IP fragments taken in, or sent on behalf of whole datagrams.",
     "fragments cut", kIntoOutbound},
    {Counter::fragments_tx_inbound, StatsKind::counter, "sallyport_fragments_total",
     "direction=tx,towards=inside", "IP fragments taken in, or sent on behalf of whole datagrams.",
     "fragments cut", kIntoInbound},
    {Counter::fragments_joined_outbound, StatsKind::counter, "sallyport_fragments_joined_total",
     "towards=outside", "Fragments that were put together to datagrams.", "fragments put together",
     kOutOfOutbound},
    {Counter::fragments_joined_inbound, StatsKind::counter, "sallyport_fragments_joined_total",
     "towards=inside", "Fragments that were put together to datagrams.", "fragments put together",
     kOutOfInbound},
    {Counter::atomic_fragments, StatsKind::counter, "sallyport_atomic_fragments_total", "",
     "IPv6 packets whose fragment header was taken out: they were whole."},
    {Counter::datagrams_reassembled_outbound, StatsKind::counter,
     "sallyport_datagrams_reassembled_total", "towards=outside",
     "Datagrams put together from fragments.", "datagrams put together", kIntoOutbound},
    {Counter::datagrams_reassembled_inbound, StatsKind::counter,
     "sallyport_datagrams_reassembled_total", "towards=inside",
     "Datagrams put together from fragments.", "datagrams put together", kIntoInbound},
    {Counter::datagrams_cut_outbound, StatsKind::counter, "sallyport_datagrams_cut_total",
     "towards=outside", "Datagrams, put together before, that left in fragments again.",
     "datagrams cut", kOutOfOutbound},
    {Counter::datagrams_cut_inbound, StatsKind::counter, "sallyport_datagrams_cut_total",
     "towards=inside", "Datagrams, put together before, that left in fragments again.",
     "datagrams cut", kOutOfInbound},
    {Counter::verdicts_allow_tls, StatsKind::counter, "sallyport_verdicts_total",
     "action=allow,mode=enforce,protocol=tls", kVerdictsHelp},
    {Counter::verdicts_allow_quic, StatsKind::counter, "sallyport_verdicts_total",
     "action=allow,mode=enforce,protocol=quic", kVerdictsHelp},
    {Counter::verdicts_allow_http, StatsKind::counter, "sallyport_verdicts_total",
     "action=allow,mode=enforce,protocol=http", kVerdictsHelp},
    {Counter::verdicts_allow_dns, StatsKind::counter, "sallyport_verdicts_total",
     "action=allow,mode=enforce,protocol=dns", kVerdictsHelp},
    {Counter::verdicts_allow_unknown, StatsKind::counter, "sallyport_verdicts_total",
     "action=allow,mode=enforce,protocol=unknown", kVerdictsHelp},
    {Counter::verdicts_deny_tls, StatsKind::counter, "sallyport_verdicts_total",
     "action=deny,mode=enforce,protocol=tls", kVerdictsHelp},
    {Counter::verdicts_deny_quic, StatsKind::counter, "sallyport_verdicts_total",
     "action=deny,mode=enforce,protocol=quic", kVerdictsHelp},
    {Counter::verdicts_deny_http, StatsKind::counter, "sallyport_verdicts_total",
     "action=deny,mode=enforce,protocol=http", kVerdictsHelp},
    {Counter::verdicts_deny_dns, StatsKind::counter, "sallyport_verdicts_total",
     "action=deny,mode=enforce,protocol=dns", kVerdictsHelp},
    {Counter::verdicts_deny_unknown, StatsKind::counter, "sallyport_verdicts_total",
     "action=deny,mode=enforce,protocol=unknown", kVerdictsHelp},
    {Counter::verdicts_audit_tls, StatsKind::counter, "sallyport_verdicts_total",
     "action=deny,mode=audit,protocol=tls", kVerdictsHelp},
    {Counter::verdicts_audit_quic, StatsKind::counter, "sallyport_verdicts_total",
     "action=deny,mode=audit,protocol=quic", kVerdictsHelp},
    {Counter::verdicts_audit_http, StatsKind::counter, "sallyport_verdicts_total",
     "action=deny,mode=audit,protocol=http", kVerdictsHelp},
    {Counter::verdicts_audit_dns, StatsKind::counter, "sallyport_verdicts_total",
     "action=deny,mode=audit,protocol=dns", kVerdictsHelp},
    {Counter::verdicts_audit_unknown, StatsKind::counter, "sallyport_verdicts_total",
     "action=deny,mode=audit,protocol=unknown", kVerdictsHelp},
    {Counter::budgets_exceeded_deny, StatsKind::counter, "sallyport_budget_exceeded_total",
     "action=deny", "Verdicts that found a budget spent."},
    {Counter::budgets_exceeded_audit, StatsKind::counter, "sallyport_budget_exceeded_total",
     "action=audit", "Verdicts that found a budget spent."},
    {Counter::budget_ledger_full, StatsKind::counter, "sallyport_budget_ledger_full_total", "",
     "Verdicts under a budget that there was no room to count."},
    {Counter::budget_state_failures, StatsKind::counter, "sallyport_budget_state_failures_total",
     "", "Times that the budgets could not be written to their file (first core)."},
    {Counter::budget_state_behind, StatsKind::gauge, "sallyport_budget_state_behind_seconds", "",
     "How long the budgets' file has lacked what was counted (first core)."},
    {Counter::bindings_learnt, StatsKind::counter, "sallyport_bindings_learnt_total", "",
     "Addresses that trusted resolvers gave for names (first core)."},
    {Counter::bindings_evicted, StatsKind::counter, "sallyport_bindings_evicted_total", "",
     "Of them, those that made room for others before their time was over (first core)."},
    {Counter::bindings_crowded_out, StatsKind::counter, "sallyport_bindings_refused_total",
     "cause=no_rule", "Addresses in resolvers' answers that were not learnt (first core)."},
    {Counter::bindings_unasked, StatsKind::counter, "sallyport_bindings_refused_total",
     "cause=unasked", "Addresses in resolvers' answers that were not learnt (first core)."},
    {Counter::events_lost_ring_full, StatsKind::counter, "sallyport_events_lost_total",
     "cause=ring_full", "Flow-log events lost, never packets."},
    {Counter::events_lost_write_failed, StatsKind::counter, "sallyport_events_lost_total",
     "cause=write_failed", "Flow-log events lost, never packets."},
    {Counter::events_lost_sink_gone, StatsKind::counter, "sallyport_events_lost_total",
     "cause=sink_gone", "Flow-log events lost, never packets."},
    {Counter::events_lost_sink_slow, StatsKind::counter, "sallyport_events_lost_total",
     "cause=sink_slow", "Flow-log events lost, never packets."},
    {Counter::polls_busy, StatsKind::counter, "sallyport_polls_total", "result=busy",
     "Turns of the polling loop that found packets, or none."},
    {Counter::polls_idle, StatsKind::counter, "sallyport_polls_total", "result=idle",
     "Turns of the polling loop that found packets, or none."},
    {Counter::flows_pending, StatsKind::gauge, "sallyport_flows", "state=pending",
     "Flows in the table."},
    {Counter::flows_allowed, StatsKind::gauge, "sallyport_flows", "state=allowed",
     "Flows in the table."},
    {Counter::flows_denied, StatsKind::gauge, "sallyport_flows", "state=denied",
     "Flows in the table."},
    {Counter::held_packets, StatsKind::gauge, "sallyport_held_packets", "",
     "Packets held for a verdict or as the guard of inspected bytes.", "held", kOutOfOutbound},
    {Counter::guard_packets, StatsKind::gauge, "sallyport_guard_packets", "",
     "Of the held packets, copies of those that have left, to compare what is sent again.",
     "copied as a guard", kIntoOutbound},
    {Counter::held_bytes, StatsKind::gauge, "sallyport_held_bytes", "",
     "Frame bytes of the held packets."},
    {Counter::fragments_held_outbound, StatsKind::gauge, "sallyport_held_fragments",
     "towards=outside", "Fragments that wait for the rest of their datagram.", "fragments held",
     kOutOfOutbound},
    {Counter::fragments_held_inbound, StatsKind::gauge, "sallyport_held_fragments",
     "towards=inside", "Fragments that wait for the rest of their datagram.", "fragments held",
     kOutOfInbound},
    {Counter::flow_table_capacity, StatsKind::gauge, "sallyport_flow_table_capacity", "",
     "Flows for which the table has room."},
    {Counter::handoff_waiting, StatsKind::gauge, "sallyport_handoff_ring_packets", "",
     "Packets from other cores that wait for this one.", "waiting to be taken",
     BookSides{0, 0, -1}},
    {Counter::handoff_capacity, StatsKind::gauge, "sallyport_handoff_ring_capacity", "",
     "Packets for which that ring has room."},
    {Counter::event_ring_lines, StatsKind::gauge, "sallyport_event_ring_lines", "",
     "Lines of 64 bytes in the ring of flow-log events that wait for the writer."},
    {Counter::event_ring_capacity, StatsKind::gauge, "sallyport_event_ring_capacity", "",
     "Lines of 64 bytes for which that ring has room."},
    {Counter::budget_entries, StatsKind::gauge, "sallyport_budget_entries", "",
     "Budgets that are counted (first core)."},
}};

consteval bool counters_in_order() {
  for (size_t i = 0; i < kCounters; ++i) {
    if (kCounterInfo[i].id != static_cast<Counter>(i)) return false;
  }
  return true;
}
static_assert(counters_in_order(), "kCounterInfo must follow enum Counter");

// Without `none`, which is nothing to count.
inline constexpr size_t kDecodeFaults = static_cast<size_t>(DecodeFault::count_) - 1;
inline constexpr size_t kInspectFaults = static_cast<size_t>(InspectFault::count_) - 1;
inline constexpr size_t kAllCounters =
    kCounters + 2 * (kDropReasons + kDecodeFaults) + kInspectFaults + 2 * kExceptions;

/// Of one core in the stats segment: kAllCounters, kHistogramSlots for each histogram, and the
/// hits.
inline constexpr size_t kRuleHitsAt = kAllCounters + kHistograms * kHistogramSlots;
inline constexpr size_t kCoreSlots = kRuleHitsAt + kRuleHitSlots;

/// One core's slots.
/// The core is the one writer, so no addition needs to be an atomic read-modify-write; any thread
/// reads. In a build that does not measure, nothing is written but what arrives: packets and bytes.
class CoreCounters {
 public:
  explicit CoreCounters(std::atomic<uint64_t>* slots) noexcept : slots_(slots) {}

  void add(Counter id, uint64_t n = 1) noexcept { add_at(static_cast<size_t>(id), n); }
  /// `outbound` is the first of a pair.
  void add(Counter outbound, Direction direction, uint64_t n = 1) noexcept {
    add_at(static_cast<size_t>(outbound) + static_cast<size_t>(direction), n);
  }
  void set(Counter id, uint64_t value) noexcept {
    if constexpr (kMeasures)
      slots_[static_cast<size_t>(id)].store(value, std::memory_order_relaxed);
  }
  void set(Counter outbound, Direction direction, uint64_t value) noexcept {
    if constexpr (!kMeasures) return;
    slots_[static_cast<size_t>(outbound) + static_cast<size_t>(direction)].store(
        value, std::memory_order_relaxed);
  }
  void drop(DropReason reason, Direction direction, uint64_t n = 1) noexcept {
    add_at(kCounters + 2 * static_cast<size_t>(reason) + static_cast<size_t>(direction), n);
  }
  /// `fault` is not none.
  void fault(DecodeFault fault, Direction direction) noexcept {
    const size_t pair = kDropReasons + static_cast<size_t>(fault) - 1;
    add_at(kCounters + 2 * pair + static_cast<size_t>(direction), 1);
  }
  void fault(InspectFault fault) noexcept {
    add_at(kCounters + 2 * (kDropReasons + kDecodeFaults) + static_cast<size_t>(fault) - 1, 1);
  }
  /// `value` in the histogram's unit, `n` times.
  void record(Histogram id, uint64_t value, uint64_t n = 1) noexcept {
    const size_t first = kAllCounters + static_cast<size_t>(id) * kHistogramSlots;
    add_at(first, value * n);
    add_at(first + 1 + bucket_of(value), n);
  }
  void exception(Exception condition) noexcept {
    add_at(kAllCounters - 2 * kExceptions + static_cast<size_t>(condition), 1);
  }
  RuleHits rule_hits() noexcept { return RuleHits(slots_ + kRuleHitsAt); }
  /// Before the core runs: what the configuration says is done then.
  void fails_open(Exception condition, bool open) noexcept {
    slots_[kAllCounters - kExceptions + static_cast<size_t>(condition)].store(
        open ? 1 : 0, std::memory_order_relaxed);
  }

 private:
  void add_at(size_t index, uint64_t n) noexcept {
    constexpr auto kLast = static_cast<size_t>(Counter::rx_bytes_outside);
    if (!kMeasures && index > kLast) return;
    auto& slot = slots_[index];
    slot.store(slot.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }

  std::atomic<uint64_t>* slots_;
};

}  // namespace sallyport
