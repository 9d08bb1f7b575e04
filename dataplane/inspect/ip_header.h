#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/inspect/packet.h"

namespace sallyport {

inline constexpr size_t kMaxExtensionHeaders = 8;

/// Where a fragment lies in its datagram, and its own headers. Offsets count from the IP header.
struct IpFragment {
  uint32_t id = 0;
  uint32_t from = 0;        ///< In the datagram's payload, bytes.
  bool more = false;        ///< It is not the last.
  uint8_t next_header = 0;  ///< What the datagram's payload starts with.
  size_t header_bytes = 0;  ///< IP headers, those of IPv6 up to and with the fragment header.
  size_t bytes = 0;         ///< Payload in this fragment.
  size_t type_at = 0;       ///< IPv6: of the byte that says a fragment header follows.
};

/// What the IP layer says of a packet. Offsets count from the first byte of the IP header.
struct IpHeader {
  IpAddress source;
  IpAddress destination;
  uint8_t protocol = 0;   ///< The last header's.
  uint8_t hop_limit = 0;  ///< IPv6 only.
  size_t l4_offset = 0;
  size_t l4_bytes = 0;  ///< By the header's own length, never past the bytes there are.
  IpFragment fragment;  ///< Only with DecodeFault::fragment.
};

/// Decodes an IPv4 header with its options, or an IPv6 header with its extension headers.
///
/// @param bytes  From the first byte of the header to the end of the frame. Only read.
/// @param out    Meaningful only when the result is `none`; with `fragment`, its addresses,
///               protocol (IPv4) and `fragment`.
[[nodiscard]] DecodeFault decode_ipv4(std::span<const uint8_t> bytes, IpHeader& out) noexcept;
[[nodiscard]] DecodeFault decode_ipv6(std::span<const uint8_t> bytes, IpHeader& out) noexcept;

/// Whether the headers behind an IPv6 fragment header are all there, up to TCP's, UDP's or ICMPv6's
/// (RFC 7112), and may pass.
///
/// @param payload  Of the fragment at offset 0.
/// @return         `none`, partial_header_chain, or what is wrong with a header that is there.
[[nodiscard]] DecodeFault check_first_fragment(std::span<const uint8_t> payload,
                                               uint8_t next_header) noexcept;

/// Reads the flow that an ICMP or ICMPv6 error quotes. More lenient than decode: the quote is cut
/// and routers may have altered it, so lengths and checksum are not held against it.
///
/// @return  Whether the quote names a flow: a header of the family asked for, no fragment but the
///          first, and at least the 8 bytes behind it that RFC 792 promises.
[[nodiscard]] bool decode_quoted(std::span<const uint8_t> bytes, bool is_v4,
                                 Endpoints& out) noexcept;

}  // namespace sallyport
