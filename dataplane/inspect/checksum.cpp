#include "dataplane/inspect/checksum.h"

#include <bit>
#include <cstddef>
#include <cstring>

#include "dataplane/inspect/packet.h"
#include "policy/runtime/facts.h"

namespace sallyport {
namespace {

// The one's complement sum does not care about byte order (RFC 1071 section 2), so words are added
// as they lie in memory, 32 bits at a time into 64: no carry is lost below 16 GiB. The plain loop
// is what compilers turn into vector code.
inline uint64_t sum_native(std::span<const uint8_t> bytes) noexcept {
  uint64_t sum = 0;
  const size_t words = bytes.size() / 4;
  for (size_t i = 0; i < words; ++i) {
    uint32_t word;
    std::memcpy(&word, bytes.data() + i * 4, sizeof word);
    sum += word;
  }
  // An odd last byte counts as if a zero byte stood behind it.
  uint32_t tail = 0;
  const size_t left = bytes.size() % 4;
  if (left > 0) std::memcpy(&tail, bytes.data() + words * 4, left);
  return sum + tail;
}

// The length and protocol of both pseudo-headers, summed like the memory they would stand in.
uint64_t pseudo_header_sum(const IpAddress& source, const IpAddress& destination, uint8_t protocol,
                           size_t l4_bytes) noexcept {
  const auto address_bytes = [](const IpAddress& address) {
    return std::span(address.bytes).subspan(address.is_v4() ? 12 : 0);
  };
  return sum_native(address_bytes(source)) + sum_native(address_bytes(destination)) +
         std::byteswap(static_cast<uint32_t>(l4_bytes)) +
         std::byteswap(static_cast<uint32_t>(protocol));
}

constexpr size_t kUdpChecksumOffset = 6;

}  // namespace

uint16_t ipv4_header_checksum(std::span<const uint8_t> header) noexcept {
  return fold_checksum(sum_native(header));
}

uint16_t l4_checksum(const IpAddress& source, const IpAddress& destination, uint8_t protocol,
                     std::span<const uint8_t> l4) noexcept {
  uint64_t sum = sum_native(l4);
  if (protocol != kIpProtocolIcmp) {
    sum += pseudo_header_sum(source, destination, protocol, l4.size());
  }
  return fold_checksum(sum);
}

bool l4_checksum_ok(std::span<const uint8_t> frame, const Packet& packet) noexcept {
  switch (packet.kind) {
    case PacketKind::arp:
    case PacketKind::other_ip:
      return true;
    case PacketKind::tcp:
    case PacketKind::udp:
    case PacketKind::icmp:
    case PacketKind::icmp_error:
    case PacketKind::router_message:
    case PacketKind::neighbor_discovery:
      break;
  }
  const size_t l4_bytes = packet.payload_offset - packet.l4_offset + packet.payload_bytes;
  const auto l4 = frame.subspan(packet.l4_offset, l4_bytes);
  if (packet.kind == PacketKind::udp && l4[kUdpChecksumOffset] == 0 &&
      l4[kUdpChecksumOffset + 1] == 0) {
    return packet.flow.source.is_v4();  // RFC 768; RFC 8200 section 8.1 asks IPv6 for a real one
  }
  return l4_checksum(packet.flow.source, packet.flow.destination, packet.flow.ip_protocol, l4) == 0;
}

}  // namespace sallyport
