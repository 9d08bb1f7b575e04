#include "dataplane/io/classify.h"

#include <rte_prefetch.h>

#include <array>

namespace sallyport {
namespace {

constexpr size_t kPrefetchAhead = 4;

Direction opposite(Direction direction) noexcept {
  return direction == Direction::outbound ? Direction::inbound : Direction::outbound;
}

// An ICMP error belongs to the flow whose packet it quotes, and travels against that packet.
FlowKey key_of(const Packet& packet, Direction direction) noexcept {
  if (packet.kind == PacketKind::icmp_error) return flow_key(packet.quoted, opposite(direction));
  return flow_key(packet.flow, direction);
}

}  // namespace

void classify(std::span<rte_mbuf* const> received, const PortPair& ports, FlowHash hash,
              Burst& burst, Transmit& transmit, CoreCounters& counters) noexcept {
  burst.count = 0;
  for (size_t i = 0; i < received.size(); ++i) {
    if (i + kPrefetchAhead < received.size()) {
      rte_prefetch0(rte_pktmbuf_mtod(received[i + kPrefetchAhead], void*));
    }
    rte_mbuf* mbuf = received[i];
    const Direction direction =
        mbuf->port == ports.inside ? Direction::outbound : Direction::inbound;
    if (mbuf->nb_segs != 1) {
      counters.drop(DropReason::many_segments);
      rte_pktmbuf_free(mbuf);
      continue;
    }
    Packet& packet = burst.packet[burst.count];
    const DecodeFault fault = decode(frame_of(mbuf), packet);
    if (fault != DecodeFault::none) {
      counters.fault(fault);
      rte_pktmbuf_free(mbuf);
      continue;
    }
    if (packet.kind == PacketKind::arp || packet.kind == PacketKind::neighbor_discovery) {
      counters.add(Counter::link_control);
      transmit.queue(direction, mbuf);
      continue;
    }
    burst.mbuf[burst.count] = mbuf;
    burst.direction[burst.count] = direction;
    burst.key[burst.count] = key_of(packet, direction);
    burst.hash[burst.count] = hash(burst.key[burst.count]);
    ++burst.count;
  }
}

void find_flows(Burst& burst, const FlowTable& table) noexcept {
  std::array<uint32_t, kBurst> hashes;
  for (uint16_t i = 0; i < burst.count; ++i) hashes[i] = FlowHash::bucket_part(burst.hash[i]);
  table.find(burst.key.data(), {hashes.data(), burst.count}, burst.flow.data());
}

void orient(Burst& burst, uint16_t i, FlowHash hash, const FlowTable& table) noexcept {
  if (burst.flow[i] != FlowTable::kNone) return;
  burst.flow[i] = table.find(burst.key[i], FlowHash::bucket_part(burst.hash[i]));
  if (burst.flow[i] != FlowTable::kNone) return;

  const Packet& packet = burst.packet[i];
  const FlowKey turned = key_of(packet, opposite(burst.direction[i]));
  const uint64_t turned_hash = hash(turned);
  const uint32_t flow = table.find(turned, FlowHash::bucket_part(turned_hash));
  constexpr uint8_t kSynAck = kSyn | kAck;
  const bool answers = packet.kind == PacketKind::tcp && (packet.tcp_flags & kSynAck) == kSynAck;
  if (flow == FlowTable::kNone && !answers) return;
  burst.flow[i] = flow;
  burst.key[i] = turned;
  burst.hash[i] = turned_hash;
  burst.direction[i] = opposite(burst.direction[i]);
}

}  // namespace sallyport
