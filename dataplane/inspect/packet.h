#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "policy/runtime/ip_address.h"

namespace sallyport {

enum class PacketKind : uint8_t {
  arp,                 ///< A well-formed ARP frame (RFC 826), Ethernet over IPv4.
  router_message,      ///< Router advertisement or redirect, well-formed: only routers send them.
  neighbor_discovery,  ///< ICMPv6 types 133..137, code 0, hop limit 255 (RFC 4861).
  tcp,
  udp,
  icmp_error,  ///< ICMP/ICMPv6 error that quotes a packet: `quoted` is filled (RFC 792, RFC 4443).
  icmp,        ///< Any other ICMP or ICMPv6 message.
  other_ip,    ///< Any other IP protocol.
};

/// TCP flag bits, RFC 9293 section 3.1.
enum TcpFlag : uint8_t { kFin = 1, kSyn = 2, kRst = 4, kPsh = 8, kAck = 16, kUrg = 32 };

/// The addresses, protocol and ports that name a flow, as they stand in one packet.
struct Endpoints {
  IpAddress source;
  IpAddress destination;
  uint16_t source_port = 0;  ///< Host order; 0 without ports.
  uint16_t destination_port = 0;
  uint8_t ip_protocol = 0;  ///< The last header: 6 TCP, 17 UDP, … ICMPv6 stays 58.
};

/// What decode() found. Offsets count from the first byte of the frame.
struct Packet {
  PacketKind kind{};
  uint8_t vlan_tags = 0;  ///< 0..2.
  uint32_t vlan_ids = 0;  ///< Outer VLAN ID in bits 12..23, inner or only one in 0..11.
  uint8_t tcp_flags = 0;  ///< TcpFlag set.
  Endpoints flow;
  Endpoints
      quoted;  ///< Only with icmp_error: of the packet quoted, in that packet's own direction.

  uint16_t l3_offset = 0;
  uint16_t l4_offset = 0;
  uint16_t payload_offset = 0;
  uint32_t payload_bytes = 0;  ///< By the IP header's length; Ethernet padding does not count.

  uint32_t tcp_sequence = 0;
  uint32_t tcp_acknowledgement = 0;  ///< Meaningless without kAck.
  uint16_t tcp_window = 0;
};

enum class DecodeFault : uint8_t {
  none,
  truncated_ethernet,     ///< Shorter than its Ethernet or VLAN header.
  too_many_vlan_tags,     ///< More than two (IEEE 802.1ad).
  unsupported_ethertype,  ///< Neither IPv4, IPv6 nor ARP.
  malformed_arp,    ///< Not RFC 826 over Ethernet and IPv4, or over 64 bytes without its tags.
  truncated_ip,     ///< Fewer bytes than the IP header or its total length says.
  bad_ip_header,    ///< Version, lengths or options contradict each other; IPv4-mapped in IPv6.
  bad_ip_checksum,  ///< IPv4 header checksum is wrong (RFC 791).
  fragment,  ///< An IPv4 or IPv6 fragment, atomic IPv6 fragments too: decode_fragment() reads it.
             ///< A drop only where one lies inside another.
  bad_fragment,  ///< A fragment of no bytes, not of whole 8-byte units (RFC 791, RFC 8200), past
                 ///< 65,535 bytes; or a fragmented link message (RFC 6980).
  partial_header_chain,  ///< An IPv6 first fragment without all headers up to L4's (RFC 7112).
  source_route,   ///< IPv4 LSRR/SSRR, or an IPv6 routing header: the packet goes on from where it
                  ///< was judged.
  unsafe_option,  ///< IPv4 or IPv6 option, or AH (RFC 4302), that could carry data past the policy.
  bad_extension_header,  ///< IPv6 chain over 8 headers, cut, or ended by "no next header".
  truncated_l4,          ///< TCP, UDP or ICMP header does not fit.
  bad_tcp_header,        ///< Data offset below 5 or past the segment; or flags no stack sends.
  bad_udp_length,        ///< UDP length below 8 or not the IP payload's (RFC 768).
  land,                  ///< Source and destination address and port are the same.
  count_
};

/// Decodes Ethernet (with up to two VLAN tags), IPv4 or IPv6, and TCP, UDP or ICMP headers.
///
/// @param frame  One whole Ethernet frame without FCS. Only read.
/// @param out    Meaningful only when the result is `none`.
/// @return       `none`, or the first fault met. Never allocates, logs or throws.
///
/// Does not verify L4 checksums (l4_checksum_ok() does, for packets about to be inspected): on a
/// decided flow that would be work for nothing.
[[nodiscard]] DecodeFault decode(std::span<const uint8_t> frame, Packet& out) noexcept;

/// Whether the TCP, UDP or ICMP checksum of a decoded frame is right. True for a UDP/IPv4 checksum
/// of zero (none was sent). `frame` must be the one `packet` was decoded from.
[[nodiscard]] bool l4_checksum_ok(std::span<const uint8_t> frame, const Packet& packet) noexcept;

}  // namespace sallyport
