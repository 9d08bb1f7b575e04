#include "dataplane/inspect/tunnel.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "dataplane/inspect/big_endian.h"
#include "policy/runtime/facts.h"

namespace sallyport {
namespace {

using Bytes = std::span<const uint8_t>;

TunnelKind by_ip_protocol(uint8_t protocol) noexcept {
  switch (protocol) {
    case 4:
      return TunnelKind::ipip;
    case 41:
      return TunnelKind::ip6_in_ip;
    case 47:
      return TunnelKind::gre;
    case 50:
      return TunnelKind::esp;
    case 51:
      return TunnelKind::ah;
    case 97:
      return TunnelKind::etherip;
    case 115:
      return TunnelKind::l2tp;
    case 137:
      return TunnelKind::mpls_in_ip;
    default:
      return TunnelKind::none;
  }
}

constexpr size_t kEthernetBytes = 14;

// What Ethernet frames in tunnels carry; a query to the same port would have letters there.
bool is_common_ethertype(uint16_t type) noexcept {
  constexpr uint16_t kTypes[] = {0x0800, 0x0806, 0x86dd, 0x8100, 0x8847,
                                 0x8863, 0x8864, 0x88a8, 0x88cc, 0x8902};
  return std::ranges::find(kTypes, type) != std::end(kTypes);
}

// RFC 7348 section 5: 8 bytes, the I flag, and a frame. Only group policy (the G flag) puts
// anything into the reserved bytes in front.
bool is_vxlan(Bytes in) noexcept {
  constexpr uint8_t kHasNetworkId = 0x08;
  constexpr uint8_t kHasGroup = 0x80;
  if (in.size() < 8 + kEthernetBytes || (in[0] & kHasNetworkId) == 0 || in[7] != 0) return false;
  const bool plain = in[1] == 0 && in[2] == 0 && in[3] == 0;
  return (plain || (in[0] & kHasGroup) != 0) && is_common_ethertype(load_be16(&in[8 + 12]));
}

// RFC 8926 section 3.4: version 0, reserved bits of zero, an ethertype, and options that end inside
// the packet.
bool is_geneve(Bytes in) noexcept {
  constexpr uint16_t kLeastEthertype = 0x0600;
  if (in.size() < 8 || in[0] >> 6 != 0 || (in[1] & 0x3fU) != 0) return false;
  const size_t options_bytes = (in[0] & 0x3fU) * size_t{4};
  return load_be16(&in[2]) >= kLeastEthertype && options_bytes <= in.size() - 8 && in[7] == 0;
}

// 3GPP TS 29.281 section 5.1: version 1, protocol type GTP, and a length that is the packet's.
bool is_gtp_u(Bytes in) noexcept {
  return in.size() >= 8 && in[0] >> 4 == 3 && load_be16(&in[2]) == in.size() - 8;
}

// RFC 4380 section 5.1.1: an authentication (0, 1) or origin (0, 0) indicator may stand in front.
bool is_teredo(Bytes in) noexcept {
  constexpr size_t kOriginBytes = 8;
  constexpr size_t kIpv6Bytes = 40;
  if (in.size() >= 4 && in[0] == 0 && in[1] == 1) {
    constexpr size_t kFixedBytes = 4 + 8 + 1;  // lengths, nonce, confirmation
    const size_t bytes = kFixedBytes + in[2] + in[3];
    if (bytes > in.size()) return false;
    in = in.subspan(bytes);
  }
  if (in.size() >= kOriginBytes && in[0] == 0 && in[1] == 0) in = in.subspan(kOriginBytes);
  return in.size() >= kIpv6Bytes && in[0] >> 4 == 6;
}

// L2TPv2 (RFC 2661 section 3.1) and v3 (RFC 3931 section 4.1.2): the version, and reserved bits of
// zero. A control message has a length and numbers.
bool is_l2tp(Bytes in) noexcept {
  if (in.size() < 6) return false;
  const uint16_t flags = load_be16(in.data());
  const unsigned version = flags & 0x0fU;
  if (version != 2 && version != 3) return false;
  constexpr uint16_t kReserved = 0x34f0;
  constexpr uint16_t kControl = 0x8000;
  constexpr uint16_t kLengthAndSequence = 0x4800;
  if ((flags & kReserved) != 0) return false;
  return (flags & kControl) == 0 || (flags & kLengthAndSequence) == kLengthAndSequence;
}

// RFC 3948 section 2: a keepalive of 0xff; a zero and IKE (RFC 7296 section 3.1: version 1 or 2,
// and a length that is the packet's); or ESP (RFC 4303 section 2: no reserved SPI, whole words).
bool is_esp_in_udp(Bytes in) noexcept {
  constexpr size_t kEspBytes = 8 + 4 + 8;  // SPI and number, the smallest content, and its check
  constexpr size_t kIkeBytes = 4 + 28;
  constexpr uint32_t kFirstSpi = 256;
  if (in.size() == 1) return in[0] == 0xff;
  if (in.size() < kEspBytes) return false;
  const uint32_t spi = load_be32(in.data());
  if (spi != 0) return spi >= kFirstSpi && in.size() % 4 == 0;
  if (in.size() < kIkeBytes) return false;
  const unsigned version = in[4 + 17] >> 4;
  return (version == 1 || version == 2) && load_be32(&in[4 + 24]) == in.size() - 4;
}

// Handshake initiation and response: a type, three zeros, and a length that is always the same.
bool is_wireguard(Bytes in) noexcept {
  constexpr size_t kInitiationBytes = 148;
  constexpr size_t kResponseBytes = 92;
  if (in.size() != kInitiationBytes && in.size() != kResponseBytes) return false;
  const uint8_t type = in.size() == kInitiationBytes ? 1 : 2;
  return in[0] == type && in[1] == 0 && in[2] == 0 && in[3] == 0;
}

struct UdpTunnel {
  uint16_t port;
  TunnelKind kind;
  bool (*has_shape)(Bytes) noexcept;
};

constexpr std::array kUdpTunnels{
    UdpTunnel{4789, TunnelKind::vxlan, is_vxlan},
    UdpTunnel{8472, TunnelKind::vxlan, is_vxlan},
    UdpTunnel{6081, TunnelKind::geneve, is_geneve},
    UdpTunnel{2152, TunnelKind::gtp_u, is_gtp_u},
    UdpTunnel{3544, TunnelKind::teredo, is_teredo},
    UdpTunnel{1701, TunnelKind::l2tp, is_l2tp},
    UdpTunnel{4500, TunnelKind::esp_in_udp, is_esp_in_udp},
};

constexpr std::array<std::string_view, static_cast<size_t>(TunnelKind::count_)> kNames{
    "none",       "gre",   "ipip",   "ip6_in_ip", "esp",    "ah",         "etherip",  "l2tp",
    "mpls_in_ip", "vxlan", "geneve", "gtp_u",     "teredo", "esp_in_udp", "wireguard"};

}  // namespace

TunnelKind identify_tunnel(const Packet& packet, std::span<const uint8_t> payload) noexcept {
  if (packet.kind == PacketKind::other_ip) return by_ip_protocol(packet.flow.ip_protocol);
  if (packet.kind != PacketKind::udp) return TunnelKind::none;
  for (const UdpTunnel& tunnel : kUdpTunnels) {
    if (packet.flow.destination_port == tunnel.port && tunnel.has_shape(payload)) {
      return tunnel.kind;
    }
  }
  return is_wireguard(payload) ? TunnelKind::wireguard : TunnelKind::none;
}

std::string_view to_string(TunnelKind kind) noexcept {
  return kNames[static_cast<size_t>(kind)];
}

}  // namespace sallyport
