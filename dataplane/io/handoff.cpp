#include "dataplane/io/handoff.h"

#include <rte_errno.h>

#include <stdexcept>
#include <string>

namespace sallyport {
namespace {
constexpr unsigned kRingPackets = 1024;
}

HandoffWait HandoffWait::make() {
  constexpr rte_mbuf_dynfield kField{.name = "sallyport_handoff_wait",
                                     .size = sizeof(uint64_t),
                                     .align = alignof(uint64_t),
                                     .flags = 0};
  constexpr rte_mbuf_dynflag kFlag{.name = "sallyport_handed_over", .flags = 0};
  const int offset = rte_mbuf_dynfield_register(&kField);
  const int bit = offset < 0 ? offset : rte_mbuf_dynflag_register(&kFlag);
  if (bit < 0) {
    throw std::runtime_error(std::string("handoff: no room in packet buffers for the wait: ") +
                             rte_strerror(rte_errno));
  }
  HandoffWait wait;
  wait.offset_ = offset;
  wait.handed_over_ = uint64_t{1} << bit;
  return wait;
}

Handoff::Handoff(unsigned workers) {
  if (workers > 1) wait_ = HandoffWait::make();
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

bool Handoff::give(unsigned worker, rte_mbuf* mbuf, uint64_t now_ticks) noexcept {
  wait_.begin(mbuf, now_ticks);
  return rte_ring_mp_enqueue(rings_[worker].get(), mbuf) == 0;
}

uint16_t Handoff::take(unsigned worker, std::span<rte_mbuf*> out, uint64_t now_ticks) noexcept {
  const unsigned count =
      rte_ring_sc_dequeue_burst(rings_[worker].get(), reinterpret_cast<void**>(out.data()),
                                static_cast<unsigned>(out.size()), nullptr);
  for (unsigned i = 0; i < count; ++i) wait_.end(out[i], now_ticks);
  return static_cast<uint16_t>(count);
}

}  // namespace sallyport
