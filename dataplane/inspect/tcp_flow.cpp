#include "dataplane/inspect/tcp_flow.h"

#include <algorithm>

#include "dataplane/inspect/flow_decision.h"

namespace sallyport {
namespace {

using Fate = Outcome::Fate;

// What a denial does to the packet that brought it, to the held ones and to both ends.
constexpr Outcome kDenied{.fate = Fate::drop,
                          .drop_reason = DropReason::denied,
                          .verdict = true,
                          .reset = true,
                          .discard = true};

// Neither end may be left waiting, and nothing held may leave.
Outcome deny_now(Flow& flow, FlowReason reason, const FlowContext& context) noexcept {
  deny_flow(flow, reason, context.generation);
  return kDenied;
}

void advance(uint32_t& next, uint32_t end) noexcept {
  if (sequence_distance(next, end) > 0) next = end;
}

bool is_over(const Flow& flow) noexcept {
  constexpr uint8_t kBothFins = kClientFin | kServerFin;
  return (flow.progress & kResetSeen) != 0 || (flow.progress & kBothFins) == kBothFins;
}

// Whether `sequence` is near enough to what is expected next for its RST to be believed. A blind
// one is forwarded, for the end to judge, but must not shorten the flow's life here.
bool is_plausible_reset(uint32_t expected, uint32_t sequence) noexcept {
  constexpr int32_t kWindow = 65535;
  const int32_t distance = sequence_distance(expected, sequence);
  return distance >= 0 && distance <= kWindow;
}

// Held packets are about to be sent: they count as seen by the server from here on.
void advance_past_held(Flow& flow, const Inspection& inspection,
                       const FlowContext& context) noexcept {
  for (uint32_t i = inspection.held.head; i != kNoSegment; i = context.segments[i].next) {
    advance(flow.client_next, context.segments[i].sequence + context.segments[i].bytes);
  }
  if ((flow.progress & kClientFin) != 0) advance(flow.client_next, inspection.fin_sequence + 1);
}

// A pending flow may only stay so while a rule could still match; an allowed one that the new
// policy cannot decide was never inspected, and cannot be any more.
Outcome decide_again(Flow& flow, const Inspection& inspection, FlowContext& context) noexcept {
  const bool was_pending = flow.state == FlowState::pending;
  const bool changed = decide_flow(flow, context);
  if (flow.state == FlowState::pending) {
    if (was_pending) return {};
    return deny_now(flow, FlowReason::facts_not_inspected, context);
  }
  if (flow.state == FlowState::denied) return kDenied;
  if (was_pending) advance_past_held(flow, inspection, context);
  return {.verdict = changed, .release = was_pending};
}

// Segments that a server stack would ignore must not be read as if they counted: what they carry
// could hide what the server does read.
bool counts(const Flow& flow, const Arrival& arrival, const FlowContext& context,
            DropReason& why) noexcept {
  const Packet& packet = arrival.packet;
  if ((packet.tcp_flags & kAck) == 0) {
    why = DropReason::no_ack_flag;
  } else if ((flow.progress & kServerAnswered) == 0) {
    why = DropReason::before_handshake;
  } else if (sequence_distance(flow.server_next, packet.tcp_acknowledgement) > 0) {
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

// A request head can only have gained an answer when a line of it has ended: it would be parsed
// anew for each byte otherwise.
bool is_mid_line(const Inspection& inspection, std::span<const uint8_t> appended) noexcept {
  constexpr uint8_t kLineFeed = 0x0a;
  return inspection.in_http_head && std::ranges::find(appended, kLineFeed) == appended.end();
}

// Names the flow from what is held without a gap, once there is enough of it. `appended` is what
// the newest segment added to the end of that, if it did just that.
Outcome inspect_held(Flow& flow, Inspection& inspection, std::span<const uint8_t> appended,
                     FlowContext& context) noexcept {
  const uint32_t ready = inspection.ready_bytes;
  const bool ended = (flow.progress & kClientFin) != 0 &&
                     inspection.client_first + ready == inspection.fin_sequence;
  if (ready == 0 && !ended) return {.fate = Fate::hold};
  if (ready < inspection.need_bytes && !ended) return {.fate = Fate::hold};
  if (!appended.empty() && !ended && is_mid_line(inspection, appended)) return {.fate = Fate::hold};

  Identified& found = context.identified;
  identify(prefix(context.segments, inspection.held, inspection.client_first,
                  std::min(ready, kMaxHeldBytesPerFlow), context.joined),
           ended, context.identify_scratch, found);
  switch (found.status) {
    case Identified::Status::need_more:
      inspection.need_bytes = std::max(found.need_bytes, ready + 1);
      inspection.in_http_head = found.app_known == Known::present && found.app == AppProtocol::http;
      if (inspection.need_bytes <= context.limits.held_bytes_per_flow) return {.fate = Fate::hold};
      return deny_now(flow, FlowReason::reassembly_limit, context);
    case Identified::Status::fault:
      flow.fault = found.fault;
      flow.app_known = found.app_known;
      flow.app = found.app;
      return deny_now(flow, FlowReason::malformed, context);
    case Identified::Status::done:
      break;
  }
  flow.app_known = found.app_known;
  flow.app = found.app;
  flow.name_known = found.name_known;
  if (found.name_known == Known::present) {
    flow.name = context.names.store(found.name.view());
    if (flow.name == NameStore::kNone) {
      return deny_now(flow, FlowReason::name_memory_full, context);
    }
  }
  decide_flow(flow, context);
  if (flow.state == FlowState::pending) {
    return deny_now(flow, FlowReason::facts_not_inspected, context);
  }
  if (flow.state == FlowState::denied) return kDenied;

  if (ready > 0) {
    inspection.guard_end = inspection.client_first + ready;
    inspection.held_since_ms = context.now_ms;
    flow.progress |= kGuarded;
  }
  if (ended) flow.progress |= kEndedByFin;
  advance_past_held(flow, inspection, context);
  return {.fate = Fate::hold, .verdict = true, .release = true};
}

// Where a segment with payload or FIN stands in the stream, against what one flow may hold.
enum class Place : uint8_t { good, outside, too_much };

Place place_of(const Flow& flow, const Inspection& inspection, const Packet& packet,
               const FlowLimits& limits) noexcept {
  const int32_t offset = sequence_distance(inspection.client_first, packet.tcp_sequence);
  if (offset < 0 || static_cast<uint32_t>(offset) > limits.held_bytes_per_flow) {
    return Place::outside;
  }
  const uint32_t end = packet.tcp_sequence + packet.payload_bytes;
  if ((flow.progress & kClientFin) != 0) {
    // Nothing comes behind a FIN, and a FIN stays where it was.
    const int32_t behind = sequence_distance(inspection.fin_sequence, end);
    if (behind > 0 || ((packet.tcp_flags & kFin) != 0 && behind != 0)) return Place::outside;
  }
  if (packet.payload_bytes > limits.held_bytes_per_flow - static_cast<uint32_t>(offset) ||
      inspection.held.bytes + packet.payload_bytes > 2 * limits.held_bytes_per_flow ||
      inspection.held.count >= limits.held_packets_per_flow) {
    return Place::too_much;
  }
  return Place::good;
}

// Client payload, or a FIN that must not overtake held payload, on a flow without a verdict.
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
      return deny_now(flow, FlowReason::reassembly_limit, context);
  }
  if (packet.payload_bytes == 0 && (flow.progress & kClientFin) != 0) {
    return Outcome::drop(DropReason::duplicate_of_held);
  }

  const bool was_empty = inspection.held.empty();
  const bool appends = (was_empty || inspection.held.end == packet.tcp_sequence) &&
                       inspection.client_first + inspection.ready_bytes == packet.tcp_sequence;
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
      return deny_now(flow, FlowReason::overlap_conflict, context);
    case InsertResult::pool_full:
      return deny_now(flow, FlowReason::held_memory_full, context);
  }
  if (was_empty) inspection.held_since_ms = context.now_ms;
  flow.progress |= kClientSpoke;
  if ((packet.tcp_flags & kFin) != 0) {
    flow.progress |= kClientFin;
    inspection.fin_sequence = packet.tcp_sequence + packet.payload_bytes;
  }
  inspection.ready_bytes =
      appends ? inspection.ready_bytes + packet.payload_bytes
              : contiguous_bytes(context.segments, inspection.held, inspection.client_first);
  Outcome outcome = inspect_held(flow, inspection,
                                 appends ? arrival.payload() : std::span<const uint8_t>{}, context);
  outcome.fate = Fate::hold;  // it is on the list: released or discarded with the others
  return outcome;
}

Outcome pending_outbound(Flow& flow, Inspection& inspection, const Arrival& arrival,
                         FlowContext& context) noexcept {
  const Packet& packet = arrival.packet;
  if ((packet.tcp_flags & kRst) != 0) {
    // Whether the server believes this RST is the server's to say: inspection goes on as if it
    // had not, so a forged one gains nothing. A payload in it is never forwarded unseen.
    if (packet.payload_bytes > 0) return Outcome::drop(DropReason::out_of_window);
    if (is_plausible_reset(flow.client_next, packet.tcp_sequence)) flow.progress |= kResetSeen;
    return {};
  }
  const bool fin_behind_held =
      (packet.tcp_flags & kFin) != 0 &&
      (!inspection.held.empty() || packet.tcp_sequence != inspection.client_first);
  if (packet.payload_bytes > 0 || fin_behind_held) return hold(flow, inspection, arrival, context);

  if ((packet.tcp_flags & kFin) != 0) {
    flow.progress |= kClientFin | kClientSpoke;  // nothing was ever sent
    inspection.fin_sequence = packet.tcp_sequence;
    advance(flow.client_next, packet.tcp_sequence + 1);
  }
  return {};
}

// Bytes that were inspected may only be sent again as they were, until the server has them: it
// takes the first copy that reaches it, and that may be this one. When the copy to compare with is
// gone (guard_timeout_ms), they may not be sent again at all.
bool matches_guard(const Inspection& inspection, const Arrival& arrival,
                   const FlowContext& context) noexcept {
  const Packet& packet = arrival.packet;
  if (sequence_distance(packet.tcp_sequence, inspection.guard_end) <= 0) return true;
  // An urgent pointer would take a byte out of what the server reads.
  if ((packet.tcp_flags & kUrg) != 0 || inspection.held.empty()) return false;
  if (sequence_distance(inspection.client_first, packet.tcp_sequence) < 0) return false;
  return !conflicts(context.segments, inspection.held,
                    {.data = arrival.payload().data(),
                     .sequence = packet.tcp_sequence,
                     .bytes = packet.payload_bytes});
}

// Client payload on an allowed flow whose first bytes were inspected.
bool may_follow(const Flow& flow, const Inspection& inspection, const Arrival& arrival,
                const FlowContext& context, DropReason& why) noexcept {
  const Packet& packet = arrival.packet;
  if ((flow.progress & kGuarded) != 0 && !matches_guard(inspection, arrival, context)) {
    why = DropReason::retransmission_differs;
    return false;
  }
  // The server may never have seen the FIN by which the flow was judged.
  if ((flow.progress & kEndedByFin) != 0 &&
      sequence_distance(inspection.fin_sequence, packet.tcp_sequence + packet.payload_bytes) > 0) {
    why = DropReason::out_of_window;
    return false;
  }
  return true;
}

Outcome allowed_outbound(Flow& flow, const Inspection& inspection, const Arrival& arrival,
                         const FlowContext& context) noexcept {
  const Packet& packet = arrival.packet;
  constexpr uint8_t kWatched = kGuarded | kEndedByFin;
  DropReason why{};
  if (packet.payload_bytes > 0 && (flow.progress & kWatched) != 0 &&
      !may_follow(flow, inspection, arrival, context, why)) {
    return Outcome::drop(why);
  }
  if (packet.payload_bytes > 0) flow.progress |= kClientSpoke;
  if ((packet.tcp_flags & kFin) != 0) flow.progress |= kClientFin | kClientSpoke;
  if ((packet.tcp_flags & kRst) != 0 && is_plausible_reset(flow.client_next, packet.tcp_sequence)) {
    flow.progress |= kResetSeen;
  }
  advance(flow.client_next, packet.tcp_sequence + arrival.tcp_length());
  return {};
}

// A SYN on a flow that is known. Nothing is decided by it alone: whether it opens a new connection
// is for the server to say, and a stray one must not cost the old one its life.
Outcome known_syn(const Flow& flow, Inspection& inspection, const Packet& packet) noexcept {
  if (packet.payload_bytes > 0) return Outcome::drop(DropReason::syn_with_data);
  if (flow.state == FlowState::denied || is_over(flow)) {
    return {.fate = Fate::drop, .restart = true};
  }
  const uint32_t first = packet.tcp_sequence + 1;
  if (first != inspection.client_first) {
    inspection.reopening = true;
    inspection.reopen_first = first;
    return {};
  }
  // No stack sends its SYN again once it has sent data. A server that has forgotten the connection
  // would take it for a new one, whose first bytes nobody would inspect.
  if ((flow.progress & kClientSpoke) != 0) return Outcome::drop(DropReason::out_of_window);
  return {};
}

void begin(Flow& flow, Inspection& inspection, uint32_t client_first,
           FlowContext& context) noexcept {
  inspection = {.client_first = client_first};
  flow.client_next = client_first;
  flow.server_next = 0;
  flow.progress = kOpenedInside;
  decide_flow(flow, context);
}

}  // namespace

Outcome tcp_open(Flow& flow, Inspection& inspection, const Arrival& arrival,
                 FlowContext& context) noexcept {
  begin(flow, inspection, arrival.packet.tcp_sequence + 1, context);
  if (flow.state == FlowState::denied) return kDenied;
  return {.verdict = flow.state == FlowState::allowed};
}

Outcome tcp_reopen(Flow& flow, Inspection& inspection, const Arrival& arrival,
                   FlowContext& context) noexcept {
  begin(flow, inspection, arrival.packet.tcp_acknowledgement, context);
  if (flow.state == FlowState::denied) {
    flow.progress |= kServerAnswered;
    flow.server_next = arrival.packet.tcp_sequence + 1;
    return kDenied;
  }
  Outcome outcome = tcp_inbound(flow, inspection, arrival, context);
  outcome.verdict = flow.state == FlowState::allowed;
  return outcome;
}

Outcome tcp_outbound(Flow& flow, Inspection& inspection, const Arrival& arrival,
                     FlowContext& context) noexcept {
  const Packet& packet = arrival.packet;
  const bool is_syn = (packet.tcp_flags & (kSyn | kAck)) == kSyn;
  if (is_syn) {
    const Outcome outcome = known_syn(flow, inspection, packet);
    if (outcome.fate == Fate::drop) return outcome;
  }
  if (flow.state == FlowState::denied) {
    return {.fate = Fate::drop, .drop_reason = DropReason::denied, .reset = true};
  }

  Outcome decided;
  if (flow.generation != context.generation) {
    decided = decide_again(flow, inspection, context);
    if (flow.state == FlowState::denied) return decided;
  }
  if (is_syn) return decided;
  const Outcome outcome = flow.state == FlowState::pending
                              ? pending_outbound(flow, inspection, arrival, context)
                              : allowed_outbound(flow, inspection, arrival, context);
  if (!decided.verdict && !decided.release) return outcome;
  // Allowed by the new policy just now: what the packet itself meets comes on top.
  decided.fate = outcome.fate;
  decided.drop_reason = outcome.drop_reason;
  return decided;
}

Outcome tcp_inbound(Flow& flow, Inspection& inspection, const Arrival& arrival,
                    FlowContext& context) noexcept {
  const Packet& packet = arrival.packet;
  if (flow.state == FlowState::denied) {
    return {.fate = Fate::drop, .drop_reason = DropReason::denied, .reset = true};
  }
  Outcome decided;
  if (flow.generation != context.generation) {
    decided = decide_again(flow, inspection, context);
    if (flow.state == FlowState::denied) return decided;
  }

  if ((packet.tcp_flags & kSyn) != 0) {
    const bool answers = (packet.tcp_flags & kAck) != 0;
    if (answers && inspection.reopening && packet.tcp_acknowledgement == inspection.reopen_first) {
      return {.fate = Fate::drop, .restart = true};
    }
    // A SYN without ACK would turn the roles round (split handshake): who is the client is settled.
    if (!answers || packet.tcp_acknowledgement != inspection.client_first) {
      decided.fate = Fate::drop;
      decided.drop_reason = DropReason::before_handshake;
      return decided;
    }
    // Until the client speaks, the last answer is the one it will acknowledge.
    if ((flow.progress & kClientSpoke) == 0) flow.server_next = packet.tcp_sequence + 1;
    flow.progress |= kServerAnswered;
  }
  if ((packet.tcp_flags & kFin) != 0) flow.progress |= kServerFin;
  if ((packet.tcp_flags & kRst) != 0 && is_plausible_reset(flow.server_next, packet.tcp_sequence)) {
    flow.progress |= kResetSeen;
  }
  advance(flow.server_next, packet.tcp_sequence + arrival.tcp_length());

  if ((flow.progress & kGuarded) != 0 && (packet.tcp_flags & kAck) != 0 &&
      sequence_distance(inspection.guard_end, packet.tcp_acknowledgement) >= 0 &&
      sequence_distance(packet.tcp_acknowledgement, flow.client_next) >= 0) {
    flow.progress &= static_cast<uint8_t>(~kGuarded);
    decided.discard = true;
  }
  return decided;
}

Outcome tcp_check_timeout(Flow& flow, const Inspection& inspection, FlowContext& context) noexcept {
  if (flow.state != FlowState::pending || inspection.held.empty() ||
      context.now_ms - inspection.held_since_ms < context.limits.inspection_timeout_ms) {
    return {};
  }
  return deny_now(flow, FlowReason::inspection_timeout, context);
}

}  // namespace sallyport
