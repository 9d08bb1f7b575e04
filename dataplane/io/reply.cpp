#include "dataplane/io/reply.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "dataplane/inspect/big_endian.h"
#include "dataplane/inspect/checksum.h"
#include "dataplane/inspect/tcp_options.h"
#include "policy/runtime/facts.h"

namespace sallyport {
namespace {

constexpr size_t kMacBytes = 6;
constexpr size_t kMostLinkBytes = 14 + 2 * 4;
constexpr size_t kIpv4Bytes = 20;
constexpr size_t kIpv6Bytes = 40;
constexpr size_t kIcmpHeaderBytes = 8;
constexpr uint8_t kHopLimit = 64;

void put_ipv4(uint8_t* ip, const Endpoints& ends, uint8_t protocol, size_t l4_bytes) noexcept {
  std::memset(ip, 0, kIpv4Bytes);
  ip[0] = 0x45;
  store_be16(ip + 2, static_cast<uint16_t>(kIpv4Bytes + l4_bytes));
  ip[6] = 0x40;  // do not fragment
  ip[8] = kHopLimit;
  ip[9] = protocol;
  std::memcpy(ip + 12, ends.source.bytes.data() + 12, 4);
  std::memcpy(ip + 16, ends.destination.bytes.data() + 12, 4);
  store_be16(ip + 10, ipv4_header_checksum({ip, kIpv4Bytes}));
}

void put_ipv6(uint8_t* ip, const Endpoints& ends, uint8_t protocol, size_t l4_bytes) noexcept {
  std::memset(ip, 0, kIpv6Bytes);
  ip[0] = 0x60;
  store_be16(ip + 4, static_cast<uint16_t>(l4_bytes));
  ip[6] = protocol;
  ip[7] = kHopLimit;
  std::memcpy(ip + 8, ends.source.bytes.data(), 16);
  std::memcpy(ip + 24, ends.destination.bytes.data(), 16);
}

size_t ip_header_bytes(const Packet& packet) noexcept {
  return packet.flow.source.is_v4() ? kIpv4Bytes : kIpv6Bytes;
}

/// A packet under construction: link and IP header are written, and l4 is to be.
struct Draft {
  rte_mbuf* mbuf = nullptr;
  Endpoints ends;
  std::span<uint8_t> l4;
};

// By the example of `frame`; mbuf is nullptr when there is no buffer.
Draft begin(rte_mempool* pool, std::span<const uint8_t> frame, const Packet& packet, bool to_sender,
            uint8_t protocol, size_t l4_bytes) noexcept {
  Draft draft{.ends = packet.flow};
  const size_t l3 = packet.l3_offset;
  if (l3 > frame.size() || l3 > kMostLinkBytes) return draft;
  rte_mbuf* mbuf = rte_pktmbuf_alloc(pool);
  if (mbuf == nullptr) return draft;
  const size_t bytes = l3 + ip_header_bytes(packet) + l4_bytes;
  auto* out = reinterpret_cast<uint8_t*>(rte_pktmbuf_append(mbuf, static_cast<uint16_t>(bytes)));
  if (out == nullptr) {
    rte_pktmbuf_free(mbuf);
    return draft;
  }
  draft.mbuf = mbuf;
  std::memcpy(out, frame.data(), l3);  // Ethernet and VLAN tags
  if (to_sender) {
    std::swap_ranges(out, out + kMacBytes, out + kMacBytes);
    std::swap(draft.ends.source, draft.ends.destination);
    std::swap(draft.ends.source_port, draft.ends.destination_port);
  }
  const auto put_ip = draft.ends.source.is_v4() ? put_ipv4 : put_ipv6;
  put_ip(out + l3, draft.ends, protocol, l4_bytes);
  draft.l4 = {out + l3 + ip_header_bytes(packet), l4_bytes};
  return draft;
}

constexpr size_t kTimestampBytes = 10;
constexpr size_t kPaddedTimestampBytes = 12;

/// What a reply says in its timestamp option, as RFC 7323 section 3.2 wants it.
struct Timestamps {
  uint32_t value = 0;
  uint32_t echo = 0;
};

// Where the example has them both ends have agreed on them, and may drop what comes without. The
// other end's clock is known by what it last was echoed: nobody takes that for old. Of a RST they
// are not asked.
std::optional<Timestamps> timestamps_of(std::span<const uint8_t> frame, const Packet& packet,
                                        bool to_sender) noexcept {
  std::optional<Timestamps> found;
  for_each_tcp_option(tcp_options(frame, packet), [&](std::span<const uint8_t> option) {
    if (option[0] != kTimestamps || option.size() != kTimestampBytes) return;
    found = {.value = load_be32(&option[2]), .echo = load_be32(&option[6])};
  });
  if (found && to_sender) std::swap(found->value, found->echo);
  return found;
}

void put_timestamps(uint8_t* options, const Timestamps& timestamps) noexcept {
  options[0] = options[1] = kNoOperation;
  options[2] = kTimestamps;
  options[3] = kTimestampBytes;
  store_be32(options + 4, timestamps.value);
  store_be32(options + 8, timestamps.echo);
}

}  // namespace

TcpReply reset_for_sender(const Packet& packet) noexcept {
  const uint32_t length =
      packet.payload_bytes + ((packet.tcp_flags & kSyn) != 0) + ((packet.tcp_flags & kFin) != 0);
  return {.sequence = (packet.tcp_flags & kAck) != 0 ? packet.tcp_acknowledgement : 0,
          .acknowledgement = packet.tcp_sequence + length};
}

rte_mbuf* make_tcp_reply(rte_mempool* pool, std::span<const uint8_t> frame, const Packet& packet,
                         bool to_sender, const TcpReply& reply) noexcept {
  const auto payload = reply.payload.first(std::min(reply.payload.size(), kMaxReplyPayload));
  const auto timestamps =
      (reply.flags & kRst) != 0 ? std::nullopt : timestamps_of(frame, packet, to_sender);
  const size_t header_bytes = kTcpHeaderBytes + (timestamps ? kPaddedTimestampBytes : 0);
  const Draft draft =
      begin(pool, frame, packet, to_sender, kIpProtocolTcp, header_bytes + payload.size());
  if (draft.mbuf == nullptr) return nullptr;
  constexpr uint16_t kWindow = 0xffff;
  uint8_t* tcp = draft.l4.data();
  std::memset(tcp, 0, kTcpHeaderBytes);
  store_be16(tcp, draft.ends.source_port);
  store_be16(tcp + 2, draft.ends.destination_port);
  store_be32(tcp + 4, reply.sequence);
  store_be32(tcp + 8, reply.acknowledgement);
  tcp[12] = static_cast<uint8_t>(header_bytes / 4 << 4);
  tcp[13] = reply.flags;
  store_be16(tcp + 14, (reply.flags & kRst) != 0 ? 0 : kWindow);
  if (timestamps) put_timestamps(tcp + kTcpHeaderBytes, *timestamps);
  if (!payload.empty()) std::memcpy(tcp + header_bytes, payload.data(), payload.size());
  store_be16(tcp + 16,
             l4_checksum(draft.ends.source, draft.ends.destination, kIpProtocolTcp, draft.l4));
  return draft.mbuf;
}

bool may_be_answered_by_icmp(std::span<const uint8_t> frame, const Packet& packet) noexcept {
  constexpr uint8_t kEchoRequest = 8;
  constexpr uint8_t kEchoRequestV6 = 128;
  constexpr uint8_t kGroupBit = 1;
  const bool v4 = packet.flow.source.is_v4();
  if (frame.empty() || (frame[0] & kGroupBit) != 0) return false;
  const auto& to = packet.flow.destination.bytes;
  const auto& from = packet.flow.source.bytes;
  if (v4 ? to[12] >= 224 || from[12] >= 224 || from[12] == 0 : to[0] == 0xff || from[0] == 0xff) {
    return false;
  }
  // (e.6) of the latter: the address of no single node.
  if (!v4 && std::ranges::all_of(from, [](uint8_t byte) { return byte == 0; })) return false;
  if (packet.kind != PacketKind::icmp) return packet.kind != PacketKind::icmp_error;
  return packet.l4_offset < frame.size() &&
         frame[packet.l4_offset] == (v4 ? kEchoRequest : kEchoRequestV6);
}

rte_mbuf* make_prohibited(rte_mempool* pool, std::span<const uint8_t> frame,
                          const Packet& packet) noexcept {
  const bool v4 = packet.flow.source.is_v4();
  const size_t end = std::min(frame.size(), size_t{packet.payload_offset} + packet.payload_bytes);
  if (packet.l3_offset > end) return nullptr;
  const size_t longest = longest_icmp_error(v4);
  const auto quote = frame.subspan(
      packet.l3_offset,
      std::min(end - packet.l3_offset, longest - ip_header_bytes(packet) - kIcmpHeaderBytes));
  const uint8_t protocol = v4 ? kIpProtocolIcmp : kIpProtocolIcmpV6;
  const Draft draft = begin(pool, frame, packet, true, protocol, kIcmpHeaderBytes + quote.size());
  if (draft.mbuf == nullptr) return nullptr;
  // Destination unreachable: code 13 of RFC 1812, code 1 of RFC 4443.
  uint8_t* icmp = draft.l4.data();
  std::memset(icmp, 0, kIcmpHeaderBytes);
  icmp[0] = v4 ? 3 : 1;
  icmp[1] = v4 ? 13 : 1;
  std::memcpy(icmp + kIcmpHeaderBytes, quote.data(), quote.size());
  store_be16(icmp + 2, l4_checksum(draft.ends.source, draft.ends.destination, protocol, draft.l4));
  return draft.mbuf;
}

}  // namespace sallyport
