#include "dataplane/inspect/inbound_flow.h"

#include "dataplane/inspect/quic_header.h"

namespace sallyport {
namespace {

using Fate = Outcome::Fate;

bool is_syn(const Packet& packet) noexcept {
  return (packet.tcp_flags & (kSyn | kAck)) == kSyn;
}

Outcome tcp_answer(Flow& flow, const Packet& packet) noexcept {
  if (is_syn(packet)) {
    if (packet.payload_bytes > 0) return Outcome::drop(DropReason::syn_with_data);
    return {.fate = Fate::drop, .restart = true};
  }
  if ((packet.tcp_flags & kSyn) != 0) {
    const bool answers = packet.tcp_acknowledgement == flow.client_first;
    if (!answers || packet.payload_bytes > 0) return Outcome::drop(DropReason::before_handshake);
    flow.progress |= kServerAnswered;
    return {};
  }
  if ((packet.tcp_flags & kRst) != 0 && packet.payload_bytes == 0) {
    flow.progress |= kResetSeen;
    return {};
  }
  if ((flow.progress & kServerAnswered) == 0) return Outcome::drop(DropReason::before_handshake);
  return {};
}

// Whether the client's keys open an Initial of it: a server answers with its own.
bool is_client_initial(std::span<const uint8_t> payload, FlowContext& context) noexcept {
  if (!may_start_quic(payload)) return false;
  QuicTracker tracker;
  quic_step(payload, tracker, std::span(context.joined).first(kMaxQuicHelloBytes),
            context.quic_scratch, context.quic_step);
  return tracker.started();
}

// From a port that any program gets to one that servers have.
bool goes_to_service(const FlowKey& key) noexcept {
  constexpr uint16_t kFirstFreePort = 1024;  // RFC 6335 section 6
  return key.outside_port < kFirstFreePort && key.inside_port >= kFirstFreePort;
}

bool speaks_as_client(const Flow& flow, const Arrival& arrival, FlowContext& context) noexcept {
  const auto payload = arrival.payload();
  return goes_to_service(flow.key) || is_client_initial(payload, context) ||
         parse_dns_query(payload, flow.key.outside_port, context.dns_query).status !=
             DnsQueryAnswer::Status::not_dns;
}

}  // namespace

Outcome from_outside(Flow& flow, const Arrival& arrival) noexcept {
  const Packet& packet = arrival.packet;
  if (packet.kind != PacketKind::tcp) return {};
  if ((packet.tcp_flags & kRst) != 0) flow.progress |= kResetSeen;
  if (is_syn(packet)) {
    flow.client_first = packet.tcp_sequence + 1;
  } else if ((packet.tcp_flags & kSyn) != 0) {
    return Outcome::drop(DropReason::before_handshake);  // it answers no SYN
  }
  return {};
}

Outcome answer_outside(Flow& flow, const Arrival& arrival, FlowContext& context) noexcept {
  switch (arrival.packet.kind) {
    case PacketKind::tcp:
      return tcp_answer(flow, arrival.packet);
    case PacketKind::udp:
      if (!speaks_as_client(flow, arrival, context)) return {};
      return {.fate = Fate::drop, .restart = true};
    default:
      return {};
  }
}

}  // namespace sallyport
