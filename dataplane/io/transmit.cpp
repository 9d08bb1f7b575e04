#include "dataplane/io/transmit.h"

#include <rte_ethdev.h>

#include "dataplane/inspect/fragment.h"
#include "dataplane/io/burst.h"

namespace sallyport {
namespace {
// A full queue is given this many further chances before packets are lost: virtual devices free
// their descriptors only when asked to send.
constexpr int kRetries = 8;

// A datagram comes in kMostFragments at most, and each that leaves carries at least what the
// longest of them did, rounded down to 8 bytes: twice as many is the most there can be.
constexpr size_t kMostSent = size_t{2} * kMostFragments;
}  // namespace

// Not by rte_ipv4_fragment_packet() and its like: they give packets of several segments, which
// net_af_xdp of DPDK 22.11 sends as if they were one, refuse DF, and for IPv6 forget the id. The
// datagram itself stays as it is, because a flow may hold it as its guard.
void Transmit::take_apart(Direction direction, rte_mbuf* datagram) noexcept {
  const DatagramShape& shape = DatagramPool::shape(datagram);
  const auto frame = frame_of(datagram);
  const size_t step = fragment_payload_bytes(shape);
  const size_t count = (frame.size() - shape.payload_offset + step - 1) / step;
  std::array<rte_mbuf*, kMostSent> fragments;
  if (count > kMostSent ||
      rte_pktmbuf_alloc_bulk(pool_, fragments.data(), static_cast<unsigned>(count)) != 0) {
    counters_.drop(DropReason::no_transmit_buffer, direction);
    rte_pktmbuf_free(datagram);
    return;
  }
  counters_.add(Counter::datagrams_cut_outbound, direction);
  counters_.add(Counter::fragments_tx_outbound, direction, count);
  for (size_t i = 0; i < count; ++i) {
    rte_mbuf* mbuf = fragments[i];
    const auto room = static_cast<uint16_t>(shape.l3_offset + shape.most_bytes);
    char* out = rte_pktmbuf_append(mbuf, room);
    if (out == nullptr) {  // never: it came in a buffer of this pool
      counters_.drop(DropReason::no_transmit_buffer, direction);
      rte_pktmbuf_free(mbuf);
      continue;
    }
    const size_t bytes =
        write_fragment(frame, shape, i * step, {reinterpret_cast<uint8_t*>(out), room});
    rte_pktmbuf_trim(mbuf, static_cast<uint16_t>(room - bytes));
    append(direction, mbuf);
  }
  rte_pktmbuf_free(datagram);
}

void Transmit::flush() noexcept {
  if (queues_[0].count != 0) send(Direction::outbound);
  if (queues_[1].count != 0) send(Direction::inbound);
}

void Transmit::send(Direction direction) noexcept {
  Queue& queue = queues_[static_cast<size_t>(direction)];
  const bool outbound = direction == Direction::outbound;
  const uint16_t port = outbound ? ports_.outside : ports_.inside;
  uint64_t bytes = queue.bytes;
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
    counters_.drop(DropReason::transmit_queue_full, direction, queue.count - sent);
  }
  counters_.add(outbound ? Counter::tx_packets_outside : Counter::tx_packets_inside, sent);
  counters_.add(outbound ? Counter::tx_bytes_outside : Counter::tx_bytes_inside, bytes);
  // Of what goes both ways by the one port (replay) that port's is the way.
  if (outbound && queue.inbound != 0) counters_.add(Counter::turned_outbound, queue.inbound);
  queue.count = 0;
  queue.inbound = 0;
  queue.bytes = 0;
}

}  // namespace sallyport
