#include "dataplane/inspect/tcp_flow.h"

#include "dataplane/inspect/flow_decision.h"
#include "dataplane/inspect/flow_watch.h"
#include "dataplane/inspect/stream_inspection.h"
#include "dataplane/inspect/tcp_hold.h"

namespace sallyport {
namespace {

using Fate = Outcome::Fate;

bool is_over(const Flow& flow) noexcept {
  constexpr uint8_t kBothFins = kClientFin | kServerFin;
  return (flow.progress & kResetSeen) != 0 || (flow.progress & kBothFins) == kBothFins;
}

// A flow that waits for its first bytes stays pending while a rule could still match; one that was
// decided, or was never inspected, has nothing more to tell.
Outcome decide_anew(Flow& flow, Inspection* inspection, FlowContext& context) noexcept {
  const bool waits = flow.state == FlowState::pending;
  decide_again(flow, !waits, context);
  if (flow.state == FlowState::denied) return kDenied;
  if (flow.state == FlowState::pending || !waits) return {};
  // By its addresses alone: nothing of it need be read.
  inspection->stream().stage = StreamStage::opaque;
  return {.release = true};
}

// Whether the packet goes on with the next HTTP request of a connection of which nothing else is
// under way, neither in a held packet nor as an answer. A new policy need not allow the last
// request for that: the next one is decided by itself, and answered if it is denied.
bool asks_next(const Flow& flow, const Inspection* inspection, const Packet& packet,
               const FlowContext& context) noexcept {
  if (inspection == nullptr || flow.state != FlowState::allowed || packet.payload_bytes == 0) {
    return false;
  }
  const StreamWatch& watch = inspection->stream();
  if (watch.stage != StreamStage::http || !watch.http.at_head() || !watch.http.all_answered()) {
    return false;
  }
  const uint32_t end = packet.tcp_sequence + packet.payload_bytes;
  return sequence_distance(watch.window_first, end) > 0 &&
         !is_held_before(context.segments, inspection->held, watch.window_first);
}

// Nothing is inspected, nothing is guarded.
Outcome unwatched_outbound(Flow& flow, const Arrival& arrival) noexcept {
  const Packet& packet = arrival.packet;
  if (packet.payload_bytes > 0) flow.progress |= kClientSpoke;
  if ((packet.tcp_flags & kFin) != 0) flow.progress |= kClientFin | kClientSpoke;
  if ((packet.tcp_flags & kRst) != 0 && is_plausible_reset(flow.client_next, packet.tcp_sequence)) {
    flow.progress |= kResetSeen;
  }
  advance(flow.client_next, packet.tcp_sequence, arrival.tcp_length());
  return {};
}

// A SYN on a flow that is known. Another number is another connection: the flow begins anew with
// it, and until the server has answered this very SYN none of the client's bytes leave. So it never
// goes out on a flow that goes on as it was: a server that takes it would read bytes that nobody
// looked at. A stray one must not cost a connection in use its life: then it waits for a pause, and
// its sender repeats it.
Outcome known_syn(const Flow& flow, const Packet& packet, const FlowContext& context) noexcept {
  constexpr uint32_t kPauseMs = 900;  // SYNs are repeated after a second (RFC 6298 section 2.1)
  if (packet.payload_bytes > 0) return Outcome::drop(DropReason::syn_with_data);
  constexpr Outcome kRestart{.fate = Fate::drop, .restart = true};
  if (flow.state == FlowState::denied || is_over(flow)) return kRestart;
  if (packet.tcp_sequence + 1 != flow.client_first) {
    const bool in_use = (flow.progress & kServerAnswered) != 0 && context.quiet_ms < kPauseMs;
    return in_use ? Outcome::drop(DropReason::out_of_window) : kRestart;
  }
  // No stack sends its SYN again once it has sent data. A server that has forgotten the connection
  // would take it for a new one, whose first bytes nobody would inspect.
  if ((flow.progress & kClientSpoke) != 0) return Outcome::drop(DropReason::out_of_window);
  return {};
}

void begin(Flow& flow, uint32_t client_first, FlowContext& context) noexcept {
  flow.client_first = client_first;
  flow.client_next = client_first;
  flow.server_next = 0;
  flow.progress = kOpenedInside;
  decide_start(flow, context);
  if (flow.state != FlowState::pending) return;
  if (watch_stream(flow, context) == nullptr) {
    except(flow, Exception::inspection_limit, AppFacts{}, context);
  }
}

// What of the held copies the server has now is no secret any more.
// @return whether any may be freed.
bool acknowledge(const Flow& flow, Inspection& inspection, const Packet& packet) noexcept {
  StreamWatch& watch = inspection.stream();
  if ((packet.tcp_flags & kAck) == 0 ||
      sequence_distance(packet.tcp_acknowledgement, flow.client_next) < 0) {
    return false;
  }
  advance(watch.acknowledged, packet.tcp_acknowledgement);
  if (watch.guarded && is_read_acknowledged(watch, packet.tcp_acknowledgement)) {
    watch.guarded = watch.unguarded = false;
  }
  return !inspection.held.empty();
}

Outcome syn_ack(Flow& flow, Inspection* inspection, const Packet& packet,
                bool incomplete) noexcept {
  const bool answers = (packet.tcp_flags & kAck) != 0;
  // A SYN without ACK would turn the roles round (split handshake): who is the client is settled.
  // TCP Fast Open acknowledges what came in the SYN, too: replay alone has read that.
  const bool fast_open = incomplete && (flow.progress & kServerAnswered) == 0 &&
                         packet.tcp_acknowledgement == flow.client_next;
  if (!answers || (packet.tcp_acknowledgement != flow.client_first && !fast_open)) {
    return Outcome::drop(DropReason::before_handshake);
  }
  // Until the client speaks, the last answer is the one it will acknowledge.
  if ((flow.progress & kClientSpoke) == 0 || fast_open) {
    flow.server_next = packet.tcp_sequence + 1;
    if (inspection != nullptr) inspection->stream().server_first = flow.server_next;
  }
  flow.progress |= kServerAnswered;
  return {};
}

}  // namespace

Outcome tcp_open(Flow& flow, const Arrival& arrival, FlowContext& context) noexcept {
  begin(flow, arrival.packet.tcp_sequence + 1, context);
  if (flow.state == FlowState::denied) return kDenied;
  Inspection* inspection = inspection_of(flow, context);
  if (arrival.packet.payload_bytes == 0 || inspection == nullptr) return {};
  // TCP Fast Open, in replay: read as the segment in which the client sends it again when it is
  // refused.
  Packet data = arrival.packet;
  data.tcp_sequence = flow.client_first;
  data.tcp_flags = kAck;
  return watched_outbound(flow, *inspection, {data, arrival.frame, arrival.handle}, context);
}

Outcome tcp_take_up(Flow& flow, const Arrival& arrival, bool outbound,
                    FlowContext& context) noexcept {
  const Packet& packet = arrival.packet;
  begin(flow, outbound ? packet.tcp_sequence : packet.tcp_acknowledgement, context);
  flow.progress |= kMidstream | kServerAnswered;
  flow.server_next = outbound ? packet.tcp_acknowledgement : packet.tcp_sequence;
  if (flow.state == FlowState::denied) return kDenied;
  if (Inspection* inspection = inspection_of(flow, context)) {
    inspection->stream().server_first = flow.server_next;
  }
  return outbound ? tcp_outbound(flow, arrival, context) : tcp_inbound(flow, arrival, context);
}

Outcome tcp_pass_midstream(Flow& flow, const Arrival& arrival, bool outbound,
                           FlowContext& context) noexcept {
  const Packet& packet = arrival.packet;
  flow.client_first = outbound ? packet.tcp_sequence : packet.tcp_acknowledgement;
  flow.client_next = flow.client_first;
  flow.server_next = outbound ? packet.tcp_acknowledgement : packet.tcp_sequence;
  flow.progress |= kMidstream | kClientSpoke;
  except(flow, Exception::midstream, AppFacts{}, context);
  if (flow.state == FlowState::denied) return kDenied;
  flow.progress |= kServerAnswered;
  return outbound ? unwatched_outbound(flow, arrival) : tcp_inbound(flow, arrival, context);
}

Outcome tcp_outbound(Flow& flow, const Arrival& arrival, FlowContext& context) noexcept {
  const Packet& packet = arrival.packet;
  const bool is_syn = (packet.tcp_flags & (kSyn | kAck)) == kSyn;
  if (is_syn) {
    const Outcome outcome = known_syn(flow, packet, context);
    if (outcome.fate == Fate::drop) return outcome;
  } else if ((packet.tcp_flags & kRst) == 0) {
    // Whoever was reset, the client was not: it would be silent.
    flow.progress &= static_cast<uint16_t>(~kResetSeen);
  }
  if (flow.state == FlowState::denied) {
    return {.fate = Fate::drop, .drop_reason = DropReason::denied, .tell = true};
  }

  Inspection* inspection = inspection_of(flow, context);
  if (flow.generation == context.generation) [[likely]] {
    if (is_syn) return {};
    return inspection == nullptr ? unwatched_outbound(flow, arrival)
                                 : watched_outbound(flow, *inspection, arrival, context);
  }
  if (!is_syn && asks_next(flow, inspection, packet, context)) {
    return watched_outbound(flow, *inspection, arrival, context);
  }
  Outcome decided = decide_anew(flow, inspection, context);
  if (flow.state == FlowState::denied || is_syn) return decided;
  const Outcome outcome = inspection == nullptr
                              ? unwatched_outbound(flow, arrival)
                              : watched_outbound(flow, *inspection, arrival, context);
  if (!decided.release || flow.state == FlowState::denied) return outcome;
  // Allowed by the new policy just now: what the packet itself meets comes on top.
  decided.fate = outcome.fate;
  decided.drop_reason = outcome.drop_reason;
  return decided;
}

Outcome tcp_inbound(Flow& flow, const Arrival& arrival, FlowContext& context) noexcept {
  const Packet& packet = arrival.packet;
  if (flow.state == FlowState::denied) {
    return {.fate = Fate::drop, .drop_reason = DropReason::denied, .tell = true};
  }
  Inspection* inspection = inspection_of(flow, context);
  Outcome decided;
  if (flow.generation != context.generation) [[unlikely]] {
    decided = decide_anew(flow, inspection, context);
    if (flow.state == FlowState::denied) return decided;
  }
  if ((packet.tcp_flags & kSyn) != 0) {
    const Outcome outcome = syn_ack(flow, inspection, packet, context.limits.incomplete);
    if (outcome.fate == Fate::drop) {
      decided.fate = Fate::drop;
      decided.drop_reason = outcome.drop_reason;
      return decided;
    }
  }
  if ((packet.tcp_flags & kFin) != 0) flow.progress |= kServerFin;
  if ((packet.tcp_flags & kRst) != 0 && is_plausible_reset(flow.server_next, packet.tcp_sequence)) {
    flow.progress |= kResetSeen;
  }
  const uint32_t server_next = flow.server_next;
  advance(flow.server_next, packet.tcp_sequence, arrival.tcp_length());
  if (inspection == nullptr) return decided;

  const bool acknowledged = acknowledge(flow, *inspection, packet);
  decided.acknowledged = acknowledged && !inspection->held.empty();
  if (inspection->stream().stage == StreamStage::dns) {
    learn_from_segment(flow, inspection->stream(), arrival, context);
  }
  if (inspect_server(inspection->stream(), arrival)) {
    if (!read_window(flow, *inspection, context)) {
      flow.server_next = server_next;  // the packet goes nowhere, and a RST must fit what did
      return kDenied;
    }
    decided.release = true;
  }
  return decided;
}

}  // namespace sallyport
