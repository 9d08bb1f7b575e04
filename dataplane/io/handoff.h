#pragma once

#include <rte_mbuf.h>
#include <rte_ring.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "dataplane/io/flow_hash.h"

namespace sallyport {

/// Takes packets to the worker that owns their flow, whatever queue the NIC put them on: one ring a
/// worker, many producers, one consumer.
class Handoff {
 public:
  /// Throws std::runtime_error when memory is short. Start-up only.
  explicit Handoff(unsigned workers);

  unsigned workers() const noexcept { return static_cast<unsigned>(rings_.size()); }
  /// The worker that owns the flow with this FlowHash: the same for both directions. Any thread.
  unsigned owner(uint64_t hash) const noexcept;
  /// Worker. @return false when the owner's ring is full; the packet stays the caller's.
  bool give(unsigned worker, rte_mbuf* mbuf) noexcept;
  /// Packets that wait for a worker, and for how many there is room. Any thread.
  unsigned waiting(unsigned worker) const noexcept { return rte_ring_count(rings_[worker].get()); }
  unsigned capacity() const noexcept { return rte_ring_get_capacity(rings_.front().get()); }
  /// The owner. @return how many packets were taken.
  uint16_t take(unsigned worker, std::span<rte_mbuf*> out) noexcept;

 private:
  struct FreeRing {
    void operator()(rte_ring* ring) const noexcept { rte_ring_free(ring); }
  };
  std::vector<std::unique_ptr<rte_ring, FreeRing>> rings_;
};

}  // namespace sallyport
