#pragma once

#include <cstdint>
#include <span>

#include "policy/runtime/ip_address.h"

namespace sallyport {

/// Checksum of an IPv4 header (RFC 791 section 3.1), in host order, ready to be stored big-endian.
///
/// @param header  The header with its options. With the checksum field zero the result is the
///                value to store; over a header that carries its checksum the result is 0 when it
///                is right.
[[nodiscard]] uint16_t ipv4_header_checksum(std::span<const uint8_t> header) noexcept;

/// Checksum of a TCP, UDP, ICMP or ICMPv6 message, in host order, with the same two uses.
///
/// @param protocol  IANA number. 1 (ICMP) has no pseudo-header; every other one has that of
///                  RFC 9293 section 3.1 or, for IPv6 addresses, RFC 8200 section 8.1.
/// @param l4        Header and payload. Under 64 KiB, as an IP length is.
///
/// A computed 0 is returned as 0: a UDP sender stores 0xffff instead (RFC 768).
[[nodiscard]] uint16_t l4_checksum(const IpAddress& source, const IpAddress& destination,
                                   uint8_t protocol, std::span<const uint8_t> l4) noexcept;

}  // namespace sallyport
