#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/inspect/packet.h"

namespace sallyport {

inline constexpr size_t kMaxExtensionHeaders = 8;

/// What the IP layer says of a packet. Offsets count from the first byte of the IP header.
struct IpHeader {
  IpAddress source;
  IpAddress destination;
  uint8_t protocol = 0;   ///< The last header's.
  uint8_t hop_limit = 0;  ///< IPv6 only.
  size_t l4_offset = 0;
  size_t l4_bytes = 0;  ///< By the header's own length, never past the bytes there are.
};

/// Decodes an IPv4 header with its options, or an IPv6 header with its extension headers.
///
/// @param bytes  From the first byte of the header to the end of the frame. Only read.
/// @param out    Meaningful only when the result is `none`.
[[nodiscard]] DecodeFault decode_ipv4(std::span<const uint8_t> bytes, IpHeader& out) noexcept;
[[nodiscard]] DecodeFault decode_ipv6(std::span<const uint8_t> bytes, IpHeader& out) noexcept;

/// Reads the flow that an ICMP or ICMPv6 error quotes. More lenient than decode: the quote is cut
/// and routers may have altered it, so lengths and checksum are not held against it.
///
/// @return  Whether the quote names a flow: a header of the family asked for, no fragment, and at
///          least the 8 bytes behind it that RFC 792 promises.
[[nodiscard]] bool decode_quoted(std::span<const uint8_t> bytes, bool is_v4,
                                 Endpoints& out) noexcept;

}  // namespace sallyport
