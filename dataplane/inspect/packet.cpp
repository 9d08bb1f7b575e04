#include "dataplane/inspect/packet.h"

#include <algorithm>

#include "dataplane/inspect/big_endian.h"
#include "dataplane/inspect/byte_reader.h"
#include "dataplane/inspect/checksum.h"
#include "dataplane/inspect/ip_header.h"
#include "dataplane/inspect/link_header.h"
#include "policy/runtime/facts.h"

namespace sallyport {
namespace {

constexpr size_t kArpBytes = 28;
constexpr size_t kMaxArpFrameBytes = 64;  // not counting VLAN tags
constexpr size_t kIpv4HeaderBytes = 20;
constexpr size_t kIpv6HeaderBytes = 40;
constexpr size_t kTcpBytes = 20;
constexpr size_t kUdpBytes = 8;
constexpr size_t kIcmpBytes = 8;

// RFC 826, for Ethernet and IPv4: the only ARP there is here. ARP passes without a policy decision,
// so nothing else may ride in it.
bool is_arp(std::span<const uint8_t> arp) noexcept {
  if (arp.size() < kArpBytes || arp.size() > kMaxArpFrameBytes - kEthernetBytes) return false;
  ByteReader in(arp);
  const uint16_t hardware = in.u16();
  const uint16_t protocol = in.u16();
  const uint8_t hardware_bytes = in.u8();
  const uint8_t protocol_bytes = in.u8();
  const uint16_t operation = in.u16();
  return hardware == 1 && protocol == kEtherIpv4 && hardware_bytes == 6 && protocol_bytes == 4 &&
         (operation == 1 || operation == 2);
}

// Flags that no stack sends: SYN with FIN or RST, and a segment that neither opens (SYN), refuses
// (RST) nor acknowledges (RFC 9293 section 3.1 has ACK set on everything else).
bool is_bad_flags(uint8_t flags) noexcept {
  if ((flags & kSyn) != 0) return (flags & (kFin | kRst)) != 0;
  return (flags & (kRst | kAck)) == 0;
}

// In line: it is most of what decode() does.
[[gnu::always_inline]] inline DecodeFault decode_tcp(std::span<const uint8_t> l4,
                                                     Packet& out) noexcept {
  if (l4.size() < kTcpBytes) return DecodeFault::truncated_l4;
  const size_t header_bytes = (l4[12] >> 4U) * size_t{4};
  if (header_bytes < kTcpBytes || header_bytes > l4.size()) return DecodeFault::bad_tcp_header;
  constexpr uint8_t kFlagMask = 0x3f;  // ECE and CWR do not matter to a flow's state
  out.tcp_flags = l4[13] & kFlagMask;
  if (is_bad_flags(out.tcp_flags)) return DecodeFault::bad_tcp_header;

  out.kind = PacketKind::tcp;
  out.flow.source_port = load_be16(&l4[0]);
  out.flow.destination_port = load_be16(&l4[2]);
  out.tcp_sequence = load_be32(&l4[4]);
  out.tcp_acknowledgement = load_be32(&l4[8]);
  out.tcp_window = load_be16(&l4[14]);
  out.payload_offset = static_cast<uint16_t>(out.l4_offset + header_bytes);
  out.payload_bytes = static_cast<uint32_t>(l4.size() - header_bytes);
  return DecodeFault::none;
}

DecodeFault decode_udp(std::span<const uint8_t> l4, Packet& out) noexcept {
  if (l4.size() < kUdpBytes) return DecodeFault::truncated_l4;
  // A shorter length would leave bytes in the packet that no checksum covers and nothing inspects.
  if (load_be16(&l4[4]) != l4.size()) return DecodeFault::bad_udp_length;

  out.kind = PacketKind::udp;
  out.flow.source_port = load_be16(&l4[0]);
  out.flow.destination_port = load_be16(&l4[2]);
  out.payload_offset = static_cast<uint16_t>(out.l4_offset + kUdpBytes);
  out.payload_bytes = static_cast<uint32_t>(l4.size() - kUdpBytes);
  return DecodeFault::none;
}

// Redirect and source quench quote a packet too, but no flow needs them to be let through: they
// stay plain ICMP (RFC 6633 has deprecated source quench).
bool is_error(uint8_t type, bool is_v4) noexcept {
  if (is_v4) return type == 3 || type == 11 || type == 12;  // RFC 792
  return type >= 1 && type <= 4;                            // RFC 4443 section 2.1
}

// Any shape whose options have lengths that add up, RFC 4861 section 6.1.
bool are_options_whole(std::span<const uint8_t> options) noexcept {
  while (!options.empty()) {
    if (options.size() < 2) return false;
    const size_t length = options[1] * size_t{8};
    if (length == 0 || length > options.size()) return false;
    options = options.subspan(length);
  }
  return true;
}

// Link-layer addresses and a nonce, 8 bytes each (RFC 4861 section 4.6.1, RFC 3971 section 5.3.2):
// all that hosts put into these messages, and no room for anything else.
bool are_host_options(std::span<const uint8_t> options) noexcept {
  constexpr size_t kMostOptions = 2;
  constexpr uint8_t kSourceAddress = 1;
  constexpr uint8_t kTargetAddress = 2;
  constexpr uint8_t kNonce = 14;
  if (options.size() > kMostOptions * 8) return false;
  for (; !options.empty(); options = options.subspan(8)) {
    if (options.size() < 8 || options[1] != 1) return false;
    if (options[0] != kSourceAddress && options[0] != kTargetAddress && options[0] != kNonce) {
      return false;
    }
  }
  return true;
}

// On this link: a multicast or link-local destination, or one in the source's own /64.
bool stays_on_link(const IpHeader& ip) noexcept {
  const auto& to = ip.destination.bytes;
  if (to[0] == 0xff) return to[1] == 0x02;
  if (to[0] == 0xfe && (to[1] & 0xc0U) == 0x80) return true;
  return std::equal(to.begin(), to.begin() + 8, ip.source.bytes.begin());
}

// RFC 4861 sections 6.1 and 7.1: hop limit 255 proves that no router forwarded the packet. Like ARP
// these pass without a policy decision, so only what has no room for data may: everything else is
// ICMPv6 like any other. RFC 3810: multicast listener reports, without which a snooping switch
// delivers no solicitation, are told by their hop limit of 1.
PacketKind link_message(std::span<const uint8_t> l4, const IpHeader& ip) noexcept {
  enum : uint8_t {
    kListenerQuery = 130,
    kListenerDone = 132,
    kRouterSolicitation,
    kRouterAdvertisement,
    kNeighborSolicitation,
    kNeighborAdvertisement,
    kRedirect,
    kListenerReportV2 = 143
  };
  const uint8_t type = l4[0];
  if (l4[1] != 0 || !stays_on_link(ip)) return PacketKind::icmp;
  const bool listener = (type >= kListenerQuery && type <= kListenerDone && l4.size() <= 32) ||
                        (type == kListenerReportV2 && l4.size() <= 8 + 4 * 20);
  if (listener) return ip.hop_limit == 1 ? PacketKind::neighbor_discovery : PacketKind::icmp;
  if (ip.hop_limit != 255 || ip.l4_offset != kIpv6HeaderBytes) return PacketKind::icmp;

  const auto whole_behind = [&](size_t fixed, bool (*options)(std::span<const uint8_t>) noexcept) {
    return l4.size() >= fixed && options(l4.subspan(fixed));
  };
  switch (type) {
    case kRouterSolicitation:
      return whole_behind(8, are_host_options) ? PacketKind::neighbor_discovery : PacketKind::icmp;
    case kNeighborSolicitation:
    case kNeighborAdvertisement:
      return whole_behind(24, are_host_options) ? PacketKind::neighbor_discovery : PacketKind::icmp;
    case kRouterAdvertisement:
      return whole_behind(16, are_options_whole) ? PacketKind::router_message : PacketKind::icmp;
    case kRedirect:
      return whole_behind(40, are_options_whole) ? PacketKind::router_message : PacketKind::icmp;
    default:
      return PacketKind::icmp;
  }
}

DecodeFault decode_icmp(std::span<const uint8_t> l4, const IpHeader& ip, bool is_v4,
                        Packet& out) noexcept {
  if (l4.size() < kIcmpBytes) return DecodeFault::truncated_l4;
  out.payload_offset = static_cast<uint16_t>(out.l4_offset + kIcmpBytes);
  out.payload_bytes = static_cast<uint32_t>(l4.size() - kIcmpBytes);
  out.kind = PacketKind::icmp;
  if (is_error(l4[0], is_v4)) {
    if (decode_quoted(l4.subspan(kIcmpBytes), is_v4, out.quoted)) {
      out.kind = PacketKind::icmp_error;
    }
  } else if (!is_v4) {
    out.kind = link_message(l4, ip);
  }
  return DecodeFault::none;
}

DecodeFault decode_l4(std::span<const uint8_t> l4, const IpHeader& ip, bool is_v4,
                      Packet& out) noexcept {
  switch (ip.protocol) {
    case kIpProtocolTcp:
      return decode_tcp(l4, out);
    case kIpProtocolUdp:
      return decode_udp(l4, out);
    case kIpProtocolIcmp:
      if (is_v4) return decode_icmp(l4, ip, is_v4, out);
      break;
    case kIpProtocolIcmpV6:
      if (!is_v4) return decode_icmp(l4, ip, is_v4, out);
      break;
    default:
      break;
  }
  out.kind = PacketKind::other_ip;
  out.payload_offset = out.l4_offset;
  out.payload_bytes = static_cast<uint32_t>(l4.size());
  return DecodeFault::none;
}

DecodeFault check_ends(const Endpoints& flow) noexcept {
  const bool same_ends =
      flow.source_port == flow.destination_port && flow.source == flow.destination;
  return same_ends ? DecodeFault::land : DecodeFault::none;
}

DecodeFault decode_ip(std::span<const uint8_t> bytes, bool is_v4, Packet& out) noexcept {
  IpHeader ip;
  const DecodeFault ip_fault = is_v4 ? decode_ipv4(bytes, ip) : decode_ipv6(bytes, ip);
  if (ip_fault != DecodeFault::none) return ip_fault;

  out.flow.source = ip.source;
  out.flow.destination = ip.destination;
  out.flow.ip_protocol = ip.protocol;
  // 22 bytes of Ethernet, 60 of IPv4 or 40 and 8 × 2048 of IPv6 at most: fits 16 bits.
  out.l4_offset = static_cast<uint16_t>(out.l3_offset + ip.l4_offset);
  const DecodeFault l4_fault = decode_l4(bytes.subspan(ip.l4_offset, ip.l4_bytes), ip, is_v4, out);
  return l4_fault != DecodeFault::none ? l4_fault : check_ends(out.flow);
}

void put_link(const LinkHeader& link, Packet& out) noexcept {
  out.vlan_tags = link.vlan_tags;
  out.vlan_ids = link.vlan_ids;
  out.l3_offset = link.bytes;
}

// Everything that decode_plain_tcp() leaves.
[[gnu::noinline]] DecodeFault decode_behind_link(std::span<const uint8_t> rest,
                                                 const LinkHeader& link, Packet& out) noexcept {
  out = Packet{};
  put_link(link, out);
  switch (link.ethertype) {
    case kEtherIpv4:
    case kEtherIpv6:
      return decode_ip(rest, link.ethertype == kEtherIpv4, out);
    case kEtherArp:
      out.kind = PacketKind::arp;
      out.payload_offset = static_cast<uint16_t>(out.l3_offset + kArpBytes);
      return is_arp(rest) ? DecodeFault::none : DecodeFault::malformed_arp;
    default:
      return DecodeFault::unsupported_ethertype;
  }
}

// What most packets are: TCP in a sound IPv4 header without options that is no fragment. Whatever
// has anything wrong with its IP header, or special, is left to the full decoder to judge. Nothing
// is cleared first: all is written but `quoted`, which TCP has no use for.
//
// @return  Whether it was such a packet; `fault` is then the answer.
bool decode_plain_tcp(std::span<const uint8_t> bytes, const LinkHeader& link, Packet& out,
                      DecodeFault& fault) noexcept {
  constexpr uint8_t kVersion4NoOptions = 0x45;
  constexpr uint16_t kFragmentMask = 0x3fff;  // MF, or an offset
  if (bytes.size() < kIpv4HeaderBytes) return false;
  const uint8_t* header = bytes.data();
  const size_t total_bytes = load_be16(header + 2);
  if (header[0] != kVersion4NoOptions || header[9] != kIpProtocolTcp ||
      (load_be16(header + 6) & kFragmentMask) != 0 || total_bytes < kIpv4HeaderBytes ||
      total_bytes > bytes.size() ||
      !is_plain_ipv4_checksum_right(bytes.first<kIpv4HeaderBytes>())) {
    return false;
  }
  put_link(link, out);
  out.flow.source = IpAddress::v4(header + 12);
  out.flow.destination = IpAddress::v4(header + 16);
  out.flow.ip_protocol = kIpProtocolTcp;
  out.l4_offset = static_cast<uint16_t>(out.l3_offset + kIpv4HeaderBytes);
  fault = decode_tcp(bytes.subspan(kIpv4HeaderBytes, total_bytes - kIpv4HeaderBytes), out);
  if (fault == DecodeFault::none) fault = check_ends(out.flow);
  return true;
}

}  // namespace

DecodeFault decode(std::span<const uint8_t> frame, Packet& out) noexcept {
  LinkHeader link;
  DecodeFault fault = decode_link(frame, link);
  if (fault != DecodeFault::none) return fault;
  const auto rest = frame.subspan(link.bytes);
  if (link.ethertype == kEtherIpv4 && decode_plain_tcp(rest, link, out, fault)) return fault;
  return decode_behind_link(rest, link, out);
}

}  // namespace sallyport
