// The passage of ICMP errors through a FlowStage.
#include "dataplane/inspect/flow_budget.h"
#include "dataplane/io/flow_stage.h"
#include "dataplane/io/reply.h"
#include "policy/runtime/facts.h"

namespace sallyport {

namespace {

// What the client of the flow would send next. It stands for an ICMP error where both ends of a
// connection are to be told: nothing answers an ICMP error itself (RFC 1122 section 3.2.2).
Packet next_of_client(const Flow& flow, const Packet& error) noexcept {
  Packet packet = error;
  if (flow.key.ip_protocol != kIpProtocolTcp) return packet;
  packet.kind = PacketKind::tcp;
  packet.flow = {.source = flow.key.inside,
                 .destination = flow.key.outside,
                 .source_port = flow.key.inside_port,
                 .destination_port = flow.key.outside_port,
                 .ip_protocol = kIpProtocolTcp};
  packet.payload_bytes = 0;
  packet.tcp_flags = kAck;
  packet.tcp_sequence = flow.client_next;
  packet.tcp_acknowledgement = flow.server_next;
  return packet;
}

}  // namespace

// Path MTU discovery and unreachable ports need these. They pass only for a flow that is there, to
// the end that sent what they quote, and no longer than they need be (RFC 1812 section 4.3.2.3,
// RFC 4443 section 2.4). One from inside carries bytes out, so its flow must be allowed, by the
// policy in force.
void FlowStage::handle_icmp_error(Burst& burst, uint16_t i) noexcept {
  const Packet& packet = burst.packet[i];
  const uint32_t index = flow_of(burst, i);
  const size_t longest = longest_icmp_error(packet.flow.source.is_v4());
  if (index == FlowTable::kNone || packet.flow.destination != packet.quoted.source ||
      rte_pktmbuf_pkt_len(burst.mbuf[i]) - packet.l3_offset > longest) {
    return drop(burst.mbuf[i], DropReason::icmp_unrelated, burst.direction[i]);
  }
  Flow& flow = table_.flow(index);
  const bool may_pass =
      burst.direction[i] == Direction::inbound
          ? flow.state != FlowState::denied
          : flow.state == FlowState::allowed && flow.generation == context_.generation;
  if (!may_pass) return drop(burst.mbuf[i], DropReason::icmp_unrelated, burst.direction[i]);
  if (burst.direction[i] == Direction::outbound &&
      !pay(flow, rte_pktmbuf_pkt_len(burst.mbuf[i]), context_)) {
    const InHand in_hand{burst.mbuf[i], burst.direction[i], flow, flow.client_next};
    return cut_off(Outcome::Fate::forward, in_hand, next_of_client(flow, packet));
  }
  ++sent_at_once_;
  forward(flow, burst.direction[i], burst.mbuf[i]);
}

}  // namespace sallyport
