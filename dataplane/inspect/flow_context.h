#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/inspect/drop_reason.h"
#include "dataplane/inspect/flow.h"
#include "dataplane/inspect/identify.h"
#include "dataplane/inspect/name_store.h"
#include "dataplane/inspect/packet.h"
#include "dataplane/inspect/segments.h"
#include "policy/runtime/table.h"

namespace sallyport {

inline constexpr uint32_t kMaxHeldBytesPerFlow = 1u << 16;

/// Bounds of one worker; what happens at each is a FlowReason.
struct FlowLimits {
  uint32_t held_bytes_per_flow = kMaxHeldBytesPerFlow;  ///< At most kMaxHeldBytesPerFlow.
  uint32_t held_packets_per_flow = 1024;
  uint32_t held_packets = 8192;
  uint32_t names = 65536;  ///< Blocks of the NameStore.
  uint32_t inspection_timeout_ms = 10'000;
  uint32_t guard_timeout_ms = 30'000;  ///< Then inspected bytes are let go, and may not come again.
  bool verify_checksums = true;  ///< Of client data about to be inspected. Off only in replay.
};

/// Everything a step of a flow may use beside the flow itself. One a worker, allocated once;
/// `table`, `generation` and the clocks are set once a burst.
struct FlowContext {
  FlowContext(const FlowLimits& flow_limits, unsigned worker_index)
      : limits(flow_limits),
        worker(worker_index),
        segments(flow_limits.held_packets),
        names(flow_limits.names) {}

  const FlowLimits limits;
  const unsigned worker;

  const PolicyTable* table = nullptr;  ///< nullptr: no policy was ever loaded.
  uint32_t generation = 0;
  uint32_t now_ms = 0;
  int64_t unix_seconds = 0;  ///< Wall clock: what rules' times are compared with.

  SegmentPool segments;
  NameStore names;
  IdentifyScratch identify_scratch{};
  Identified identified;
  HostName name;  ///< Of the flow being decided again.
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

/// What must be done with the packet and its flow, in this order: restart, verdict, release, reset,
/// discard, and last the packet itself.
struct Outcome {
  enum class Fate : uint8_t { forward, hold, drop };
  Fate fate = Fate::forward;
  DropReason drop_reason = DropReason::denied;
  bool restart = false;  ///< The flow has ended and this SYN or SYN-ACK opens it anew.
  bool verdict = false;  ///< state and reason are new: count and log them.
  bool release = false;  ///< Held packets go out now, in order, and stay held as the guard.
  bool reset = false;    ///< RST to both ends.
  bool discard = false;  ///< Held packets are freed.

  static Outcome drop(DropReason reason) noexcept {
    return {.fate = Fate::drop, .drop_reason = reason};
  }
};

}  // namespace sallyport
