#pragma once

#include <rte_mbuf.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <span>

#include "dataplane/io/burst.h"
#include "dataplane/io/classify.h"
#include "dataplane/io/clock.h"
#include "dataplane/io/counters.h"
#include "dataplane/io/datagram_pool.h"
#include "dataplane/io/flow_stage.h"
#include "dataplane/io/fragment_stage.h"
#include "dataplane/io/handoff.h"
#include "dataplane/io/policy_slot.h"
#include "dataplane/io/transmit.h"
#include "policy/runtime/stats_layout.h"

namespace sallyport {

/// What the workers of one process share. All of it outlives them.
struct Shared {
  PolicySlot& policies;
  const Clock& clock;
  Handoff& handoff;
  DatagramPool& datagrams;
  FlowHash hash;
  const std::atomic<bool>& stop;
};

/// One polling core: receive, classify, hand over, find flows, handle, transmit, until stopped.
/// Owns its flows and counters outright; the policy is the one thing that changes under it.
class Worker {
 public:
  /// @param stats  This core's block; the worker becomes its one writer.
  Worker(const FlowStageOptions& options, const PortPair& ports, Orientation orientation,
         rte_mempool* pool, FlowEventSink& events, StatsCore& stats, CoreCounters counters,
         Shared shared);

  /// Polls until `stop`; then ends every flow.
  void run() noexcept;

  /// One turn of the loop with the given clock reading, for replay and tests.
  /// @return how many packets were received.
  uint16_t turn(Now now) noexcept { return turn(shared_.policies.current(), now); }
  /// The same with packets the caller received.
  void handle_received(std::span<rte_mbuf* const> received, Now now) noexcept;
  /// Lets the time up to `now` pass without packets, for replay: whatever should have ended has.
  void pass_time(Now now) noexcept;
  /// As at shutdown: drops the fragments that still wait, and ends every flow.
  void end_all_flows() noexcept;

  FlowMemory flow_memory() const noexcept { return flows_.memory(); }

  void join() noexcept { shared_.policies.join(options_.worker); }
  void leave() noexcept { shared_.policies.leave(options_.worker); }

 private:
  uint16_t turn(const ActivePolicy* policy, Now now) noexcept;
  uint16_t receive(uint16_t port, Now now) noexcept;
  void count_received(bool inside, uint64_t packets, uint64_t bytes) noexcept;
  uint16_t take_handed_over(Now now) noexcept;
  void give_to_owners(uint64_t now_ticks) noexcept;
  template <bool kHandedOver>
  void handle_burst() noexcept;
  void finish_turn(Now now) noexcept;
  void take_policy(const ActivePolicy* policy, Now now) noexcept;
  ClassifyContext classify_context() noexcept {
    return {ports_, shared_.hash, fragments_, transmit_, counters_};
  }

  const FlowStageOptions options_;
  const PortPair ports_;
  const Orientation orientation_;
  const unsigned workers_;
  Shared shared_;
  StatsCore& stats_;
  CoreCounters counters_;
  Transmit transmit_;
  FragmentStage fragments_;
  FlowStage flows_;
  Burst burst_;
  uint32_t generation_ = 0;
  uint32_t heartbeat_ms_ = 0;
};

}  // namespace sallyport
