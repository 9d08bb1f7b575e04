#pragma once

#include <rte_mbuf.h>
#include <rte_mempool.h>

#include <cstdint>
#include <span>
#include <string>

#include "dataplane/inspect/flow_context.h"
#include "dataplane/io/burst.h"
#include "dataplane/io/counters.h"
#include "dataplane/io/flow_event.h"
#include "dataplane/io/flow_hash.h"
#include "dataplane/io/flow_table.h"
#include "dataplane/io/policy_slot.h"
#include "dataplane/io/reset.h"
#include "dataplane/io/transmit.h"

namespace sallyport {

/// Idle times after which a flow leaves the table, and what may open one.
struct FlowTimeouts {
  uint32_t tcp_idle_ms = 7'500'000;
  uint32_t tcp_opening_ms = 30'000;
  uint32_t tcp_closing_ms = 10'000;
  uint32_t udp_idle_ms = 60'000;
  uint32_t other_idle_ms = 30'000;
};

struct FlowStageOptions {
  FlowLimits limits;
  FlowTimeouts timeouts;
  uint32_t flow_capacity = 65536;
  uint32_t core = 0;    ///< lcore id, for records.
  unsigned worker = 0;  ///< Index, from 0.
  bool pass_inbound_flows = false;
  bool log_every_flow = false;  ///< Whatever the deciding rule's `log` says.
  int socket = -1;              ///< NUMA node.
};

/// Stage 5: one worker's flows, and what happens to each packet of one. Everything here belongs to
/// one worker.
class FlowStage final : private DecisionObserver {
 public:
  /// Throws std::runtime_error when memory is short. Start-up only.
  FlowStage(const FlowStageOptions& options, rte_mempool* pool, Transmit& transmit,
            CoreCounters counters, FlowEventSink& events, FlowHash hash);
  ~FlowStage() override;
  FlowStage(const FlowStage&) = delete;
  FlowStage& operator=(const FlowStage&) = delete;

  const FlowTable& table() const noexcept { return table_; }

  /// The policy and the clock that the next packets see.
  void begin_burst(const ActivePolicy* policy, Now now) noexcept;

  /// Takes packet `i` of the burst: it is forwarded, held or dropped, and its flow moved on.
  void handle(Burst& burst, uint16_t i) noexcept;

  /// Looks at as many flows as the time since the last call is worth, ends idle ones and denies
  /// those that waited too long for a verdict.
  void sweep() noexcept;
  bool sweep_is_due() const noexcept { return sweep_due_ms_ > 0; }

  /// Ends every flow, at shutdown: each leaves its record.
  void end_all() noexcept;

 private:
  struct InHand {
    rte_mbuf* mbuf;
    Direction direction;
    uint32_t index;
  };

  uint32_t find_again(const Burst& burst, uint16_t i) const noexcept;
  uint32_t open(Burst& burst, uint16_t i) noexcept;
  void refuse(const Burst& burst, uint16_t i, DropReason why) noexcept;
  Outcome restart(uint32_t index, const Arrival& arrival, Direction direction) noexcept;
  Outcome step(uint32_t index, const Arrival& arrival, Direction direction, bool is_new) noexcept;
  void carry_out(const Outcome& outcome, const InHand& in_hand, const Packet& packet) noexcept;
  void handle_icmp_error(Burst& burst, uint16_t i) noexcept;

  void forward(Flow& flow, Direction direction, rte_mbuf* mbuf) noexcept;
  void drop(rte_mbuf* mbuf, DropReason reason) noexcept;
  void release_held(Flow& flow) noexcept;
  void free_acknowledged(const Flow& flow, uint32_t acknowledged) noexcept;
  void discard_first(const Flow& flow, uint32_t count) noexcept;
  void discard_held(Flow& flow, DropReason reason) noexcept;
  void free_segment(Inspection& inspection, const Segment& segment, DropReason reason) noexcept;
  void send_resets(const Flow& flow, const InHand& in_hand, const Packet& packet) noexcept;
  void send_reset(std::span<const uint8_t> frame, const Packet& packet, Direction direction,
                  bool to_sender, ResetFields fields) noexcept;
  void time_out_inspection(uint32_t index) noexcept;
  void time_out_guard(Flow& flow) noexcept;
  void plain_tcp(Flow& flow, const Packet& packet, rte_mbuf* mbuf) noexcept;

  void count_state(FlowState from, FlowState to) noexcept;
  void decided(const Flow& flow, const AppFacts& facts) noexcept override;
  void emit(const Flow& flow, const AppFacts& facts, FlowEvent::Type type, FlowEnd end) noexcept;
  bool expired(const Flow& flow, FlowEnd& end) const noexcept;
  void start_flow(uint32_t index, Direction direction) noexcept;
  void clear_flow(uint32_t index, FlowEnd end) noexcept;
  void end_flow(uint32_t index, FlowEnd end) noexcept;

  const FlowStageOptions options_;
  rte_mempool* pool_;
  Transmit& transmit_;
  CoreCounters counters_;
  FlowEventSink& events_;
  const FlowHash hash_;
  FlowTable table_;
  FlowContext context_;
  Now now_;
  uint64_t next_flow_id_;
  uint64_t states_[4] = {};  // flows by FlowState
  uint32_t sweep_at_ = 0;
  uint32_t swept_ms_ = 0;
  uint32_t sweep_due_ms_ = 0;  // time whose share of the table has not been looked at yet
};

}  // namespace sallyport
