#include "dataplane/io/transmit.h"

#include <rte_ethdev.h>

namespace sallyport {
namespace {
// A full queue is given this many further chances before packets are lost: virtual devices free
// their descriptors only when asked to send.
constexpr int kRetries = 8;
}  // namespace

void Transmit::queue(Direction direction, rte_mbuf* mbuf) noexcept {
  // Where both ways go to one port (replay), they keep their order.
  if (ports_.inside == ports_.outside) direction = Direction::outbound;
  Queue& queue = queues_[static_cast<size_t>(direction)];
  queue.mbufs[queue.count++] = mbuf;
  if (queue.count == queue.mbufs.size()) send(direction);
}

void Transmit::flush() noexcept {
  if (queues_[0].count != 0) send(Direction::outbound);
  if (queues_[1].count != 0) send(Direction::inbound);
}

void Transmit::send(Direction direction) noexcept {
  Queue& queue = queues_[static_cast<size_t>(direction)];
  const bool outbound = direction == Direction::outbound;
  const uint16_t port = outbound ? ports_.outside : ports_.inside;
  uint64_t bytes = 0;
  for (uint16_t i = 0; i < queue.count; ++i) bytes += rte_pktmbuf_pkt_len(queue.mbufs[i]);

  uint16_t sent = queue.count;
  if (ports_.can_transmit) {
    sent = rte_eth_tx_burst(port, ports_.queue, queue.mbufs.data(), queue.count);
    for (int retry = 0; sent < queue.count && retry < kRetries; ++retry) {
      sent = static_cast<uint16_t>(sent +
                                   rte_eth_tx_burst(port, ports_.queue, queue.mbufs.data() + sent,
                                                    static_cast<uint16_t>(queue.count - sent)));
    }
  } else {
    rte_pktmbuf_free_bulk(queue.mbufs.data(), queue.count);
  }
  if (sent < queue.count) {
    for (uint16_t i = sent; i < queue.count; ++i) bytes -= rte_pktmbuf_pkt_len(queue.mbufs[i]);
    rte_pktmbuf_free_bulk(queue.mbufs.data() + sent, queue.count - sent);
    counters_.drop(DropReason::transmit_queue_full, queue.count - sent);
  }
  counters_.add(outbound ? Counter::tx_packets_outside : Counter::tx_packets_inside, sent);
  counters_.add(outbound ? Counter::tx_bytes_outside : Counter::tx_bytes_inside, bytes);
  queue.count = 0;
}

}  // namespace sallyport
