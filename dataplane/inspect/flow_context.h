#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/inspect/app_facts.h"
#include "dataplane/inspect/drop_reason.h"
#include "dataplane/inspect/fact_store.h"
#include "dataplane/inspect/fingerprint.h"
#include "dataplane/inspect/flow.h"
#include "dataplane/inspect/http2_connection.h"
#include "dataplane/inspect/identify.h"
#include "dataplane/inspect/inspection.h"
#include "dataplane/inspect/packet.h"
#include "dataplane/inspect/segments.h"
#include "policy/runtime/table.h"

namespace sallyport {

inline constexpr uint32_t kMaxHeldBytesPerFlow = 1u << 16;

/// Bounds of one worker; what happens at each is a FlowReason, unless it says otherwise.
struct FlowLimits {
  uint32_t held_bytes_per_flow = kMaxHeldBytesPerFlow;  ///< At most kMaxHeldBytesPerFlow.
  uint32_t held_packets_per_flow = 4096;
  /// Copies of sent packets that one flow may have kept; over that DropReason::guard_full.
  uint32_t guarded_packets_per_flow = 1024;
  uint32_t held_packets = 8192;
  uint32_t fact_blocks = 65536;      ///< Of the FactStore.
  uint32_t inspections = 16384;      ///< Flows inspected at a time; half a KiB each.
  uint32_t http2_connections = 256;  ///< 33 KiB each.
  uint32_t quic_hellos = 1024;       ///< 8 KiB each, while a QUIC handshake goes on.
  uint32_t inspection_timeout_ms = 10'000;
  uint32_t guard_timeout_ms = 30'000;  ///< Then inspected bytes are let go, and may not come again.
  bool verify_checksums = true;  ///< Of client data about to be inspected. Off only in replay.
  /// Take up TCP flows whose start was not seen, and read clients whose server is not seen to
  /// answer. Only in replay: captures are often cut, or of one side.
  bool incomplete = false;
};

/// Who is told of each decision, when it is made: for counters and records.
class DecisionObserver {
 public:
  virtual ~DecisionObserver() = default;
  /// `flow.state`, `reason` and `rule` are new, or were found again for another request.
  /// @param facts  What was decided, until the call returns. The fault is in `flow`.
  virtual void decided(const Flow& flow, const AppFacts& facts) noexcept = 0;
};

/// Everything a step of a flow may use beside the flow itself. One a worker, allocated once;
/// `table`, `generation` and the clocks are set once a burst.
struct FlowContext {
  FlowContext(const FlowLimits& flow_limits, unsigned worker_index, DecisionObserver& tell)
      : limits(flow_limits),
        worker(worker_index),
        observer(tell),
        segments(flow_limits.held_packets),
        facts(flow_limits.fact_blocks),
        inspections(flow_limits.inspections),
        http2_connections(flow_limits.http2_connections),
        quic_hellos(flow_limits.quic_hellos) {}

  const FlowLimits limits;
  const unsigned worker;
  DecisionObserver& observer;

  const PolicyTable* table = nullptr;  ///< nullptr: no policy was ever loaded.
  uint32_t generation = 0;
  uint32_t now_ms = 0;
  int64_t unix_seconds = 0;  ///< Wall clock: what rules' times are compared with.

  SegmentPool segments;
  FactStore facts;
  SlotPool<Inspection> inspections;
  SlotPool<Http2Connection> http2_connections;
  SlotPool<QuicHelloBytes> quic_hellos;

  // Working space, without content between calls.
  IdentifyScratch identify_scratch{};
  Identified identified;
  HttpScratch http_scratch{};
  HttpRequest http_request;
  DnsQuery dns_query;
  QuicScratch quic_scratch{};
  QuicStep quic_step;
  HelloFingerprints fingerprints{};
  FactSpace fact_space{};
  std::array<std::string_view, kMaxHelloAlpns> alpns;
  std::array<uint8_t, kMaxHeldBytesPerFlow> joined{};
};

/// One packet of a flow, as the steps see it.
struct Arrival {
  const Packet& packet;
  std::span<const uint8_t> frame;
  void* handle;  ///< The holder's name for the packet; kept in Segment::packet when it is held.

  std::span<const uint8_t> payload() const noexcept {
    return frame.subspan(packet.payload_offset, packet.payload_bytes);
  }
  /// Sequence numbers the segment takes up: payload, SYN and FIN (RFC 9293 section 3.4).
  uint32_t tcp_length() const noexcept {
    return packet.payload_bytes + ((packet.tcp_flags & kSyn) != 0) +
           ((packet.tcp_flags & kFin) != 0);
  }
};

/// What must be done with the packet and its flow, in this order: restart, discard_first, release,
/// acknowledged, reset, discard, and last the packet itself.
struct Outcome {
  enum class Fate : uint8_t { forward, hold, drop };
  Fate fate = Fate::forward;
  DropReason drop_reason = DropReason::denied;
  bool restart = false;        ///< The flow has ended and this SYN or SYN-ACK opens it anew.
  uint32_t discard_first = 0;  ///< So many held packets, from the first on, are freed unsent.
  bool release = false;        ///< Held packets that a verdict covers now go out, in order.
  bool acknowledged = false;   ///< Copies that the server has acknowledged are freed.
  bool reset = false;          ///< RST to both ends.
  bool discard = false;        ///< Held packets are freed.

  static Outcome drop(DropReason reason) noexcept {
    return {.fate = Fate::drop, .drop_reason = reason};
  }
};

}  // namespace sallyport
