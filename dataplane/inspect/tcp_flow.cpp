#include "dataplane/inspect/tcp_flow.h"

#include "dataplane/inspect/flow_decision.h"
#include "dataplane/inspect/tcp_hold.h"

namespace sallyport {
namespace {

using Fate = Outcome::Fate;

bool is_over(const Flow& flow) noexcept {
  constexpr uint8_t kBothFins = kClientFin | kServerFin;
  return (flow.progress & kResetSeen) != 0 || (flow.progress & kBothFins) == kBothFins;
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
