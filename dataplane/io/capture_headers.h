#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "policy/runtime/ip_address.h"

namespace sallyport {

/// Where an Ethernet frame's IP and transport headers lie. Unlike decode() it takes frames as the
/// sending host had them: IPv4 without length or checksum, and longer than any link carries.
struct CapturedIp {
  bool is_v4 = false;
  bool is_fragment = false;
  bool has_length = true;  ///< False: the length field is 0, and the frame's end is the packet's.
  bool is_whole = true;    ///< False: the capture has less of it than its length field says.
  uint8_t protocol = 0;    ///< Behind IPv6 hop-by-hop and destination options.
  size_t l3_offset = 0;
  size_t l4_offset = 0;
  size_t end = 0;  ///< Behind the packet's last byte in the frame, which may have padding there.
  IpAddress source;
  IpAddress destination;

  std::span<const uint8_t> l4(std::span<const uint8_t> frame) const noexcept {
    return frame.subspan(l4_offset, end - l4_offset);
  }
  std::span<const uint8_t> l3_header(std::span<const uint8_t> frame) const noexcept {
    return frame.subspan(l3_offset, l4_offset - l3_offset);
  }
};

/// @return nothing when the frame is not IP, or its IP headers contradict themselves or are cut.
std::optional<CapturedIp> find_ip(std::span<const uint8_t> frame) noexcept;

/// Whether the IPv4 header checksum is right. IPv6 has none to be wrong.
bool has_right_ip_checksum(std::span<const uint8_t> frame, const CapturedIp& ip) noexcept;

/// Writes the length of an IP packet of `bytes`, at most 65,535, into its header, or the checksum
/// that the header then has. `frame` begins like the one that `ip` is about.
void store_ip_length(std::span<uint8_t> frame, const CapturedIp& ip, size_t bytes) noexcept;
void repair_ip_checksum(std::span<uint8_t> frame, const CapturedIp& ip) noexcept;

/// What transmit offload leaves in a TCP or UDP checksum field for the NIC to finish: the folded
/// sum of the pseudo-header (RFC 9293 section 3.1), not complemented.
/// @param l4_bytes  0 gives the sum that drivers leave when the NIC is also to cut the packet up.
uint16_t pseudo_header_sum(const CapturedIp& ip, size_t l4_bytes) noexcept;

}  // namespace sallyport
