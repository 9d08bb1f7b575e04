#include "dataplane/io/handoff.h"

#include <rte_errno.h>

#include <stdexcept>
#include <string>

namespace sallyport {
namespace {
constexpr unsigned kRingPackets = 1024;
}

Handoff::Handoff(unsigned workers) {
  for (unsigned i = 0; i < workers; ++i) {
    const std::string name = "handoff_" + std::to_string(i);
    rings_.emplace_back(rte_ring_create(name.c_str(), kRingPackets, SOCKET_ID_ANY, RING_F_SC_DEQ));
    if (!rings_.back()) {
      throw std::runtime_error(std::string("handoff ring: ") + rte_strerror(rte_errno) +
                               "; raise memory.total_mb");
    }
  }
}

unsigned Handoff::owner(uint64_t hash) const noexcept {
  return static_cast<unsigned>(uint64_t{FlowHash::owner_part(hash)} * rings_.size() >> 32);
}

bool Handoff::give(unsigned worker, rte_mbuf* mbuf) noexcept {
  return rte_ring_mp_enqueue(rings_[worker].get(), mbuf) == 0;
}

uint16_t Handoff::take(unsigned worker, std::span<rte_mbuf*> out) noexcept {
  return static_cast<uint16_t>(
      rte_ring_sc_dequeue_burst(rings_[worker].get(), reinterpret_cast<void**>(out.data()),
                                static_cast<unsigned>(out.size()), nullptr));
}

}  // namespace sallyport
