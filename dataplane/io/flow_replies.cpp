// How a FlowStage tells both ends that a flow is denied, so that neither waits.
#include <algorithm>

#include "dataplane/inspect/farewell.h"
#include "dataplane/inspect/flow_decision.h"
#include "dataplane/inspect/flow_watch.h"
#include "dataplane/inspect/tcp_hold.h"
#include "dataplane/io/denial_text.h"
#include "dataplane/io/flow_stage.h"
#include "dataplane/io/reply.h"

namespace sallyport {
namespace {

// TLSPlaintext with a fatal access_denied (RFC 8446 section 6). Every client takes the version of
// TLS 1.2 here, whatever it offered.
constexpr std::array<uint8_t, 7> kAccessDenied{21, 3, 3, 0, 2, 2, 49};

// What a client may send on behind its farewell before it is reset: enough for it to have written
// a small body and read the answer.
constexpr int32_t kMostBehindFarewell = 1 << 20;

}  // namespace

bool FlowStage::send_tcp(std::span<const uint8_t> frame, const Packet& packet, Direction direction,
                         bool to_sender, const TcpReply& reply) noexcept {
  rte_mbuf* mbuf = make_tcp_reply(pool_, frame, packet, to_sender, reply);
  if (mbuf == nullptr) {
    counters_.add(Counter::replies_lost);
    return false;
  }
  if ((reply.flags & kRst) != 0) counters_.add(Counter::resets_sent_outbound, direction);
  transmit_.queue(direction, mbuf);
  return true;
}

void FlowStage::tell(const Outcome& outcome, const InHand& in_hand, const Packet& packet) noexcept {
  Flow& flow = in_hand.flow;
  if (flow.on_deny == OnDeny::drop) return;
  if (packet.kind != PacketKind::tcp) {
    if (in_hand.direction == Direction::outbound) tell_by_icmp(frame_of(in_hand.mbuf), packet);
    return;
  }
  if ((flow.progress & kToldFarewell) != 0) return answer_told(flow, in_hand, packet);
  if (in_hand.direction == Direction::outbound && outcome.farewell != Farewell::reset &&
      send_farewell(flow, outcome.farewell, in_hand, packet)) {
    return;
  }
  send_resets(flow, in_hand, packet);
}

// The sender is answered by what it acknowledged; the other end, if there is one yet, by what the
// flow's tracking says it expects next, and once: if that was lost, it speaks, and is answered
// itself. A RST is never answered, nor a server that the policy denied before it could have been
// told of a client.
void FlowStage::send_resets(Flow& flow, const InHand& in_hand, const Packet& packet) noexcept {
  const auto frame = frame_of(in_hand.mbuf);
  const bool outbound = in_hand.direction == Direction::outbound;
  const bool answered = (flow.progress & kServerAnswered) != 0;
  const bool may_hear = outbound || answered || (flow.progress & kMidstream) == 0;
  if (may_hear && (packet.tcp_flags & kRst) == 0) {
    send_tcp(frame, packet, opposite(in_hand.direction), true, reset_for_sender(packet));
  }
  if ((outbound && !answered) || (flow.progress & kToldFarEnd) != 0) return;
  const bool sent = send_tcp(frame, packet, in_hand.direction, false,
                             {.sequence = outbound ? flow.client_next : flow.server_next,
                              .acknowledgement = outbound ? flow.server_next : flow.client_next});
  if (sent) flow.progress |= kToldFarEnd;
}

// In the server's name, behind the last that it said, with FIN: the client reads it at leisure,
// where a RST might have taken the word from its ears. The server is reset.
// @return false when there was no buffer.
bool FlowStage::send_farewell(Flow& flow, Farewell farewell, const InHand& in_hand,
                              const Packet& packet) noexcept {
  const Inspection* inspection = inspection_of(flow, context_);
  if (inspection == nullptr) return false;
  const std::span<const uint8_t> text = farewell_text(flow, farewell);
  const uint32_t received = received_end(flow, *inspection, context_);
  const auto frame = frame_of(in_hand.mbuf);
  const bool sent = send_tcp(frame, packet, Direction::inbound, true,
                             {.sequence = flow.server_next,
                              .acknowledgement = received,
                              .flags = kPsh | kAck | kFin,
                              .payload = text});
  if (!sent) return false;
  counters_.add(farewell == Farewell::http_forbidden ? Counter::http_forbidden_sent
                                                     : Counter::tls_alerts_sent);
  send_tcp(frame, packet, Direction::outbound, false,
           {.sequence = flow.client_next, .acknowledgement = flow.server_next});
  flow.progress |= kToldFarewell;
  flow.client_first = flow.client_next = received;  // what comes behind is counted from here
  flow.server_next += static_cast<uint32_t>(text.size()) + 1;
  return true;
}

std::span<const uint8_t> FlowStage::farewell_text(const Flow& flow, Farewell farewell) noexcept {
  if (farewell == Farewell::tls_alert) return kAccessDenied;
  return write_forbidden(flow, context_.table, denial_text_);
}

// To a client that has not acknowledged its farewell, with all that it has sent since: it may have
// been lost, and what is acknowledged alone is not sent again.
// @return false when this cannot be done: the client waits for more, or the text is another by now.
bool FlowStage::repeat_farewell(const Flow& flow, const InHand& in_hand,
                                const Packet& packet) noexcept {
  if (flow.generation != context_.generation) return false;
  const bool tls = flow.app == AppProtocol::tls;
  const auto text = farewell_text(flow, tls ? Farewell::tls_alert : Farewell::http_forbidden);
  const uint32_t start = flow.server_next - static_cast<uint32_t>(text.size()) - 1;
  if (packet.tcp_acknowledgement != start ||
      !send_tcp(frame_of(in_hand.mbuf), packet, Direction::inbound, true,
                {.sequence = start,
                 .acknowledgement = flow.client_next,
                 .flags = kPsh | kAck | kFin,
                 .payload = text})) {
    return false;
  }
  counters_.add(tls ? Counter::tls_alerts_sent : Counter::http_forbidden_sent);
  return true;
}

// Behind its farewell a client may still be writing: what comes in order is acknowledged and goes
// nowhere, so that it gets round to reading. A server that goes on is reset.
void FlowStage::answer_told(Flow& flow, const InHand& in_hand, const Packet& packet) noexcept {
  if ((packet.tcp_flags & kRst) != 0) return;
  const auto frame = frame_of(in_hand.mbuf);
  if (in_hand.direction == Direction::inbound) {
    send_tcp(frame, packet, Direction::outbound, true, reset_for_sender(packet));
    return;
  }
  const uint32_t length = packet.payload_bytes + ((packet.tcp_flags & kFin) != 0);
  if (length == 0) return;
  const uint32_t end = packet.tcp_sequence + length;
  if (sequence_distance(flow.client_first, end) > kMostBehindFarewell) {
    send_tcp(frame, packet, Direction::inbound, true, reset_for_sender(packet));
    return;
  }
  const bool said_before = sequence_distance(end, flow.client_next) >= 0;
  if (sequence_distance(packet.tcp_sequence, flow.client_next) >= 0) advance(flow.client_next, end);
  if (packet.tcp_acknowledgement != flow.server_next) {
    if (repeat_farewell(flow, in_hand, packet)) return;
    // It would say this again and again, and never hear what stands behind something it has missed.
    if (said_before) {
      send_tcp(frame, packet, Direction::inbound, true, reset_for_sender(packet));
      return;
    }
  }
  if (send_tcp(
          frame, packet, Direction::inbound, true,
          {.sequence = flow.server_next, .acknowledgement = flow.client_next, .flags = kAck})) {
    counters_.add(Counter::acks_sent);
  }
}

// Only the inside is told, and not without end: errors are limited in rate (RFC 4443 section 2.4).
void FlowStage::tell_by_icmp(std::span<const uint8_t> frame, const Packet& packet) noexcept {
  if (!may_be_answered_by_icmp(frame, packet)) return;
  if (!icmp_budget_.take(now_.ms)) {
    counters_.add(Counter::icmp_errors_limited);
    return;
  }
  rte_mbuf* mbuf = make_prohibited(pool_, frame, packet);
  if (mbuf == nullptr) {
    counters_.add(Counter::replies_lost);
    return;
  }
  counters_.add(Counter::icmp_errors_sent);
  transmit_.queue(Direction::inbound, mbuf);
}

// A packet that no flow is there or can be made for: an end inside is told at once, so that its
// program does not wait.
void FlowStage::refuse(const Burst& burst, uint16_t i, Exception condition,
                       DropReason why) noexcept {
  const Packet& packet = burst.packet[i];
  counters_.exception(condition);
  if (options_.limits.exceptions[condition] != ExceptionAction::drop_packet) {
    if (packet.kind == PacketKind::tcp) {
      if ((packet.tcp_flags & kRst) == 0) reset_unknown(burst, i);
    } else if (burst.direction[i] == Direction::outbound) {
      tell_by_icmp(frame_of(burst.mbuf[i]), packet);
    }
  }
  drop(burst.mbuf[i], why, burst.direction[i]);
}

// An end outside is owed nothing, but for a while after start, when it may be in the midst of a
// flow that its other end reads in silence. What the policy could not allow is told to nobody
// outside.
void FlowStage::reset_unknown(const Burst& burst, uint16_t i) noexcept {
  const Packet& packet = burst.packet[i];
  const auto frame = frame_of(burst.mbuf[i]);
  const Direction direction = burst.direction[i];
  const bool outbound = direction == Direction::outbound;
  if (outbound) send_tcp(frame, packet, Direction::inbound, true, reset_for_sender(packet));
  if (grace_left_ms_ == 0 || (packet.tcp_flags & (kSyn | kAck)) != kAck) return;
  const bool may_hear = may_be_allowed(Flow{.key = burst.key[i]}, AppFacts{}, context_);
  if (outbound && !may_hear) return;
  if (!outbound && may_hear) {
    send_tcp(frame, packet, Direction::outbound, true, reset_for_sender(packet));
  }
  send_tcp(frame, packet, direction, false,
           {.sequence = packet.tcp_sequence, .acknowledgement = packet.tcp_acknowledgement});
}

}  // namespace sallyport
