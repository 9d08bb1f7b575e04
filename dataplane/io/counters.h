#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "dataplane/inspect/drop_reason.h"
#include "dataplane/inspect/identify.h"
#include "dataplane/inspect/packet.h"
#include "policy/runtime/stats_layout.h"

namespace sallyport {

/// What each core counts, beside its drops and faults.
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
  link_control,
  handed_off,
  resets_sent,
  multipath_removed,
  fragments_rx,
  fragments_tx,
  atomic_fragments,
  datagrams_reassembled,
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
  events_lost_ring_full,
  polls_busy,
  polls_idle,
  flows_pending,
  flows_allowed,
  flows_denied,
  held_packets,
  fragments_held,
  count_
};

struct CounterInfo {
  Counter id;
  StatsKind kind;
  std::string_view family;
  std::string_view labels;
  std::string_view help;
};

inline constexpr size_t kCounters = static_cast<size_t>(Counter::count_);

/// One line a counter, in enum order: the stats segment and the tests read this.
inline constexpr std::array<CounterInfo, kCounters> kCounterInfo{{
    {Counter::rx_packets_inside, StatsKind::counter, "sallyport_packets_total",
     "direction=rx,port=inside", "Packets taken from or given to a port."},
    {Counter::rx_packets_outside, StatsKind::counter, "sallyport_packets_total",
     "direction=rx,port=outside", "Packets taken from or given to a port."},
    {Counter::rx_bytes_inside, StatsKind::counter, "sallyport_bytes_total",
     "direction=rx,port=inside", "Frame bytes without FCS."},
    {Counter::rx_bytes_outside, StatsKind::counter, "sallyport_bytes_total",
     "direction=rx,port=outside", "Frame bytes without FCS."},
    {Counter::tx_packets_inside, StatsKind::counter, "sallyport_packets_total",
     "direction=tx,port=inside", "Packets taken from or given to a port."},
    {Counter::tx_packets_outside, StatsKind::counter, "sallyport_packets_total",
     "direction=tx,port=outside", "Packets taken from or given to a port."},
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
    {Counter::link_control, StatsKind::counter, "sallyport_link_control_packets_total", "",
     "ARP and IPv6 neighbour discovery, passed without a flow."},
    {Counter::handed_off, StatsKind::counter, "sallyport_handed_off_packets_total", "",
     "Packets given to the core that owns their flow."},
    {Counter::resets_sent, StatsKind::counter, "sallyport_resets_sent_total", "",
     "TCP RSTs made for denied flows."},
    {Counter::multipath_removed, StatsKind::counter, "sallyport_multipath_removed_total", "",
     "SYNs whose Multipath TCP options were taken out."},
    {Counter::fragments_rx, StatsKind::counter, "sallyport_fragments_total", "direction=rx",
     "IP fragments taken in, or sent on behalf of whole datagrams."},
    {Counter::fragments_tx, StatsKind::counter, "sallyport_fragments_total", "direction=tx",
     "IP fragments taken in, or sent on behalf of whole datagrams."},
    {Counter::atomic_fragments, StatsKind::counter, "sallyport_atomic_fragments_total", "",
     "IPv6 packets whose fragment header was taken out: they were whole."},
    {Counter::datagrams_reassembled, StatsKind::counter, "sallyport_datagrams_reassembled_total",
     "", "Datagrams put together from fragments."},
    {Counter::verdicts_allow_tls, StatsKind::counter, "sallyport_verdicts_total",
     "action=allow,mode=enforce,protocol=tls", "Verdicts given to flows, requests and queries."},
    {Counter::verdicts_allow_quic, StatsKind::counter, "sallyport_verdicts_total",
     "action=allow,mode=enforce,protocol=quic", "Verdicts given to flows, requests and queries."},
    {Counter::verdicts_allow_http, StatsKind::counter, "sallyport_verdicts_total",
     "action=allow,mode=enforce,protocol=http", "Verdicts given to flows, requests and queries."},
    {Counter::verdicts_allow_dns, StatsKind::counter, "sallyport_verdicts_total",
     "action=allow,mode=enforce,protocol=dns", "Verdicts given to flows, requests and queries."},
    {Counter::verdicts_allow_unknown, StatsKind::counter, "sallyport_verdicts_total",
     "action=allow,mode=enforce,protocol=unknown",
     "Verdicts given to flows, requests and queries."},
    {Counter::verdicts_deny_tls, StatsKind::counter, "sallyport_verdicts_total",
     "action=deny,mode=enforce,protocol=tls", "Verdicts given to flows, requests and queries."},
    {Counter::verdicts_deny_quic, StatsKind::counter, "sallyport_verdicts_total",
     "action=deny,mode=enforce,protocol=quic", "Verdicts given to flows, requests and queries."},
    {Counter::verdicts_deny_http, StatsKind::counter, "sallyport_verdicts_total",
     "action=deny,mode=enforce,protocol=http", "Verdicts given to flows, requests and queries."},
    {Counter::verdicts_deny_dns, StatsKind::counter, "sallyport_verdicts_total",
     "action=deny,mode=enforce,protocol=dns", "Verdicts given to flows, requests and queries."},
    {Counter::verdicts_deny_unknown, StatsKind::counter, "sallyport_verdicts_total",
     "action=deny,mode=enforce,protocol=unknown", "Verdicts given to flows, requests and queries."},
    {Counter::events_lost_ring_full, StatsKind::counter, "sallyport_events_lost_total",
     "cause=ring_full", "Flow-log events lost, never packets."},
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
     "Packets held for a verdict or as the guard of inspected bytes."},
    {Counter::fragments_held, StatsKind::gauge, "sallyport_held_fragments", "",
     "Fragments that wait for the rest of their datagram."},
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
inline constexpr size_t kAllCounters = kCounters + kDropReasons + kDecodeFaults + kInspectFaults;

/// One core's slots in the stats segment. The core is the one writer, so no addition needs to be an
/// atomic read-modify-write; any thread reads.
class CoreCounters {
 public:
  explicit CoreCounters(std::atomic<uint64_t>* slots) noexcept : slots_(slots) {}

  void add(Counter id, uint64_t n = 1) noexcept { add_at(static_cast<size_t>(id), n); }
  void set(Counter id, uint64_t value) noexcept {
    slots_[static_cast<size_t>(id)].store(value, std::memory_order_relaxed);
  }
  void drop(DropReason reason, uint64_t n = 1) noexcept {
    add_at(kCounters + static_cast<size_t>(reason), n);
  }
  /// `fault` is not none.
  void fault(DecodeFault fault) noexcept {
    add_at(kCounters + kDropReasons + static_cast<size_t>(fault) - 1, 1);
  }
  void fault(InspectFault fault) noexcept {
    add_at(kCounters + kDropReasons + kDecodeFaults + static_cast<size_t>(fault) - 1, 1);
  }

 private:
  void add_at(size_t index, uint64_t n) noexcept {
    auto& slot = slots_[index];
    slot.store(slot.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }

  std::atomic<uint64_t>* slots_;
};

}  // namespace sallyport
