#pragma once

#include <rte_mbuf.h>

#include <array>
#include <cstdint>
#include <span>

#include "dataplane/inspect/flow.h"
#include "dataplane/inspect/packet.h"
#include "dataplane/io/clock.h"

namespace sallyport {

inline constexpr uint16_t kBurst = 32;  ///< Packets; a multiple of 8, as vector receive paths need.

/// The packets a worker has in hand, from classify() on: one row a packet that names a flow.
struct Burst {
  Now now;
  uint16_t count = 0;
  std::array<rte_mbuf*, kBurst> mbuf;
  std::array<Packet, kBurst> packet;
  std::array<Direction, kBurst> direction;
  std::array<FlowKey, kBurst> key;
  std::array<uint64_t, kBurst> hash;  ///< FlowHash of the key.
  std::array<uint32_t, kBurst> flow;  ///< Index into the flow table, or FlowTable::kNone.
};

inline std::span<const uint8_t> frame_of(const rte_mbuf* mbuf) noexcept {
  return {rte_pktmbuf_mtod(mbuf, const uint8_t*), rte_pktmbuf_data_len(mbuf)};
}

}  // namespace sallyport
