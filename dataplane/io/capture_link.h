#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace sallyport {

/// "LINUX_SLL2 (276)", or the number alone when it is none that people meet.
std::string link_type_name(uint32_t link_type);

/// Whether to_ethernet() knows what packets of this type look like.
bool is_supported_link(uint32_t link_type) noexcept;

/// Makes a packet of any supported link type an Ethernet frame: what its link header says becomes
/// an ethertype behind made-up addresses. Takes a PPPoE session's header out, behind up to two VLAN
/// tags. A packet of a protocol without an ethertype gets a reserved one; of one that ends inside
/// its link header a stump is left, too short to be a frame: the pipeline drops and counts both.
///
/// @param link_type  One that is_supported_link().
/// @param packet     From the first byte of its link header.
/// @param buffer     Written to only when the frame is not the packet itself.
/// @return           The frame: `packet`, or in `buffer` until that changes.
std::span<const uint8_t> to_ethernet(uint32_t link_type, std::span<const uint8_t> packet,
                                     std::vector<uint8_t>& buffer);

}  // namespace sallyport
