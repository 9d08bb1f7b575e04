#pragma once

#include <rte_mbuf.h>

#include <array>
#include <cstdint>
#include <vector>

#include "dataplane/inspect/fragment_table.h"
#include "dataplane/io/clock.h"
#include "dataplane/io/counters.h"
#include "dataplane/io/datagram_pool.h"
#include "dataplane/io/flow_hash.h"
#include "dataplane/io/handoff.h"

namespace sallyport {

/// Stage 2b: IP fragments in, whole datagrams out, before anything is decided. One worker collects
/// all fragments of a datagram, chosen by its FragmentKey, and hands on what they make up like any
/// received packet. Belongs to one worker.
///
/// Not by rte_ip_frag: as built for Debian it takes eight fragments of a datagram and no more. It
/// also knows neither VLAN nor protocol nor side, cannot tell an overlap from a loss, and takes no
/// header in front of the IPv6 fragment header; with what must stand before it to be safe, nothing
/// is left for it to do.
class FragmentStage {
 public:
  FragmentStage(DatagramPool& datagrams, FlowHash hash, Handoff& handoff, unsigned worker,
                CoreCounters counters);
  ~FragmentStage();
  FragmentStage(const FragmentStage&) = delete;
  FragmentStage& operator=(const FragmentStage&) = delete;

  /// The clock that the next packets see; drops what waited too long for its rest.
  void begin_burst(Now now) noexcept;

  /// Takes a frame that decode() called a fragment.
  /// @return a whole packet to be decoded, in a buffer that may be another; nullptr when there is
  ///         none: the fragment is kept, handed to its owner, or dropped and counted.
  [[nodiscard]] rte_mbuf* take(rte_mbuf* mbuf, Direction direction) noexcept;

  /// Drops all that is incomplete, at shutdown.
  void end_all() noexcept;

 private:
  /// The frames of one datagram, in the order of FragmentRecord::ranges.
  using Held = std::array<rte_mbuf*, kMostFragments>;

  rte_mbuf* keep(rte_mbuf* mbuf, const Fragment& fragment, Direction direction,
                 uint64_t hash) noexcept;
  rte_mbuf* put_together(uint32_t index) noexcept;
  rte_mbuf* whole_of(const FragmentRecord& record, const Held& held) noexcept;
  void drop(rte_mbuf* mbuf, DropReason reason, Direction direction) noexcept;
  void release(uint32_t index, uint32_t count, Direction direction) noexcept;
  void count_held(Direction direction, int32_t change) noexcept;
  void forget(uint32_t index) noexcept;

  DatagramPool& datagrams_;
  const FlowHash hash_;
  Handoff& handoff_;
  const unsigned worker_;
  CoreCounters counters_;
  FragmentTable table_;
  std::vector<Held> held_;               // by the index of the record
  std::array<uint32_t, 2> fragments_{};  // in held_, by Direction
  uint64_t clock_ms_ = 0;                // does not wrap, as Now::ms does
  uint32_t last_ms_ = 0;
  uint64_t now_ticks_ = 0;
};

}  // namespace sallyport
