// What a FlowStage says back: RSTs, and the passage of ICMP errors.
#include "dataplane/io/flow_stage.h"
#include "dataplane/io/reset.h"

namespace sallyport {
namespace {

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
  if (packet.kind != PacketKind::tcp) return;
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

// A packet of a TCP flow whose beginning was never seen: one from inside is told at once, so that
// its program connects anew; one from outside is owed nothing.
void FlowStage::refuse(const Burst& burst, uint16_t i) noexcept {
  const Packet& packet = burst.packet[i];
  if (burst.direction[i] == Direction::outbound && (packet.tcp_flags & kRst) == 0) {
    send_reset(frame_of(burst.mbuf[i]), packet, Direction::inbound, true, reset_for_sender(packet));
  }
  drop(burst.mbuf[i], DropReason::midstream);
}

// Path MTU discovery and unreachable ports need these; they pass only for a flow that is there.
void FlowStage::handle_icmp_error(Burst& burst, uint16_t i) noexcept {
  uint32_t index = burst.flow[i];
  if (index == FlowTable::kNone) index = find_again(burst, i);
  if (index == FlowTable::kNone || table_.flow(index).state == FlowState::denied ||
      table_.flow(index).generation != context_.generation) {
    return drop(burst.mbuf[i], DropReason::icmp_unrelated);
  }
  forward(table_.flow(index), burst.direction[i], burst.mbuf[i]);
}

}  // namespace sallyport
