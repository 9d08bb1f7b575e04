#pragma once

#include <cstdint>
#include <string_view>

#include "dataplane/inspect/identify.h"
#include "dataplane/inspect/name_store.h"
#include "dataplane/inspect/packet.h"
#include "dataplane/inspect/segments.h"
#include "policy/runtime/facts.h"
#include "policy/runtime/rule.h"
#include "policy/runtime/verdict.h"

namespace sallyport {

/// Which way a packet goes.
enum class Direction : uint8_t { outbound, inbound };

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

/// The key of a packet that goes `direction`.
FlowKey flow_key(const Endpoints& endpoints, uint32_t vlan_ids, Direction direction) noexcept;

enum class FlowState : uint8_t {
  free,     ///< Not in use.
  pending,  ///< No verdict yet: client payload is held.
  allowed,
  denied,
};

/// Why a flow has the state it has: a Reason of the policy, or a named exception. All of the
/// exceptions deny.
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
  name_memory_full,     ///< The worker has no room to keep the flow's name.
  inspection_timeout,   ///< Held bytes waited longer than inspection.timeout_seconds.
  facts_not_inspected,  ///< The policy needs a fact that was not or cannot be looked for.
  count_
};

/// What one worker keeps about one flow for as long as it lives. Belongs to that worker alone.
struct alignas(64) Flow {
  FlowKey key;
  uint64_t id = 0;
  uint64_t started_unix_ns = 0;
  uint64_t bytes_out = 0;  ///< Frame bytes sent on towards the outside.
  uint64_t bytes_in = 0;
  uint64_t packets_out = 0;
  uint64_t packets_in = 0;
  uint32_t last_seen_ms = 0;
  uint32_t generation = 0;  ///< Of the table that decided it last.
  uint32_t rule = kNoRule;
  /// The highest sequence number forwarded from either end, plus one: what a RST to the other end
  /// should carry. An end may invent numbers, so nothing else may hang on these.
  uint32_t client_next = 0;
  uint32_t server_next = 0;
  uint32_t name = NameStore::kNone;
  FlowState state = FlowState::free;
  FlowReason reason = FlowReason::undecided;
  InspectFault fault = InspectFault::none;
  Known app_known = Known::unknown;
  AppProtocol app{};
  Known name_known = Known::unknown;
  uint8_t progress = 0;     ///< FlowProgress set.
  bool would_deny = false;  ///< Allowed by audit alone.
  OnDeny on_deny = OnDeny::reset;
  LogLevel log = LogLevel::decisions;
};
static_assert(sizeof(Flow) == 128, "a decided flow costs two cache lines");

/// How far a TCP flow has come, and what is still watched.
enum FlowProgress : uint8_t {
  kServerAnswered = 1,  ///< The server's SYN-ACK was seen.
  kClientFin = 2,
  kServerFin = 4,
  kResetSeen = 8,
  kGuarded = 16,  ///< Inspected bytes are kept until the server acknowledges them.
  kOpenedInside = 32,
  kClientSpoke = 64,  ///< The client has sent payload or FIN: its SYN cannot come again.
  kEndedByFin = 128,  ///< The verdict took the client's FIN for the end of its bytes.
};

/// What is kept beside a Flow while it is pending or guarded.
struct Inspection {
  uint32_t client_first = 0;   ///< Sequence number of the client's first byte.
  uint32_t need_bytes = 0;     ///< identify() has no answer for a shorter prefix.
  uint32_t fin_sequence = 0;   ///< Of the client's FIN, once kClientFin.
  uint32_t guard_end = 0;      ///< Sequence number after the last inspected byte.
  uint32_t ready_bytes = 0;    ///< Held without a gap from client_first on.
  uint32_t held_since_ms = 0;  ///< Since the first was held; with kGuarded, since the verdict.
  uint32_t reopen_first = 0;   ///< With `reopening`: client_first, if the server takes that SYN.
  bool reopening = false;      ///< Another SYN was sent on a live flow.
  bool in_http_head = false;   ///< identify() waits for more lines of a request head.
  SegmentList held;
};
static_assert(sizeof(Inspection) <= 512);

std::string_view to_string(FlowState state) noexcept;
std::string_view to_string(FlowReason reason) noexcept;

}  // namespace sallyport
