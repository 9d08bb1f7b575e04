#pragma once

#include <cstdint>
#include <span>

#include "dataplane/inspect/packet.h"

namespace sallyport {

inline constexpr uint16_t kEtherIpv4 = 0x0800;
inline constexpr uint16_t kEtherArp = 0x0806;
inline constexpr uint16_t kEtherIpv6 = 0x86dd;

/// Ethernet with up to two VLAN tags.
struct LinkHeader {
  uint16_t ethertype = 0;  ///< Behind the tags.
  uint8_t vlan_tags = 0;
  uint32_t vlan_ids = 0;  ///< As Packet::vlan_ids.
  uint16_t bytes = 0;     ///< 14, 18 or 22: where the network header starts.
};

/// @return  `none`, truncated_ethernet or too_many_vlan_tags. `out` is meaningful only with `none`.
[[nodiscard]] DecodeFault decode_link(std::span<const uint8_t> frame, LinkHeader& out) noexcept;

}  // namespace sallyport
