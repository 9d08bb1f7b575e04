#include "dataplane/inspect/link_header.h"

#include <cstddef>

#include "dataplane/inspect/big_endian.h"

namespace sallyport {
namespace {

constexpr size_t kEthernetBytes = 14;
constexpr size_t kVlanTagBytes = 4;
constexpr uint8_t kMaxVlanTags = 2;

bool is_vlan(uint16_t ethertype) noexcept {
  // IEEE 802.1Q, 802.1ad, and what QinQ used before 802.1ad
  return ethertype == 0x8100 || ethertype == 0x88a8 || ethertype == 0x9100;
}

}  // namespace

DecodeFault decode_link(std::span<const uint8_t> frame, LinkHeader& out) noexcept {
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
