#include "dataplane/io/worker.h"

#include <rte_ethdev.h>

namespace sallyport {
namespace {
constexpr uint32_t kHeartbeatMs = 10;
}

Worker::Worker(const FlowStageOptions& options, const PortPair& ports, Orientation orientation,
               rte_mempool* pool, FlowEventSink& events, StatsCore& stats, CoreCounters counters,
               Shared shared)
    : options_(options),
      ports_(ports),
      orientation_(orientation),
      workers_(shared.handoff.workers()),
      shared_(shared),
      stats_(stats),
      counters_(counters),
      transmit_(ports, counters, pool, shared.datagrams),
      fragments_(shared.datagrams, shared.hash, shared.handoff, options.worker, counters),
      flows_(options, pool, transmit_, counters, events, shared.hash, shared.handoff.wait()) {}

void Worker::run() noexcept {
  join();
  while (!shared_.stop.load(std::memory_order_relaxed)) {
    // The policy first: one that is put in force because a rule's time has come must not be asked
    // about the time before.
    const ActivePolicy* policy = shared_.policies.current();
    const uint16_t received = turn(policy, shared_.clock.now());
    counters_.add(received > 0 ? Counter::polls_busy : Counter::polls_idle);
  }
  end_all_flows();
  leave();
}

void Worker::end_all_flows() noexcept {
  fragments_.end_all();
  flows_.end_all();
}

// Only what was handed over is asked how long it waited for that.
template <bool kHandedOver>
void Worker::handle_burst() noexcept {
  if (burst_.count == 0) return;
  flows_.find(burst_);
  const bool orients = orientation_ == Orientation::by_initiator;
  const OrientContext context{shared_.hash, flows_.table(), options_.limits.incomplete, counters_};
  for (uint16_t i = 0; i < burst_.count; ++i) {
    if (orients) orient(burst_, i, context);
    if constexpr (kHandedOver) {
      flows_.handle_late(burst_, i);
    } else {
      flows_.handle(burst_, i);
    }
  }
}

// One policy and one clock reading for all packets of the turn.
uint16_t Worker::turn(const ActivePolicy* policy, Now now) noexcept {
  take_policy(policy, now);
  uint16_t received = receive(ports_.inside, now);
  if (ports_.outside != ports_.inside)
    received = static_cast<uint16_t>(received + receive(ports_.outside, now));
  if (workers_ > 1) {
    received = static_cast<uint16_t>(received + take_handed_over(now));
  }
  finish_turn(now);
  return received;
}

void Worker::handle_received(std::span<rte_mbuf* const> received, Now now) noexcept {
  take_policy(shared_.policies.current(), now);
  flows_.sweep();  // a capture's clock leaps: what ended in a silence must be gone before it breaks
  const bool inside = received.front()->port == ports_.inside;
  count_received(inside, received.size(), classify(received, classify_context(), burst_));
  handle_burst<false>();
  finish_turn(now);
}

void Worker::pass_time(Now now) noexcept {
  take_policy(shared_.policies.current(), now);
  do {
    flows_.sweep();
  } while (flows_.sweep_is_due());
  transmit_.flush();
}

// Other workers may hand over more in one turn than one burst: all of it is due, up to a bound.
uint16_t Worker::take_handed_over(Now now) noexcept {
  constexpr size_t kMostBursts = kMostTakenOver / kBurst;
  uint16_t total = 0;
  for (size_t i = 0; i < kMostBursts; ++i) {
    std::array<rte_mbuf*, kBurst> mine;
    const uint16_t count = shared_.handoff.take(options_.worker, mine, now.ticks);
    if (count == 0) break;
    uint64_t from_inside = 0;
    for (uint16_t j = 0; j < count; ++j) from_inside += mine[j]->port == ports_.inside;
    counters_.add(Counter::taken_over_outbound, from_inside);
    counters_.add(Counter::taken_over_inbound, count - from_inside);
    classify({mine.data(), count}, classify_context(), burst_);
    // What fragments make up may belong to yet another worker. Nothing else leaves again: each
    // packet and each fragment has one owner, whoever is asked.
    give_to_owners(now.ticks);
    handle_burst<true>();
    total = static_cast<uint16_t>(total + count);
  }
  return total;
}

uint16_t Worker::receive(uint16_t port, Now now) noexcept {
  std::array<rte_mbuf*, kBurst> received;
  const uint16_t count = rte_eth_rx_burst(port, ports_.queue, received.data(), kBurst);
  if (count == 0) return 0;
  // Not every driver notes the port (net_ring does not), and the direction hangs on it.
  for (uint16_t i = 0; i < count; ++i) received[i]->port = port;
  const uint64_t bytes = classify({received.data(), count}, classify_context(), burst_);
  count_received(port == ports_.inside, count, bytes);
  if (workers_ > 1) give_to_owners(now.ticks);
  handle_burst<false>();
  return count;
}

void Worker::count_received(bool inside, uint64_t packets, uint64_t bytes) noexcept {
  counters_.add(inside ? Counter::rx_packets_inside : Counter::rx_packets_outside, packets);
  counters_.add(inside ? Counter::rx_bytes_inside : Counter::rx_bytes_outside, bytes);
  counters_.record(Histogram::burst_size, packets);
}

// Stage 3: what belongs to another worker goes to its ring; the rest closes up.
void Worker::give_to_owners(uint64_t now_ticks) noexcept {
  uint16_t kept = 0;
  for (uint16_t i = 0; i < burst_.count; ++i) {
    const unsigned owner = shared_.handoff.owner(burst_.hash[i]);
    if (owner == options_.worker) {
      if (kept != i) {
        burst_.mbuf[kept] = burst_.mbuf[i];
        burst_.packet[kept] = burst_.packet[i];
        burst_.direction[kept] = burst_.direction[i];
        burst_.key[kept] = burst_.key[i];
        burst_.hash[kept] = burst_.hash[i];
      }
      ++kept;
    } else if (shared_.handoff.give(owner, burst_.mbuf[i], now_ticks)) {
      counters_.add(Counter::handed_off_outbound, burst_.direction[i]);
    } else {
      counters_.drop(DropReason::handoff_ring_full, burst_.direction[i]);
      rte_pktmbuf_free(burst_.mbuf[i]);
    }
  }
  burst_.count = kept;
}

void Worker::take_policy(const ActivePolicy* policy, Now now) noexcept {
  flows_.begin_burst(policy, now);
  fragments_.begin_burst(now);
  if (policy == nullptr || policy->generation == generation_) return;
  generation_ = policy->generation;
  const uint64_t revision = policy->table != nullptr ? policy->table->revision() : 0;
  // The same policy with other labels has the same rules: their hits go on.
  if (revision != stats_.revision.load(std::memory_order_relaxed)) {
    counters_.rule_hits().begin(revision);
  }
  stats_.revision.store(revision, std::memory_order_relaxed);
  // Last, and released: who sees the generation sees its revision.
  stats_.generation.store(generation_, std::memory_order_release);
}

void Worker::finish_turn(Now now) noexcept {
  flows_.sweep();
  transmit_.flush();
  flows_.end_turn();
  if (now.ms - heartbeat_ms_ >= kHeartbeatMs) {
    heartbeat_ms_ = now.ms;
    stats_.heartbeat_unix_ns.store(now.unix_ns, std::memory_order_relaxed);
  }
  shared_.policies.quiescent(options_.worker);  // no table reference outlives this line
}

}  // namespace sallyport
