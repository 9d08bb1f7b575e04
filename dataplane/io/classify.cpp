#include "dataplane/io/classify.h"

#include <rte_prefetch.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace sallyport {
namespace {

constexpr size_t kPrefetchAhead = 4;
constexpr size_t kMinFrameBytes = 60;  // IEEE 802.3, without FCS

// An ICMP error belongs to the flow whose packet it quotes, and travels against that packet.
[[gnu::noinline]] FlowKey quoted_key(const Packet& packet, Direction direction) noexcept {
  return flow_key(packet.quoted, packet.vlan_ids, opposite(direction));
}

[[gnu::always_inline]] inline FlowKey key_of(const Packet& packet, Direction direction) noexcept {
  if (packet.kind == PacketKind::icmp_error) [[unlikely]]
    return quoted_key(packet, direction);
  return flow_key(packet.flow, packet.vlan_ids, direction);
}

// Bytes behind the packet are nobody's to read: they must not carry any out. What the link needs to
// reach its shortest frame stays, as zeros.
void wipe_trailer(rte_mbuf* mbuf, const Packet& packet) noexcept {
  const size_t end = size_t{packet.payload_offset} + packet.payload_bytes;
  const size_t frame = rte_pktmbuf_data_len(mbuf);
  if (end >= frame) return;
  const size_t kept = std::min(frame, std::max(end, kMinFrameBytes));
  std::memset(rte_pktmbuf_mtod_offset(mbuf, char*, end), 0, kept - end);
  rte_pktmbuf_trim(mbuf, static_cast<uint16_t>(frame - kept));
}

bool is_link_control(PacketKind kind) noexcept {
  static_assert(PacketKind::arp < PacketKind::neighbor_discovery &&
                PacketKind::router_message < PacketKind::neighbor_discovery &&
                PacketKind::neighbor_discovery < PacketKind::tcp);
  return kind <= PacketKind::neighbor_discovery;
}

// Without a flow, so only what is whole and comes from the side it may come from.
void pass_link_control(rte_mbuf* mbuf, const Packet& packet, Direction direction,
                       Transmit& transmit, CoreCounters& counters) noexcept {
  if (packet.kind == PacketKind::router_message && direction == Direction::outbound) {
    counters.drop(DropReason::router_message, direction);
  } else if (packet.kind != PacketKind::arp && !l4_checksum_ok(frame_of(mbuf), packet)) {
    counters.drop(DropReason::bad_l4_checksum, direction);
  } else {
    counters.add(Counter::link_control);
    transmit.queue(direction, mbuf);
    return;
  }
  rte_pktmbuf_free(mbuf);
}

bool comes_from_server(const Packet& packet) noexcept {
  constexpr uint16_t kFirstOrdinaryPort = 1024;
  const bool opens = packet.kind == PacketKind::tcp && (packet.tcp_flags & kSyn) != 0;
  return !opens && packet.flow.source_port < kFirstOrdinaryPort &&
         packet.flow.destination_port >= kFirstOrdinaryPort;
}

// What a FragmentStage gives back must decode as a whole packet: a fragment inside another is a
// fault like any. Link messages in fragments are to be ignored (RFC 6980).
DecodeFault decode_whole(const rte_mbuf* mbuf, Packet& packet) noexcept {
  const DecodeFault fault = decode(frame_of(mbuf), packet);
  if (fault != DecodeFault::none) return fault;
  return is_link_control(packet.kind) ? DecodeFault::bad_fragment : DecodeFault::none;
}

}  // namespace

uint64_t classify(std::span<rte_mbuf* const> received, const ClassifyContext& context,
                  Burst& burst) noexcept {
  CoreCounters& counters = context.counters;
  const uint16_t inside = context.ports.inside;
  uint16_t count = 0;
  uint64_t bytes = 0;
  for (size_t i = 0; i < received.size(); ++i) {
    if (i + kPrefetchAhead < received.size()) {
      rte_prefetch0(rte_pktmbuf_mtod(received[i + kPrefetchAhead], void*));
    }
    rte_mbuf* mbuf = received[i];
    bytes += rte_pktmbuf_pkt_len(mbuf);
    const Direction direction = mbuf->port == inside ? Direction::outbound : Direction::inbound;
    if (mbuf->nb_segs != 1) {
      counters.drop(DropReason::many_segments, direction);
      rte_pktmbuf_free(mbuf);
      continue;
    }
    Packet& packet = burst.packet[count];
    DecodeFault fault = decode(frame_of(mbuf), packet);
    if (fault == DecodeFault::fragment) {
      mbuf = context.fragments.take(mbuf, direction);
      if (mbuf == nullptr) continue;
      fault = decode_whole(mbuf, packet);
    }
    if (fault != DecodeFault::none) {
      counters.fault(fault, direction);
      rte_pktmbuf_free(mbuf);
      continue;
    }
    wipe_trailer(mbuf, packet);
    if (is_link_control(packet.kind)) {
      pass_link_control(mbuf, packet, direction, context.transmit, counters);
      continue;
    }
    burst.mbuf[count] = mbuf;
    burst.direction[count] = direction;
    burst.key[count] = key_of(packet, direction);
    burst.hash[count] = context.hash(burst.key[count]);
    ++count;
  }
  burst.count = count;
  return bytes;
}

void find_flows(Burst& burst, const FlowTable& table) noexcept {
  std::array<uint32_t, kBurst> hashes;
  for (uint16_t i = 0; i < burst.count; ++i) hashes[i] = FlowHash::bucket_part(burst.hash[i]);
  table.find(burst.key.data(), {hashes.data(), burst.count}, burst.flow.data());
}

void orient(Burst& burst, uint16_t i, const OrientContext& context) noexcept {
  const FlowTable& table = context.table;
  if (burst.flow[i] != FlowTable::kNone) return;
  burst.flow[i] = table.find(burst.key[i], FlowHash::bucket_part(burst.hash[i]));
  if (burst.flow[i] != FlowTable::kNone) return;

  const Packet& packet = burst.packet[i];
  const FlowKey turned = key_of(packet, opposite(burst.direction[i]));
  const uint64_t turned_hash = context.hash(turned);
  const uint32_t flow = table.find(turned, FlowHash::bucket_part(turned_hash));
  constexpr uint8_t kSynAck = kSyn | kAck;
  const bool answers = packet.kind == PacketKind::tcp && (packet.tcp_flags & kSynAck) == kSynAck;
  if (flow == FlowTable::kNone && !answers && !(context.guess && comes_from_server(packet))) return;
  burst.flow[i] = flow;
  burst.key[i] = turned;
  burst.hash[i] = turned_hash;
  burst.direction[i] = opposite(burst.direction[i]);
  CoreCounters(context.counters).add(Counter::turned_outbound, burst.direction[i]);
}

}  // namespace sallyport
