#pragma once

#include <rte_mbuf.h>
#include <rte_mbuf_dyn.h>
#include <rte_ring.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "dataplane/io/burst.h"
#include "dataplane/io/flow_hash.h"

namespace sallyport {

/// That a worker takes from others in one turn.
inline constexpr size_t kMostTakenOver = size_t{16} * kBurst;

/// How long packets waited between the turn that received them and the one of their owner. Stands
/// in the packet's buffer, in ticks of the CPU's counter.
class HandoffWait {
 public:
  HandoffWait() = default;  ///< Of one worker: no packet waits.
  /// Throws std::runtime_error when DPDK has no room for it. Start-up only.
  static HandoffWait make();

  /// Of a packet that was received, or taken from another worker, in this turn.
  uint64_t of(const rte_mbuf* mbuf) const noexcept {
    return (mbuf->ol_flags & handed_over_) != 0 ? *field(const_cast<rte_mbuf*>(mbuf)) : 0;
  }
  /// `to` is made of others, the last of which was `from`.
  void copy(const rte_mbuf* from, rte_mbuf* to) const noexcept {
    if ((from->ol_flags & handed_over_) != 0) put(to, of(from));
  }
  /// Until end(): when it was received instead. `now_ticks` is that of the giver's turn; 0: nothing
  /// is measured.
  void begin(rte_mbuf* mbuf, uint64_t now_ticks) const noexcept {
    if (handed_over_ != 0 && now_ticks != 0) put(mbuf, now_ticks - of(mbuf));
  }
  // The giver's turn may have begun after the taker's.
  void end(rte_mbuf* mbuf, uint64_t now_ticks) const noexcept {
    const uint64_t received = of(mbuf);
    if (received != 0) put(mbuf, now_ticks > received ? now_ticks - received : 0);
  }

 private:
  uint64_t* field(rte_mbuf* mbuf) const noexcept {
    return RTE_MBUF_DYNFIELD(mbuf, offset_, uint64_t*);
  }
  void put(rte_mbuf* mbuf, uint64_t ticks) const noexcept {
    mbuf->ol_flags |= handed_over_;
    *field(mbuf) = ticks;
  }

  int offset_ = 0;
  uint64_t handed_over_ = 0;  // the flag of packets that have it
};

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
  bool give(unsigned worker, rte_mbuf* mbuf, uint64_t now_ticks) noexcept;
  /// Packets that wait for a worker, and for how many there is room. Any thread.
  unsigned waiting(unsigned worker) const noexcept { return rte_ring_count(rings_[worker].get()); }
  unsigned capacity() const noexcept { return rte_ring_get_capacity(rings_.front().get()); }
  /// The owner. @return how many packets were taken.
  uint16_t take(unsigned worker, std::span<rte_mbuf*> out, uint64_t now_ticks) noexcept;
  /// How long what a worker took had waited.
  const HandoffWait& wait() const noexcept { return wait_; }

 private:
  struct FreeRing {
    void operator()(rte_ring* ring) const noexcept { rte_ring_free(ring); }
  };
  std::vector<std::unique_ptr<rte_ring, FreeRing>> rings_;
  HandoffWait wait_;
};

}  // namespace sallyport
