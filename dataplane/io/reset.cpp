#include "dataplane/io/reset.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "dataplane/inspect/checksum.h"
#include "policy/runtime/facts.h"

namespace sallyport {
namespace {

constexpr size_t kTcpHeaderBytes = 20;
constexpr uint8_t kHopLimit = 64;

void put16(uint8_t* out, uint16_t value) noexcept {
  out[0] = static_cast<uint8_t>(value >> 8);
  out[1] = static_cast<uint8_t>(value);
}

void put32(uint8_t* out, uint32_t value) noexcept {
  put16(out, static_cast<uint16_t>(value >> 16));
  put16(out + 2, static_cast<uint16_t>(value));
}

size_t put_ipv4(uint8_t* ip, const Endpoints& ends) noexcept {
  constexpr size_t kBytes = 20;
  std::memset(ip, 0, kBytes);
  ip[0] = 0x45;
  put16(ip + 2, kBytes + kTcpHeaderBytes);
  ip[6] = 0x40;  // do not fragment
  ip[8] = kHopLimit;
  ip[9] = kIpProtocolTcp;
  std::memcpy(ip + 12, ends.source.bytes.data() + 12, 4);
  std::memcpy(ip + 16, ends.destination.bytes.data() + 12, 4);
  put16(ip + 10, ipv4_header_checksum({ip, kBytes}));
  return kBytes;
}

size_t put_ipv6(uint8_t* ip, const Endpoints& ends) noexcept {
  constexpr size_t kBytes = 40;
  std::memset(ip, 0, kBytes);
  ip[0] = 0x60;
  put16(ip + 4, kTcpHeaderBytes);
  ip[6] = kIpProtocolTcp;
  ip[7] = kHopLimit;
  std::memcpy(ip + 8, ends.source.bytes.data(), 16);
  std::memcpy(ip + 24, ends.destination.bytes.data(), 16);
  return kBytes;
}

void put_tcp(uint8_t* tcp, const Endpoints& ends, ResetFields fields) noexcept {
  std::memset(tcp, 0, kTcpHeaderBytes);
  put16(tcp, ends.source_port);
  put16(tcp + 2, ends.destination_port);
  put32(tcp + 4, fields.sequence);
  put32(tcp + 8, fields.acknowledgement);
  tcp[12] = kTcpHeaderBytes / 4 << 4;
  tcp[13] = kRst | kAck;
  put16(tcp + 16,
        l4_checksum(ends.source, ends.destination, kIpProtocolTcp, {tcp, kTcpHeaderBytes}));
}

}  // namespace

ResetFields reset_for_sender(const Packet& packet) noexcept {
  const uint32_t length =
      packet.payload_bytes + ((packet.tcp_flags & kSyn) != 0) + ((packet.tcp_flags & kFin) != 0);
  return {.sequence = (packet.tcp_flags & kAck) != 0 ? packet.tcp_acknowledgement : 0,
          .acknowledgement = packet.tcp_sequence + length};
}

rte_mbuf* make_reset(rte_mempool* pool, std::span<const uint8_t> frame, const Packet& packet,
                     bool to_sender, ResetFields fields) noexcept {
  rte_mbuf* mbuf = rte_pktmbuf_alloc(pool);
  if (mbuf == nullptr) return nullptr;
  constexpr size_t kMost = 14 + 2 * 4 + 40 + kTcpHeaderBytes;
  auto* out = reinterpret_cast<uint8_t*>(rte_pktmbuf_append(mbuf, kMost));
  if (out == nullptr || packet.l3_offset > frame.size() || packet.l3_offset > 22) {
    rte_pktmbuf_free(mbuf);
    return nullptr;
  }

  Endpoints ends = packet.flow;
  std::memcpy(out, frame.data(), packet.l3_offset);  // Ethernet and VLAN tags
  if (to_sender) {
    std::swap_ranges(out, out + 6, out + 6);
    std::swap(ends.source, ends.destination);
    std::swap(ends.source_port, ends.destination_port);
  }
  uint8_t* ip = out + packet.l3_offset;
  const size_t ip_bytes = ends.source.is_v4() ? put_ipv4(ip, ends) : put_ipv6(ip, ends);
  put_tcp(ip + ip_bytes, ends, fields);
  const size_t bytes = packet.l3_offset + ip_bytes + kTcpHeaderBytes;
  rte_pktmbuf_trim(mbuf, static_cast<uint16_t>(kMost - bytes));
  return mbuf;
}

}  // namespace sallyport
