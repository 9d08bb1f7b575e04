#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/inspect/big_endian.h"
#include "dataplane/inspect/packet.h"

namespace sallyport {

inline constexpr size_t kEthernetBytes = 14;
inline constexpr size_t kVlanTagBytes = 4;
inline constexpr uint8_t kMaxVlanTags = 2;

inline constexpr uint16_t kEtherIpv4 = 0x0800;
inline constexpr uint16_t kEtherArp = 0x0806;
inline constexpr uint16_t kEtherIpv6 = 0x86dd;

constexpr bool is_vlan(uint16_t ethertype) noexcept {
  // IEEE 802.1Q, 802.1ad, and what QinQ used before 802.1ad
  return ethertype == 0x8100 || ethertype == 0x88a8 || ethertype == 0x9100;
}

/// Ethernet with up to two VLAN tags.
struct LinkHeader {
  uint16_t ethertype = 0;  ///< Behind the tags.
  uint8_t vlan_tags = 0;
  uint32_t vlan_ids = 0;  ///< As Packet::vlan_ids.
  uint16_t bytes = 0;     ///< 14, 18 or 22: where the network header starts.
};

/// @return  `none`, truncated_ethernet or too_many_vlan_tags. `out` is meaningful only with `none`.
[[nodiscard]] inline DecodeFault decode_link(std::span<const uint8_t> frame,
                                             LinkHeader& out) noexcept {
  if (frame.size() < kEthernetBytes) return DecodeFault::truncated_ethernet;
  out = {.ethertype = load_be16(&frame[12])};
  auto rest = frame.subspan(kEthernetBytes);
  while (is_vlan(out.ethertype)) {
    if (out.vlan_tags == kMaxVlanTags) return DecodeFault::too_many_vlan_tags;
    if (rest.size() < kVlanTagBytes) return DecodeFault::truncated_ethernet;
    out.vlan_ids = out.vlan_ids << 12 | (load_be16(&rest[0]) & 0x0fffU);
    out.ethertype = load_be16(&rest[2]);
    rest = rest.subspan(kVlanTagBytes);
    ++out.vlan_tags;
  }
  out.bytes = static_cast<uint16_t>(frame.size() - rest.size());
  return DecodeFault::none;
}

}  // namespace sallyport
