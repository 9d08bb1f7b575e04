#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "dataplane/inspect/packet.h"

namespace sallyport {

/// Protocols that carry packets of other networks: what rides in them is never looked at, so each
/// is a protocol of its own that a rule must allow.
enum class TunnelKind : uint8_t {
  none,
  gre,         ///< IP protocol 47 (RFC 2784), NVGRE and ERSPAN among it.
  ipip,        ///< IPv4 in IPv4 or IPv6: 4 (RFC 2003).
  ip6_in_ip,   ///< IPv6 in IPv4 or IPv6: 41 (RFC 4213, RFC 2473).
  esp,         ///< 50 (RFC 4303).
  ah,          ///< 51 (RFC 4302). decode() refuses it in IPv6.
  etherip,     ///< 97 (RFC 3378).
  l2tp,        ///< 115 (RFC 3931), and UDP port 1701 by its header.
  mpls_in_ip,  ///< 137 (RFC 4023).
  vxlan,       ///< UDP ports 4789 (RFC 7348) and 8472 (Linux), by its header.
  geneve,      ///< UDP port 6081 (RFC 8926), by its header.
  gtp_u,       ///< UDP port 2152 (3GPP TS 29.281), by its header.
  teredo,      ///< UDP port 3544 (RFC 4380), by the IPv6 packet in it.
  esp_in_udp,  ///< UDP port 4500 (RFC 3948): ESP or IKE.
  wireguard,   ///< UDP on any port: the first message of its handshake, by length and type.
  count_
};

/// Names the tunnel that a flow is, by its IP protocol or, for UDP, by the port it goes to and the
/// shape of what it carries.
///
/// @param packet   What decode() found: the flow's first.
/// @param payload  Behind the L4 header: packet.payload_bytes from packet.payload_offset on.
/// @return         `none` for everything else. Allocates nothing, reads no flow.
///
/// A name, no proof: VXLAN on another port, or inside something else, is plain UDP here. That fails
/// closed, because plain UDP too is denied unless a rule allows it.
[[nodiscard]] TunnelKind identify_tunnel(const Packet& packet,
                                         std::span<const uint8_t> payload) noexcept;

/// "gre", "ipip", …; "none".
std::string_view to_string(TunnelKind kind) noexcept;

}  // namespace sallyport
