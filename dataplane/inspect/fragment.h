#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/inspect/packet.h"

namespace sallyport {

/// Names the datagram that a fragment belongs to (RFC 791, RFC 8200 section 4.5). The VLAN is part
/// of it, as it is of a flow: fragments of two networks never meet.
struct FragmentKey {
  IpAddress source;
  IpAddress destination;
  uint32_t id = 0;
  uint8_t protocol = 0;  ///< IPv4's; 0 for IPv6, where only the first fragment's counts.
  uint8_t vlan_ids[3] = {};

  bool operator==(const FragmentKey&) const = default;
};
static_assert(sizeof(FragmentKey) == 40, "hashed as memory");

/// One IP fragment as it lies in its frame.
struct Fragment {
  FragmentKey key;
  bool is_v4 = false;
  bool more = false;        ///< It is not the last.
  uint8_t next_header = 0;  ///< What the datagram's payload starts with.
  uint16_t l3_offset = 0;   ///< From the frame's first byte, as the two below.
  uint16_t payload_offset = 0;
  uint16_t type_at = 0;  ///< IPv6: of the byte that says a fragment header follows.
  uint16_t bytes = 0;    ///< Payload in this fragment.
  uint32_t from = 0;     ///< Of the datagram's payload: where it belongs.

  /// RFC 6946: a whole packet that merely carries a fragment header.
  bool is_atomic() const noexcept { return from == 0 && !more; }
  /// From the IP header on.
  uint16_t packet_bytes() const noexcept {
    return static_cast<uint16_t>(payload_offset - l3_offset + bytes);
  }
};

inline constexpr size_t kFragmentHeaderBytes = 8;
inline constexpr uint32_t kMaxIpPayloadBytes = 65535;

/// Reads a frame that decode() calls a `fragment`.
///
/// @param out  Written only when the result is `none`.
/// @return     `none`, bad_fragment, partial_header_chain, or the fault of a header before or
/// behind
///             the fragment's own. bad_fragment for a frame that is no fragment.
[[nodiscard]] DecodeFault decode_fragment(std::span<const uint8_t> frame, Fragment& out) noexcept;

/// Where the headers of a datagram lie that was put together, and how it came: all that is needed
/// to take it apart again.
struct DatagramShape {
  uint32_t id = 0;
  uint16_t l3_offset = 0;
  uint16_t payload_offset = 0;  ///< IPv6: where the fragment header was.
  uint16_t type_at = 0;         ///< As Fragment::type_at.
  uint16_t most_bytes = 0;      ///< Of the longest fragment it came in, from the IP header on.
  bool is_v4 = false;
};

/// Writes the headers of a whole datagram, from those of its first fragment.
///
/// @param first_frame  The frame that `first` was decoded from.
/// @param out          At least first.payload_offset bytes.
/// @return             The shape, but for most_bytes; payload_offset is how much was written.
DatagramShape write_whole_headers(std::span<const uint8_t> first_frame, const Fragment& first,
                                  size_t payload_bytes, std::span<uint8_t> out) noexcept;

/// Payload in each fragment but the last when the datagram is taken apart again. At least 8.
size_t fragment_payload_bytes(const DatagramShape& shape) noexcept;

/// Writes the fragment of `datagram` whose payload starts `from` bytes behind its headers.
///
/// @param datagram  A frame with the headers that write_whole_headers() wrote.
/// @param out       At least shape.l3_offset + shape.most_bytes bytes.
/// @return          The length of the fragment's frame.
size_t write_fragment(std::span<const uint8_t> datagram, const DatagramShape& shape, size_t from,
                      std::span<uint8_t> out) noexcept;

/// Turns the frame of an atomic fragment into that of a plain packet, which starts 8 bytes behind
/// the old one's start. `frame` must be the one that `fragment` was decoded from.
void strip_fragment_header(std::span<uint8_t> frame, const Fragment& fragment) noexcept;

}  // namespace sallyport
