#pragma once

#include <rte_mbuf.h>
#include <rte_mempool.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "dataplane/inspect/flow_context.h"
#include "dataplane/io/burst.h"
#include "dataplane/io/counters.h"
#include "dataplane/io/denial_text.h"
#include "dataplane/io/flow_event.h"
#include "dataplane/io/flow_hash.h"
#include "dataplane/io/flow_ids.h"
#include "dataplane/io/flow_table.h"
#include "dataplane/io/handoff.h"
#include "dataplane/io/policy_slot.h"
#include "dataplane/io/rate_limit.h"
#include "dataplane/io/reply.h"
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
  /// So long after start there may be flows that are older than the gateway.
  uint32_t midstream_grace_ms = 300'000;
  uint64_t ids_since_unix_ns = 0;   ///< The start: flow_ids.h.
  bool log_every_flow = false;      ///< Whatever the deciding rule's `log` says.
  BudgetLedger* budgets = nullptr;  ///< Shared by all workers; outlives the stage.
  Bindings* bindings = nullptr;     ///< The same. nullptr: no resolver is trusted.
};

/// What one worker's flows have in use beside their places in the table: none when all have ended.
struct FlowMemory {
  uint32_t segments = 0;
  uint32_t fact_blocks = 0;
  uint32_t inspections = 0;
  uint32_t http2_connections = 0;
  uint32_t quic_hellos = 0;
  uint32_t dns_answers = 0;

  bool operator==(const FlowMemory&) const = default;
};

/// ICMP errors that one worker makes.
inline constexpr uint32_t kIcmpErrorsPerSecond = 1000;

/// Stage 5: one worker's flows, and what happens to each packet of one. Everything here belongs to
/// one worker.
class FlowStage final : private DecisionObserver {
 public:
  /// Throws std::runtime_error when memory is short. Start-up only.
  FlowStage(const FlowStageOptions& options, rte_mempool* pool, Transmit& transmit,
            CoreCounters counters, FlowEventSink& events, FlowHash hash, const HandoffWait& wait);
  ~FlowStage() override;
  FlowStage(const FlowStage&) = delete;
  FlowStage& operator=(const FlowStage&) = delete;

  const FlowTable& table() const noexcept { return table_; }
  FlowMemory memory() const noexcept;

  /// Stage 4: finds the flow of each packet of a burst, before the first of them is handled.
  void find(Burst& burst) noexcept;

  /// The policy and the clock that the next packets see.
  void begin_burst(const ActivePolicy* policy, Now now) noexcept;

  /// After the last packet of a turn was sent on.
  void end_turn() noexcept;

  /// Takes packet `i` of the burst: it is forwarded, held or dropped, and its flow moved on.
  void handle(Burst& burst, uint16_t i) noexcept;
  /// The same for one that another worker handed over.
  void handle_late(Burst& burst, uint16_t i) noexcept;

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
    Flow& flow;
    uint32_t client_next;  ///< Of the flow, before the step.
    uint32_t server_next;
  };

  uint32_t flow_of(const Burst& burst, uint16_t i) const noexcept;
  uint32_t open(Burst& burst, uint16_t i) noexcept;
  bool takes_up(const Packet& packet) const noexcept;
  void refuse(const Burst& burst, uint16_t i, Exception condition, DropReason why) noexcept;
  void reset_unknown(const Burst& burst, uint16_t i) noexcept;
  Outcome restart(uint32_t index, const Arrival& arrival) noexcept;
  // In line, for each has one caller, and every packet goes through both.
  [[gnu::always_inline]] inline Outcome step(Flow& flow, const Arrival& arrival,
                                             Direction direction, bool is_new) noexcept;
  bool carry_out(const Outcome& outcome, const InHand& in_hand, const Packet& packet) noexcept;
  [[gnu::always_inline]] inline bool carry_out_held(const Outcome& outcome, const InHand& in_hand,
                                                    const Packet& packet) noexcept;
  [[gnu::always_inline]] inline void pass_or_drop(const Outcome& outcome, const InHand& in_hand,
                                                  const Packet& packet) noexcept;
  void handle_icmp_error(Burst& burst, uint16_t i) noexcept;

  void forward(Flow& flow, Direction direction, rte_mbuf* mbuf) noexcept;
  void drop(rte_mbuf* mbuf, DropReason reason, Direction direction) noexcept;
  void note_holdings() noexcept;
  void count_guard(int32_t change) noexcept;
  bool release_held(Flow& flow) noexcept;
  void cut_off(Outcome::Fate fate, const InHand& in_hand, const Packet& packet) noexcept;
  void free_acknowledged(const Flow& flow, uint32_t acknowledged) noexcept;
  void discard_first(const Flow& flow, uint32_t count) noexcept;
  void discard_held(Flow& flow, DropReason reason) noexcept;
  void free_segment(Inspection& inspection, const Segment& segment, DropReason reason) noexcept;
  void tell(const Outcome& outcome, const InHand& in_hand, const Packet& packet) noexcept;
  void tell_by_icmp(std::span<const uint8_t> frame, const Packet& packet) noexcept;
  void send_resets(Flow& flow, const InHand& in_hand, const Packet& packet) noexcept;
  bool send_farewell(Flow& flow, Farewell farewell, const InHand& in_hand,
                     const Packet& packet) noexcept;
  std::span<const uint8_t> farewell_text(const Flow& flow, Farewell farewell) noexcept;
  bool repeat_farewell(const Flow& flow, const InHand& in_hand, const Packet& packet) noexcept;
  void answer_told(Flow& flow, const InHand& in_hand, const Packet& packet) noexcept;
  bool send_tcp(std::span<const uint8_t> frame, const Packet& packet, Direction direction,
                bool to_sender, const TcpReply& reply) noexcept;
  void time_out_inspection(uint32_t index) noexcept;
  void tell_timed_out(const Flow& flow) noexcept;
  void time_out_guard(Flow& flow) noexcept;
  void plain_tcp(Flow& flow, const Packet& packet, rte_mbuf* mbuf) noexcept;

  void count_state(FlowState from, FlowState to) noexcept;
  Outcome without_record(Flow& flow, Outcome outcome) noexcept;
  void decided(const Flow& flow, const AppFacts& facts, bool repeats) noexcept override;
  void excepted(Exception condition) noexcept override;
  void scanned(uint64_t ticks) noexcept override;
  uint64_t ns_since_turn_began() const noexcept;
  void note_held(uint64_t since_ns, const rte_mbuf* mbuf) noexcept;
  void note_late(uint64_t wait_ticks) noexcept;
  void note_time_to_verdict(const Flow& flow) noexcept;
  bool logs_all(const Flow& flow) const noexcept;
  void emit(const Flow& flow, const AppFacts& facts, FlowEvent::Type type, FlowEnd end) noexcept;
  bool expired(const Flow& flow, FlowEnd& end) const noexcept;
  bool is_silent_burden(const Flow& flow) noexcept;
  void start_flow(uint32_t index, Direction direction, TunnelKind tunnel) noexcept;
  void clear_flow(uint32_t index, FlowEnd end) noexcept;
  void end_flow(uint32_t index, FlowEnd end) noexcept;

  const FlowStageOptions options_;
  rte_mempool* pool_;
  Transmit& transmit_;
  CoreCounters counters_;
  FlowEventSink& events_;
  const FlowHash hash_;
  const HandoffWait wait_;
  FlowTable table_;
  FlowContext context_;
  Now now_;
  const TickScale tick_scale_;
  uint64_t sent_at_once_ = 0;      // packets of this turn that were not held before
  uint64_t released_at_once_ = 0;  // the same, by what came behind them in the turn
  size_t late_count_ = 0;
  std::array<uint64_t, kMostTakenOver> late_{};  // the same, handed over: how many ticks before
  uint32_t guard_packets_ = 0;                   // of those held, copies of what has left
  uint32_t noted_changes_ = 0;                   // of the segments, that the gauges know
  FlowIds ids_;
  bool opened_since_find_ = false;  // a flow that find() could not see yet is in the table
  bool record_lost_ = false;        // of a verdict, since this was last false
  uint32_t grace_left_ms_;
  RateLimit icmp_budget_{kIcmpErrorsPerSecond};
  DenialText denial_text_{};
  uint32_t sweep_at_ = 0;
  uint32_t swept_ms_ = 0;
  uint32_t sweep_due_ms_ = 0;  // time whose share of the table has not been looked at yet
};

}  // namespace sallyport
