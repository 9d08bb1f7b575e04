// What a FlowStage says back: RSTs, and the passage of ICMP errors.
#include "dataplane/io/flow_stage.h"
#include "dataplane/io/reset.h"

namespace sallyport {
namespace {

// Bytes from the IP header on.
constexpr size_t kLongestIcmpError = 576;
constexpr size_t kLongestIcmpV6Error = 1280;

Direction opposite(Direction direction) noexcept {
  return direction == Direction::outbound ? Direction::inbound : Direction::outbound;
}

}  // namespace

void FlowStage::send_reset(std::span<const uint8_t> frame, const Packet& packet,
                           Direction direction, bool to_sender, ResetFields fields) noexcept {
  rte_mbuf* reset = make_reset(pool_, frame, packet, to_sender, fields);
  if (reset == nullptr) {
    counters_.drop(DropReason::no_transmit_buffer);
    return;
  }
  counters_.add(Counter::resets_sent);
  transmit_.queue(direction, reset);
}

// The sender is answered by what it acknowledged; the other end, if there is one yet, by what the
// flow's tracking says it expects next. A RST is never answered.
void FlowStage::send_resets(const Flow& flow, const InHand& in_hand,
                            const Packet& packet) noexcept {
  if (packet.kind != PacketKind::tcp || flow.on_deny == OnDeny::drop) return;
  const auto frame = frame_of(in_hand.mbuf);
  if ((packet.tcp_flags & kRst) == 0) {
    send_reset(frame, packet, opposite(in_hand.direction), true, reset_for_sender(packet));
  }
  if ((flow.progress & kServerAnswered) == 0) return;
  const bool outbound = in_hand.direction == Direction::outbound;
  send_reset(frame, packet, in_hand.direction, false,
             {.sequence = outbound ? flow.client_next : flow.server_next,
              .acknowledgement = outbound ? flow.server_next : flow.client_next});
}

// A TCP packet that no flow is there or can be made for: one from inside is told at once, so that
// its program does not wait; one from outside is owed nothing.
void FlowStage::refuse(const Burst& burst, uint16_t i, DropReason why) noexcept {
  const Packet& packet = burst.packet[i];
  if (burst.direction[i] == Direction::outbound && (packet.tcp_flags & kRst) == 0) {
    send_reset(frame_of(burst.mbuf[i]), packet, Direction::inbound, true, reset_for_sender(packet));
  }
  drop(burst.mbuf[i], why);
}

// Path MTU discovery and unreachable ports need these. They pass only for a flow that is there, to
// the end that sent what they quote, and no longer than they need be (RFC 1812 section 4.3.2.3,
// RFC 4443 section 2.4). One from inside carries bytes out, so its flow must be allowed, by the
// policy in force.
void FlowStage::handle_icmp_error(Burst& burst, uint16_t i) noexcept {
  const Packet& packet = burst.packet[i];
  uint32_t index = burst.flow[i];
  if (index == FlowTable::kNone) index = find_again(burst, i);
  const size_t longest = packet.flow.source.is_v4() ? kLongestIcmpError : kLongestIcmpV6Error;
  if (index == FlowTable::kNone || packet.flow.destination != packet.quoted.source ||
      rte_pktmbuf_pkt_len(burst.mbuf[i]) - packet.l3_offset > longest) {
    return drop(burst.mbuf[i], DropReason::icmp_unrelated);
  }
  Flow& flow = table_.flow(index);
  const bool may_pass =
      burst.direction[i] == Direction::inbound
          ? flow.state != FlowState::denied
          : flow.state == FlowState::allowed && flow.generation == context_.generation;
  if (!may_pass) return drop(burst.mbuf[i], DropReason::icmp_unrelated);
  forward(flow, burst.direction[i], burst.mbuf[i]);
}

}  // namespace sallyport
