#include "dataplane/inspect/tcp_hold.h"

#include <algorithm>

#include "dataplane/inspect/farewell.h"
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

// Of the packets that a worker may hold, the part that one flow may have while over half are in
// use: a hello of the usual size in full segments at least.
constexpr uint32_t kShares = 128;
constexpr uint32_t kLeastShare = 32;

// No window is larger (RFC 7323 section 2.3).
constexpr uint32_t kMaxTcpWindow = 1U << 30;

// Sequence numbers come round after 4 GiB: then those from before the stream's start mean others.
void note_distance(const Flow& flow, StreamWatch& watch) noexcept {
  if (watch.window_first - flow.client_first > kMaxTcpWindow / 2) watch.far = true;
}

bool starts_before_stream(const Flow& flow, const StreamWatch& watch,
                          const Packet& packet) noexcept {
  return !watch.far && sequence_distance(flow.client_first, packet.tcp_sequence) < 0;
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
  } else if (context.limits.verify_checksums && !l4_checksum_ok(arrival.frame, packet)) {
    why = DropReason::bad_l4_checksum;
  } else {
    return true;
  }
  return false;
}

// Bytes that were read may only be sent again as they were, until the server has them: it takes the
// first copy that reaches it, and that may be this one. When the copies to compare with had to go
// (guard_timeout_ms), they may not be sent again at all.
bool may_come_again(const Flow& flow, const StreamWatch& watch, const Inspection& inspection,
                    const Arrival& arrival, const FlowContext& context) noexcept {
  const Packet& packet = arrival.packet;
  if (!watch.guarded || sequence_distance(packet.tcp_sequence, read_end(watch)) <= 0) return true;
  if (watch.unguarded) return false;
  if (starts_before_stream(flow, watch, packet)) return false;
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

// While packets have to be held for many, none may have more than its part of them held: a hello in
// pieces of a byte waits its turn, others are not denied for it.
bool takes_too_large_a_share(const Inspection& inspection, const FlowContext& context) noexcept {
  const uint32_t most = context.limits.held_packets;
  return context.segments.in_use() > most / 2 &&
         inspection.waiting_packets >= std::max(most / kShares, kLeastShare);
}

Place place_of(const Flow& flow, const Inspection& inspection, const Packet& packet,
               const FlowContext& context) noexcept {
  const FlowLimits& limits = context.limits;
  const StreamWatch& watch = inspection.stream();
  const uint32_t end = packet.tcp_sequence + packet.payload_bytes;
  const int32_t reach = sequence_distance(watch.window_first, end);
  const int32_t offset = sequence_distance(watch.window_first, packet.tcp_sequence);
  if (starts_before_stream(flow, watch, packet) || reach < 0) return Place::outside;
  if (offset > static_cast<int32_t>(limits.held_bytes_per_flow)) {
    return flow.state == FlowState::allowed ? Place::too_much : Place::outside;
  }
  if ((flow.progress & kClientFin) != 0) {
    // Nothing comes behind a FIN, and a FIN stays where it was.
    const int32_t behind = sequence_distance(watch.fin_sequence, end);
    if (behind > 0 || ((packet.tcp_flags & kFin) != 0 && behind != 0)) return Place::outside;
  }
  if (static_cast<uint32_t>(reach) > limits.held_bytes_per_flow ||
      takes_too_large_a_share(inspection, context) ||
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

// Bytes of a body come when the flow's count is another's.
bool is_late(const Flow& flow, StreamWatch& watch, const Packet& packet) noexcept {
  if (watch.passed_over.budget == kNoBudget) [[likely]]
    return false;
  watch.passed_over.forget_before(watch.acknowledged);
  return watch.passed_over.budget != flow.budget && watch.passed_over.may_hold(packet.tcp_sequence);
}

Outcome forwarded(Flow& flow, StreamWatch& watch, const Arrival& arrival) noexcept {
  Outcome outcome;
  if (arrival.packet.payload_bytes > 0) {
    flow.progress |= kClientSpoke;
    outcome.late = is_late(flow, watch, arrival.packet);
  }
  note_fin(flow, watch, arrival.packet);
  advance(flow.client_next, arrival.packet.tcp_sequence, arrival.tcp_length());
  return outcome;
}

// The segment cannot be held, nor read with what is.
[[gnu::cold, gnu::noinline]] Outcome not_held(Flow& flow, Inspection& inspection,
                                              Exception condition, const Arrival& arrival,
                                              FlowContext& context) noexcept {
  const ExceptionAction action = except(flow, condition, kept_facts(flow, context), context);
  if (action == ExceptionAction::drop_packet) return Outcome::drop(DropReason::exception);
  if (flow.state == FlowState::denied) return kDenied;
  inspection.stream().stage = StreamStage::opaque;
  Outcome passed = forwarded(flow, inspection.stream(), arrival);
  passed.release = true;
  return passed;
}

Outcome put(Flow& flow, Inspection& inspection, const Arrival& arrival,
            FlowContext& context) noexcept {
  const Packet& packet = arrival.packet;
  switch (insert(context.segments, inspection.held,
                 {.data = arrival.payload().data(),
                  .sequence = packet.tcp_sequence,
                  .bytes = packet.payload_bytes,
                  .packet = arrival.handle,
                  .since_ns = context.now_ns,
                  .frame_bytes = static_cast<uint32_t>(arrival.frame.size())})) {
    case InsertResult::inserted:
      break;
    case InsertResult::duplicate:
      return Outcome::drop(DropReason::duplicate_of_held);
    case InsertResult::conflict:
      // With copies alone: what they carry has left, so this one changes nothing if it does not.
      if (flow.state == FlowState::allowed && inspection.waiting_packets == 0) {
        return Outcome::drop(DropReason::retransmission_differs);
      }
      return not_held(flow, inspection, Exception::overlap_conflict, arrival, context);
    case InsertResult::pool_full:
      return not_held(flow, inspection, Exception::held_memory_full, arrival, context);
  }
  if (inspection.waiting_packets == 0) inspection.waiting_since_ns = context.now_ns;
  inspection.waiting_bytes += packet.payload_bytes;
  ++inspection.waiting_packets;
  return {.fate = Fate::hold};
}

// Reads on, now that more is held, and says what became of it.
Outcome read_on(Flow& flow, Inspection& inspection, const Packet& packet,
                FlowContext& context) noexcept {
  const StreamWatch& watch = inspection.stream();
  const uint32_t window_before = watch.window_first;
  if (!read_window(flow, inspection, context)) {
    Outcome denied = kDeniedHeld;
    denied.farewell = farewell_of(flow, watch, packet);
    return denied;
  }
  // Pending still, but for the opening of HTTP/2 nothing has moved.
  if (flow.state != FlowState::allowed && watch.window_first == window_before) {
    return {.fate = Fate::hold};
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
  switch (place_of(flow, inspection, packet, context)) {
    case Place::good:
      break;
    case Place::outside:
      return Outcome::drop(DropReason::out_of_window);
    case Place::too_much:
      // What waits behind a gap in an allowed upload is no reason to end it: it is sent again.
      if (flow.state == FlowState::allowed) return Outcome::drop(DropReason::hold_full);
      return not_held(flow, inspection, Exception::reassembly_limit, arrival, context);
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
  return read_on(flow, inspection, packet, context);
}

// Who pays for the bytes up to `end` that were passed over, when they come.
// @return false when that cannot be said: other such bytes have another count, and may still come.
bool pass_over(const Flow& flow, StreamWatch& watch, uint32_t end) noexcept {
  if (flow.budget == kNoBudget) return true;
  watch.passed_over.forget_before(watch.acknowledged);
  const BudgetHandle others = watch.passed_over.budget;
  if (others != kNoBudget && others != flow.budget) return false;
  watch.passed_over = {.budget = flow.budget, .end = end};
  return true;
}

// A segment that lies all within a body, while nothing waits: it need not be held to pass. So it is
// for what stands before it in the body, too, if that was lost on its way: whatever it says when it
// comes, it is body. The window starts behind both.
bool passes_as_plain(Flow& flow, Inspection& inspection, const Packet& packet,
                     FlowContext& context) noexcept {
  StreamWatch& watch = inspection.stream();
  const int32_t offset = sequence_distance(watch.window_first, packet.tcp_sequence);
  if (flow.state != FlowState::allowed || inspection.waiting_packets != 0 || offset < 0 ||
      static_cast<uint32_t>(offset) > kMaxTcpWindow || (packet.tcp_flags & kFin) != 0) {
    return false;
  }
  const uint32_t reach = static_cast<uint32_t>(offset) + packet.payload_bytes;
  if (plain_bytes_left(watch, context) < reach) return false;
  if (offset > 0 && !pass_over(flow, watch, packet.tcp_sequence)) return false;
  pass_plain(watch, reach, context);
  return true;
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
  note_distance(flow, watch);
  const bool has_moved = watch.far || watch.window_first != flow.client_first;
  if (has_moved && sequence_distance(watch.window_first, end) <= 0) {
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

// An urgent pointer takes a byte out of what the server reads, wherever it points and on whatever
// segment it comes: one without payload, or one that says again what the server has.
bool is_urgent(const StreamWatch& watch, const Packet& packet) noexcept {
  return (packet.tcp_flags & kUrg) != 0 && (watch.stage != StreamStage::opaque || watch.guarded);
}

// No server has a window of over a GiB (RFC 7323 section 2.3), so nobody has more under way. What
// is further off is no part of the stream, but would carry the window with it, until numbers wrap
// and bytes that were read could come again as others.
bool is_far_off(const StreamWatch& watch, const Packet& packet,
                const FlowContext& context) noexcept {
  constexpr uint32_t kMostAhead = 1u << 30;
  constexpr uint32_t kMostBehind = 1u << 29;
  if (context.limits.incomplete) return false;  // the server may not be seen
  const uint32_t end = packet.tcp_sequence + packet.payload_bytes;
  return end - (watch.acknowledged - kMostBehind) > kMostBehind + kMostAhead;
}

}  // namespace

bool read_window(Flow& flow, Inspection& inspection, FlowContext& context) noexcept {
  StreamWatch& watch = inspection.stream();
  const uint32_t read_before = read_end(watch);
  if (!inspect_window(flow, inspection, context)) return false;
  // In a flow that is pending still, the opening of HTTP/2 may have been read.
  if (read_end(watch) != read_before) {
    watch.guarded = true;
    watch.guard_since_ms = context.now_ms;
  }
  if (flow.state == FlowState::allowed && (flow.progress & kClientFin) != 0 &&
      watch.window_first == watch.fin_sequence) {
    flow.progress |= kEndedByFin;
  }
  return true;
}

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

bool is_held_before(const SegmentPool& segments, const SegmentList& held,
                    uint32_t sequence) noexcept {
  for (uint32_t i = held.head; i != kNoSegment; i = segments[i].next) {
    const Segment& segment = segments[i];
    if (!segment.sent && sequence_distance(segment.sequence, sequence) > 0) return true;
  }
  return false;
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
  if (is_urgent(watch, packet)) return Outcome::drop(DropReason::urgent_data);
  if ((packet.tcp_flags & kRst) != 0) {
    // Whether the server believes this RST is the server's to say: inspection goes on as if it
    // had not, so a forged one gains nothing. A payload in it is never forwarded unseen.
    if (packet.payload_bytes > 0) return Outcome::drop(DropReason::out_of_window);
    if (is_plausible_reset(flow.client_next, packet.tcp_sequence)) flow.progress |= kResetSeen;
    return {};
  }
  const bool counts_up = packet.payload_bytes > 0 || (packet.tcp_flags & kFin) != 0;
  if (counts_up && is_far_off(watch, packet, context)) {
    return Outcome::drop(DropReason::out_of_window);
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
