#pragma once

#include <rte_mbuf.h>

#include <array>
#include <cstdint>

#include "dataplane/inspect/flow.h"
#include "dataplane/io/counters.h"
#include "dataplane/io/datagram_pool.h"

namespace sallyport {

/// The two ports and this worker's queue on both. In replay both are the same port.
struct PortPair {
  uint16_t inside = 0;
  uint16_t outside = 0;
  uint16_t queue = 0;
  bool can_transmit =
      true;  ///< false: packets are counted as sent and freed (replay without output).
};

/// Collects packets for each port and hands them over a burst at a time. Owns each packet given to
/// it until the port takes it; what the port refuses is freed and counted. A datagram that was put
/// together leaves in fragments no longer than those it came in.
class Transmit {
 public:
  /// @param pool       Of the fragments that leave.
  /// @param datagrams  What lies in one of its buffers is taken apart.
  Transmit(const PortPair& ports, CoreCounters counters, rte_mempool* pool,
           const DatagramPool& datagrams)
      : ports_(ports),
        counters_(counters),
        pool_(pool),
        datagrams_(datagrams.get()),
        // Where both ways go to one port (replay), they keep their order.
        queue_of_{&queues_[0], &queues_[ports.inside == ports.outside ? 0 : 1]} {}
  Transmit(const Transmit&) = delete;
  Transmit& operator=(const Transmit&) = delete;

  /// Queues `mbuf` towards the outside (outbound) or the inside.
  void queue(Direction direction, rte_mbuf* mbuf) noexcept {
    if (mbuf->pool == datagrams_) [[unlikely]] {
      take_apart(direction, mbuf);
    } else {
      append(direction, mbuf);
    }
  }
  void flush() noexcept;

 private:
  struct Queue {
    std::array<rte_mbuf*, 64> mbufs;
    uint16_t count = 0;
    uint16_t inbound = 0;  // of them
    uint64_t bytes = 0;    // of all in it
  };
  void append(Direction direction, rte_mbuf* mbuf) noexcept {
    Queue& queue = *queue_of_[static_cast<size_t>(direction)];
    queue.mbufs[queue.count++] = mbuf;
    queue.inbound = static_cast<uint16_t>(queue.inbound + static_cast<uint16_t>(direction));
    queue.bytes += rte_pktmbuf_pkt_len(mbuf);
    if (queue.count == queue.mbufs.size()) [[unlikely]]
      send(&queue == queues_.data() ? Direction::outbound : Direction::inbound);
  }
  void take_apart(Direction direction, rte_mbuf* datagram) noexcept;
  void send(Direction direction) noexcept;

  const PortPair ports_;
  CoreCounters counters_;
  rte_mempool* pool_;
  const rte_mempool* datagrams_;
  std::array<Queue, 2> queues_;
  const std::array<Queue*, 2> queue_of_;  // by Direction
};

}  // namespace sallyport
