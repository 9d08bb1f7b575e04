#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "dataplane/inspect/budget_ledger.h"
#include "dataplane/inspect/fact_store.h"
#include "dataplane/inspect/identify.h"
#include "dataplane/inspect/packet.h"
#include "dataplane/inspect/slot_pool.h"
#include "dataplane/inspect/tunnel.h"
#include "policy/runtime/facts.h"
#include "policy/runtime/rule.h"
#include "policy/runtime/verdict.h"

namespace sallyport {

/// Which way a packet goes.
enum class Direction : uint8_t { outbound, inbound };

constexpr Direction opposite(Direction direction) noexcept {
  return direction == Direction::outbound ? Direction::inbound : Direction::outbound;
}

/// Names a flow the same way for both directions. Without padding, so that the key may be hashed
/// and compared as memory.
struct FlowKey {
  IpAddress inside;
  IpAddress outside;
  uint16_t inside_port = 0;
  uint16_t outside_port = 0;
  uint8_t ip_protocol = 0;
  uint8_t vlan_ids[3] = {};  ///< Packet::vlan_ids: the same addresses in two VLANs are two flows.
};
static_assert(sizeof(FlowKey) == 40);

/// The key of a packet that goes `direction`. In line: every packet needs one, written where it is.
[[gnu::always_inline]] inline FlowKey flow_key(const Endpoints& endpoints, uint32_t vlan_ids,
                                               Direction direction) noexcept {
  const bool outbound = direction == Direction::outbound;
  const IpAddress* inside = outbound ? &endpoints.source : &endpoints.destination;
  const IpAddress* outside = outbound ? &endpoints.destination : &endpoints.source;
  FlowKey key{.inside = *inside,
              .outside = *outside,
              .inside_port = outbound ? endpoints.source_port : endpoints.destination_port,
              .outside_port = outbound ? endpoints.destination_port : endpoints.source_port};
  // Protocol and VLAN ids in one store.
  static_assert(std::endian::native == std::endian::little);
  static_assert(offsetof(FlowKey, vlan_ids) == offsetof(FlowKey, ip_protocol) + 1);
  const uint32_t last = endpoints.ip_protocol | vlan_ids << 8;
  std::memcpy(reinterpret_cast<uint8_t*>(&key) + offsetof(FlowKey, ip_protocol), &last,
              sizeof last);
  return key;
}

enum class FlowState : uint8_t {
  free,     ///< Not in use.
  pending,  ///< No verdict yet: client payload is held.
  allowed,  ///< Its bytes so far may pass; an inspection may still go on behind them.
  denied,
};

/// Why a flow has the state it has: a Reason of the policy, or a condition of exception.h. What a
/// condition does is settable; where no more is said here, it denies by default.
enum class FlowReason : uint8_t {
  undecided,
  rule,
  default_deny,
  no_policy,
  scan_error,
  destination_binding,
  budget_exceeded,
  inbound_pass,         ///< Allowed: opened from outside, and inbound_flows is pass.
  malformed,            ///< The client's bytes break their protocol; InspectFault says how.
  overlap_conflict,     ///< Two segments disagree about the same byte.
  reassembly_limit,     ///< More bytes or packets held than one flow may.
  held_memory_full,     ///< The worker may hold no more packets.
  fact_memory_full,     ///< The worker has no room to keep what the flow was decided by.
  inspection_limit,     ///< The worker inspects as many flows of this kind as it may.
  budget_ledger_full,   ///< The rule named has a budget, and there is no room to count it.
  inspection_timeout,   ///< Held bytes waited longer than inspection.timeout_seconds.
  facts_not_inspected,  ///< The policy needs a fact that was not or cannot be looked for.
  midstream,            ///< Its start was not seen: it is older than the gateway.
  undecodable_quic,     ///< Datagrams that nobody without the client's keys can read.
  log_ring_full,        ///< There was no room for the record of its verdict.
  count_
};

/// A count of up to 2^48 in six bytes.
class Count48 {
 public:
  Count48& operator++() noexcept {
    uint32_t low;
    std::memcpy(&low, bytes_, sizeof low);
    ++low;
    std::memcpy(bytes_, &low, sizeof low);
    if (low == 0) [[unlikely]]
      carry();
    return *this;
  }
  operator uint64_t() const noexcept {  // NOLINT(google-explicit-constructor): it is a number.
    uint64_t value = 0;
    std::memcpy(&value, bytes_, sizeof bytes_);
    return value;
  }

 private:
  void carry() noexcept {
    if (++bytes_[4] == 0) ++bytes_[5];
  }

  static_assert(std::endian::native == std::endian::little);
  uint8_t bytes_[6] = {};
};

/// What one worker keeps about one flow for as long as it lives. Belongs to that worker alone.
struct alignas(64) Flow {
  FlowKey key;
  uint64_t id = 0;
  uint64_t started_unix_ns = 0;
  uint64_t bytes_out = 0;  ///< Frame bytes sent on towards the outside.
  uint64_t bytes_in = 0;
  Count48 packets_out;
  Count48 packets_in;
  BudgetHandle budget = kNoBudget;  ///< What its bytes out are charged to.
  uint32_t last_seen_ms = 0;
  uint32_t generation = 0;  ///< Of the table that decided it last.
  uint32_t rule = kNoRule;
  uint32_t client_first = 0;  ///< TCP: sequence number of the client's first byte.
  /// The highest sequence number forwarded from either end, plus one: what a RST to the other end
  /// should carry. An end may invent numbers, so nothing else may hang on these.
  uint32_t client_next = 0;
  uint32_t server_next = 0;
  uint32_t facts = FactStore::kNone;  ///< What it was decided by, packed.
  uint32_t inspection = kNoSlot;      ///< Inspection, while its bytes are looked at or guarded.
  uint16_t progress = 0;              ///< FlowProgress set.
  FlowState state = FlowState::free;
  FlowReason reason = FlowReason::undecided;
  InspectFault fault = InspectFault::none;
  Known app_known : 2 = Known::unknown;
  AppProtocol app : 3 = AppProtocol::tls;
  bool http2 : 1 = false;
  bool would_deny : 1 = false;  ///< Allowed by audit alone.
  OnDeny on_deny : 1 = OnDeny::reset;
  LogLevel log : 2 = LogLevel::decisions;
  TunnelKind tunnel : 4 = TunnelKind::none;  ///< By its first packet, for records.
};
static_assert(static_cast<int>(TunnelKind::count_) <= 16);
static_assert(sizeof(Flow) == 128, "a decided flow costs two cache lines");

/// How far a TCP flow has come, and what is still watched.
enum FlowProgress : uint16_t {
  kServerAnswered = 1,  ///< The server's SYN-ACK was seen.
  kClientFin = 2,
  kServerFin = 4,
  kResetSeen = 8,
  kOpenedInside = 16,
  kClientSpoke = 32,     ///< The client has sent payload or FIN: its SYN cannot come again.
  kEndedByFin = 64,      ///< The verdict took the client's FIN for the end of its bytes.
  kMidstream = 128,      ///< Taken up without its SYN: in replay, or by exceptions.midstream.
  kReadDatagrams = 256,  ///< UDP: each datagram of the client is read.
  kToldFarewell =
      512,  ///< Denied in the client's own protocol: it may go on until it has read that.
  kPassed =
      1024,  ///< An exception let it go on unread: what is unknown of it is no reason to deny.
  kDecided = 2048,     ///< The observer was told a verdict.
  kToldFarEnd = 4096,  ///< Denied, and reset towards the end that has not spoken since.
};

std::string_view to_string(FlowState state) noexcept;
std::string_view to_string(FlowReason reason) noexcept;

}  // namespace sallyport
