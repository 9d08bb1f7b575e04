#pragma once

#include <rte_mbuf.h>

#include <cstdint>
#include <span>

#include "dataplane/inspect/packet.h"

namespace sallyport {

/// What a RST says (RFC 9293 section 3.5.2).
struct ResetFields {
  uint32_t sequence = 0;
  uint32_t acknowledgement = 0;
};

/// The RST that the sender of `packet` must believe: its sequence number is what that sender last
/// acknowledged.
ResetFields reset_for_sender(const Packet& packet) noexcept;

/// Makes a RST by the example of a packet of the same flow: same link layer, same addresses.
///
/// @param pool       Where the new packet comes from.
/// @param frame      The example; `packet` was decoded from it.
/// @param to_sender  true: towards the one who sent the example; false: onwards, the way it went.
/// @return           a packet to transmit, or nullptr when the pool is empty.
rte_mbuf* make_reset(rte_mempool* pool, std::span<const uint8_t> frame, const Packet& packet,
                     bool to_sender, ResetFields fields) noexcept;

}  // namespace sallyport
