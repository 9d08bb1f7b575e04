#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <span>

#include "policy/runtime/ip_address.h"

namespace sallyport {

/// Checksum of an IPv4 header (RFC 791 section 3.1), in host order, ready to be stored big-endian.
///
/// @param header  The header with its options. With the checksum field zero the result is the
///                value to store; over a header that carries its checksum the result is 0 when it
///                is right.
[[nodiscard]] uint16_t ipv4_header_checksum(std::span<const uint8_t> header) noexcept;

/// A sum of 16-bit words as they lie in memory, with its carries folded in (RFC 1071), as a
/// checksum in host order.
[[nodiscard]] inline uint16_t fold_checksum(uint64_t sum) noexcept {
  sum = (sum & 0xffffffff) + (sum >> 32);  // 33 bits
  sum = (sum & 0xffff) + (sum >> 16);      // 18 bits
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return std::byteswap(static_cast<uint16_t>(~sum));
}

/// Whether a header without options carries the right checksum; not for one of zeros alone.
[[nodiscard]] inline bool is_plain_ipv4_checksum_right(
    std::span<const uint8_t, 20> header) noexcept {
  uint64_t words[2];
  uint32_t last;
  static_assert(sizeof words + sizeof last == header.size());
  std::memcpy(words, header.data(), sizeof words);
  std::memcpy(&last, header.data() + sizeof words, sizeof last);
  // 2^16, 2^32 and 2^64 leave the same remainder by 2^16 - 1, so neither the width of the words nor
  // a carry that comes back in at the end changes it.
  uint64_t sum = words[0] + words[1];
  sum += sum < words[1] ? 1 : 0;
  sum += last;
  sum += sum < last ? 1 : 0;
  return sum % 0xffff == 0;
}

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
