#include "dataplane/inspect/tcp_hold.h"

#include "dataplane/inspect/flow_decision.h"
#include "dataplane/inspect/flow_watch.h"
#include "dataplane/inspect/stream_inspection.h"

namespace sallyport {
namespace {

using Fate = Outcome::Fate;

uint32_t end_of(const Segment& segment) noexcept {
  return segment.sequence + segment.bytes;
}

// Bytes before this one were read by an inspection.
uint32_t read_end(const StreamWatch& watch) noexcept {
  return watch.plain ? watch.plain_from : watch.window_first;
}

// Segments that a server stack would ignore must not be read as if they counted: what they carry
// could hide what the server does read.
bool counts(const Flow& flow, const Arrival& arrival, const FlowContext& context,
            DropReason& why) noexcept {
  const Packet& packet = arrival.packet;
  const bool incomplete = context.limits.incomplete;
  if ((packet.tcp_flags & kAck) == 0) {
    why = DropReason::no_ack_flag;
  } else if (!incomplete && (flow.progress & kServerAnswered) == 0) {
    why = DropReason::before_handshake;
  } else if (!incomplete && sequence_distance(flow.server_next, packet.tcp_acknowledgement) > 0) {
    why = DropReason::unsent_ack;
  } else if ((packet.tcp_flags & kUrg) != 0) {
    why = DropReason::urgent_data;  // where the urgent byte goes depends on the server's sockets
  } else if (context.limits.verify_checksums && !l4_checksum_ok(arrival.frame, packet)) {
    why = DropReason::bad_l4_checksum;
  } else {
    return true;
  }
  return false;
}

// Bytes that were read may only be sent again as they were, until the server has them: it takes the
// first copy that reaches it, and that may be this one. When the copies to compare with are gone
// (guard_timeout_ms), they may not be sent again at all.
bool may_come_again(const Flow& flow, const StreamWatch& watch, const Inspection& inspection,
                    const Arrival& arrival, const FlowContext& context) noexcept {
  const Packet& packet = arrival.packet;
  if (!watch.guarded || sequence_distance(packet.tcp_sequence, read_end(watch)) <= 0) return true;
  // An urgent pointer would take a byte out of what the server reads.
  if ((packet.tcp_flags & kUrg) != 0 || watch.unguarded) return false;
  if (sequence_distance(flow.client_first, packet.tcp_sequence) < 0) return false;
  return !conflicts(context.segments, inspection.held,
                    {.data = arrival.payload().data(),
                     .sequence = packet.tcp_sequence,
                     .bytes = packet.payload_bytes});
}

// The server may never have seen the FIN by which the flow was judged.
bool is_behind_end(const Flow& flow, const StreamWatch& watch, const Packet& packet) noexcept {
  return (flow.progress & kEndedByFin) != 0 &&
         sequence_distance(watch.fin_sequence, packet.tcp_sequence + packet.payload_bytes) > 0;
}

// Where a segment with payload or FIN stands in the stream, against what one flow may hold.
enum class Place : uint8_t { good, outside, too_much };

Place place_of(const Flow& flow, const Inspection& inspection, const Packet& packet,
               const FlowLimits& limits) noexcept {
  const StreamWatch& watch = inspection.stream();
  const uint32_t end = packet.tcp_sequence + packet.payload_bytes;
  const int32_t reach = sequence_distance(watch.window_first, end);
  const int32_t offset = sequence_distance(watch.window_first, packet.tcp_sequence);
  if (sequence_distance(flow.client_first, packet.tcp_sequence) < 0 || reach < 0 ||
      offset > static_cast<int32_t>(limits.held_bytes_per_flow)) {
    return Place::outside;
  }
  if ((flow.progress & kClientFin) != 0) {
    // Nothing comes behind a FIN, and a FIN stays where it was.
    const int32_t behind = sequence_distance(watch.fin_sequence, end);
    if (behind > 0 || ((packet.tcp_flags & kFin) != 0 && behind != 0)) return Place::outside;
  }
  if (static_cast<uint32_t>(reach) > limits.held_bytes_per_flow ||
      inspection.waiting_bytes + packet.payload_bytes > 2 * limits.held_bytes_per_flow ||
      inspection.waiting_packets >= limits.held_packets_per_flow) {
    return Place::too_much;
  }
  return Place::good;
}

void note_fin(Flow& flow, StreamWatch& watch, const Packet& packet) noexcept {
  if ((packet.tcp_flags & kFin) == 0) return;
  // The first one stays: a verdict may have taken it for the end of the client's bytes.
  if ((flow.progress & kClientFin) == 0) {
    watch.fin_sequence = packet.tcp_sequence + packet.payload_bytes;
  }
  flow.progress |= kClientFin | kClientSpoke;
}

Outcome put(Flow& flow, Inspection& inspection, const Arrival& arrival,
            FlowContext& context) noexcept {
  const Packet& packet = arrival.packet;
  switch (insert(context.segments, inspection.held,
                 {.data = arrival.payload().data(),
                  .sequence = packet.tcp_sequence,
                  .bytes = packet.payload_bytes,
                  .packet = arrival.handle})) {
    case InsertResult::inserted:
      break;
    case InsertResult::duplicate:
      return Outcome::drop(DropReason::duplicate_of_held);
    case InsertResult::conflict:
      // With copies alone: what they carry has left, so this one changes nothing if it does not.
      if (flow.state == FlowState::allowed && inspection.waiting_packets == 0) {
        return Outcome::drop(DropReason::retransmission_differs);
      }
      deny_flow(flow, FlowReason::overlap_conflict, kept_facts(flow, context), context);
      return kDenied;
    case InsertResult::pool_full:
      deny_flow(flow, FlowReason::held_memory_full, kept_facts(flow, context), context);
      return kDenied;
  }
  if (inspection.waiting_packets == 0) inspection.waiting_since_ms = context.now_ms;
  inspection.waiting_bytes += packet.payload_bytes;
  ++inspection.waiting_packets;
  return {.fate = Fate::hold};
}

// Reads on, now that more is held, and says what became of it.
Outcome read_on(Flow& flow, Inspection& inspection, FlowContext& context) noexcept {
  StreamWatch& watch = inspection.stream();
  const uint32_t window_before = watch.window_first;
  const uint32_t read_before = read_end(watch);
  if (!inspect_window(flow, inspection, context)) {
    return kDeniedHeld;
  }
  if (flow.state != FlowState::allowed) return {.fate = Fate::hold};
  if (read_end(watch) != read_before) {
    watch.guarded = true;
    watch.guard_since_ms = context.now_ms;
  }
  if ((flow.progress & kClientFin) != 0 && watch.window_first == watch.fin_sequence) {
    flow.progress |= kEndedByFin;
  }
  const bool release = watch.window_first != window_before || watch.stage == StreamStage::opaque;
  return {.fate = Fate::hold, .release = release};
}

// Client payload, or a FIN that must not overtake held payload, that no verdict covers yet.
Outcome hold(Flow& flow, Inspection& inspection, const Arrival& arrival,
             FlowContext& context) noexcept {
  DropReason why{};
  if (!counts(flow, arrival, context, why)) return Outcome::drop(why);
  const Packet& packet = arrival.packet;
  switch (place_of(flow, inspection, packet, context.limits)) {
    case Place::good:
      break;
    case Place::outside:
      return Outcome::drop(DropReason::out_of_window);
    case Place::too_much:
      deny_flow(flow, FlowReason::reassembly_limit, kept_facts(flow, context), context);
      return kDenied;
  }
  if (packet.payload_bytes == 0 && (flow.progress & kClientFin) != 0) {
    return Outcome::drop(DropReason::duplicate_of_held);
  }
  const uint32_t copies = inspection.held.count - inspection.waiting_packets;
  if (copies >= context.limits.guarded_packets_per_flow) {
    return Outcome::drop(DropReason::guard_full);
  }
  const Outcome outcome = put(flow, inspection, arrival, context);
  if (outcome.fate != Fate::hold) return outcome;
  flow.progress |= kClientSpoke;
  note_fin(flow, inspection.stream(), packet);
  return read_on(flow, inspection, context);
}

// A segment in order that lies all within a body, while nothing waits: it need not be held to pass.
bool passes_as_plain(Flow& flow, Inspection& inspection, const Packet& packet,
                     FlowContext& context) noexcept {
  StreamWatch& watch = inspection.stream();
  constexpr uint8_t kOdd = kUrg | kFin;
  if (flow.state != FlowState::allowed || inspection.waiting_packets != 0 ||
      packet.tcp_sequence != watch.window_first || (packet.tcp_flags & kOdd) != 0 ||
      plain_bytes_left(watch, context) < packet.payload_bytes) {
    return false;
  }
  pass_plain(watch, packet.payload_bytes, context);
  return true;
}

Outcome forwarded(Flow& flow, StreamWatch& watch, const Arrival& arrival) noexcept {
  if (arrival.packet.payload_bytes > 0) flow.progress |= kClientSpoke;
  note_fin(flow, watch, arrival.packet);
  advance(flow.client_next, arrival.packet.tcp_sequence + arrival.tcp_length());
  return {};
}

// Payload on a stream of which nothing more is read.
Outcome opaque_payload(Flow& flow, Inspection& inspection, const Arrival& arrival,
                       const FlowContext& context) noexcept {
  StreamWatch& watch = inspection.stream();
  if (!may_come_again(flow, watch, inspection, arrival, context)) {
    return Outcome::drop(DropReason::retransmission_differs);
  }
  if (is_behind_end(flow, watch, arrival.packet)) return Outcome::drop(DropReason::out_of_window);
  return forwarded(flow, watch, arrival);
}

Outcome read_payload(Flow& flow, Inspection& inspection, const Arrival& arrival,
                     FlowContext& context) noexcept {
  StreamWatch& watch = inspection.stream();
  const Packet& packet = arrival.packet;
  const uint32_t end = packet.tcp_sequence + packet.payload_bytes;
  if (sequence_distance(watch.window_first, end) <= 0 && watch.window_first != flow.client_first) {
    if (!may_come_again(flow, watch, inspection, arrival, context)) {
      return Outcome::drop(DropReason::retransmission_differs);
    }
    return forwarded(flow, watch, arrival);
  }
  if (is_behind_end(flow, watch, packet)) return Outcome::drop(DropReason::out_of_window);
  if (sequence_distance(packet.tcp_sequence, watch.window_first) > 0 &&
      !may_come_again(flow, watch, inspection, arrival, context)) {
    return Outcome::drop(DropReason::retransmission_differs);
  }
  if (passes_as_plain(flow, inspection, packet, context)) return forwarded(flow, watch, arrival);
  return hold(flow, inspection, arrival, context);
}

}  // namespace

void advance_past(Flow& flow, const StreamWatch& watch, const Segment& segment) noexcept {
  const uint32_t end = end_of(segment);
  const bool fin = (flow.progress & kClientFin) != 0 && end == watch.fin_sequence;
  advance(flow.client_next, fin ? end + 1 : end);
}

bool may_leave(const StreamWatch& watch, const Segment& segment) noexcept {
  return watch.stage == StreamStage::opaque ||
         sequence_distance(watch.window_first, end_of(segment)) <= 0;
}

bool must_be_guarded(const StreamWatch& watch, const Segment& segment) noexcept {
  return sequence_distance(segment.sequence, read_end(watch)) > 0;
}

bool is_read_acknowledged(const StreamWatch& watch, uint32_t acknowledged) noexcept {
  return sequence_distance(read_end(watch), acknowledged) >= 0;
}

bool is_acknowledged(const SegmentPool& segments, const SegmentList& held,
                     uint32_t acknowledged) noexcept {
  if (held.empty()) return false;
  const Segment& oldest = segments[held.head];
  return oldest.sent && sequence_distance(end_of(oldest), acknowledged) >= 0;
}

Outcome watched_outbound(Flow& flow, Inspection& inspection, const Arrival& arrival,
                         FlowContext& context) noexcept {
  StreamWatch& watch = inspection.stream();
  const Packet& packet = arrival.packet;
  const bool opaque = watch.stage == StreamStage::opaque;
  if ((packet.tcp_flags & kRst) != 0) {
    // Whether the server believes this RST is the server's to say: inspection goes on as if it
    // had not, so a forged one gains nothing. A payload in it is never forwarded unseen.
    if (packet.payload_bytes > 0) return Outcome::drop(DropReason::out_of_window);
    if (is_plausible_reset(flow.client_next, packet.tcp_sequence)) flow.progress |= kResetSeen;
    return {};
  }
  if (packet.payload_bytes > 0) {
    return opaque ? opaque_payload(flow, inspection, arrival, context)
                  : read_payload(flow, inspection, arrival, context);
  }
  const bool fin_ahead =
      (packet.tcp_flags & kFin) != 0 && !opaque &&
      (inspection.waiting_packets != 0 || packet.tcp_sequence != watch.window_first);
  if (fin_ahead) return hold(flow, inspection, arrival, context);
  return forwarded(flow, watch, arrival);
}

}  // namespace sallyport
