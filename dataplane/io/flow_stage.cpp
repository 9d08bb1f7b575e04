#include "dataplane/io/flow_stage.h"

#include <rte_cycles.h>

#include "dataplane/inspect/flow_budget.h"
#include "dataplane/inspect/flow_decision.h"
#include "dataplane/inspect/flow_watch.h"
#include "dataplane/inspect/inbound_flow.h"
#include "dataplane/inspect/multipath.h"
#include "dataplane/inspect/tcp_flow.h"
#include "dataplane/inspect/tcp_hold.h"
#include "dataplane/inspect/udp_flow.h"
#include "dataplane/io/classify.h"

namespace sallyport {
namespace {

rte_mbuf* mbuf_of(const Segment& segment) noexcept {
  return static_cast<rte_mbuf*>(segment.packet);
}

}  // namespace

FlowStage::FlowStage(const FlowStageOptions& options, rte_mempool* pool, Transmit& transmit,
                     CoreCounters counters, FlowEventSink& events, FlowHash hash,
                     const HandoffWait& wait)
    : options_(options),
      pool_(pool),
      transmit_(transmit),
      counters_(counters),
      events_(events),
      hash_(hash),
      wait_(wait),
      table_(options.flow_capacity),
      context_(options.limits, options.worker, *this, options.budgets, options.bindings),
      tick_scale_(rte_get_tsc_hz()),
      ids_(options.worker, options.ids_since_unix_ns),
      grace_left_ms_(options.midstream_grace_ms) {
  counters_.set(Counter::flow_table_capacity, table_.capacity());
}

FlowStage::~FlowStage() {
  for (uint32_t i = 0; i < table_.capacity(); ++i) {
    if (table_.flow(i).state != FlowState::free)
      discard_held(table_.flow(i), DropReason::held_at_flow_end);
  }
}

void FlowStage::begin_burst(const ActivePolicy* policy, Now now) noexcept {
  now_ = now;
  context_.now_ms = now.ms;
  context_.now_ns = now.ns;
  context_.unix_seconds = static_cast<int64_t>(now.unix_ns / 1'000'000'000);
  context_.table = policy != nullptr ? policy->table.get() : nullptr;
  context_.generation = policy != nullptr ? policy->generation : 0;
  context_.rules_now = policy != nullptr ? std::span<const uint32_t>(policy->rules_now)
                                         : std::span<const uint32_t>{};
}

uint64_t FlowStage::ns_since_turn_began() const noexcept {
  if constexpr (!kMeasures) return 0;
  return now_.ticks != 0 ? tick_scale_.ns(rte_rdtsc() - now_.ticks) : 0;
}

// What goes in the turn in which it came was not made to wait.
void FlowStage::note_held(uint64_t since_ns, const rte_mbuf* mbuf) noexcept {
  const uint64_t wait = wait_.of(mbuf);
  if (since_ns == now_.ns) {
    if (wait == 0) {
      ++released_at_once_;
    } else {
      note_late(wait);
    }
    return;
  }
  const uint64_t held_ns = now_.ns - since_ns + ns_since_turn_began();
  counters_.record(Histogram::hold_time, held_ns);
  counters_.record(Histogram::packet_latency, tick_scale_.ns(wait) + held_ns);
}

void FlowStage::note_late(uint64_t wait_ticks) noexcept {
  if (late_count_ < late_.size()) {
    late_[late_count_++] = wait_ticks;
  } else {  // held at first, and let go within a clock reading of that
    counters_.record(Histogram::packet_latency, tick_scale_.ns(wait_ticks) + ns_since_turn_began());
  }
}

void FlowStage::note_holdings() noexcept {
  if (context_.segments.changes() == noted_changes_) return;
  noted_changes_ = context_.segments.changes();
  counters_.set(Counter::held_packets, context_.segments.in_use());
  counters_.set(Counter::held_bytes, context_.segments.frame_bytes());
}

void FlowStage::count_guard(int32_t change) noexcept {
  guard_packets_ += static_cast<uint32_t>(change);
  counters_.set(Counter::guard_packets, guard_packets_);
}

void FlowStage::end_turn() noexcept {
  note_holdings();
  const uint64_t at_once = sent_at_once_ + released_at_once_;
  if (at_once + late_count_ == 0) return;
  if (now_.ticks != 0) {
    const uint64_t turn_ns = ns_since_turn_began();
    if (at_once != 0) counters_.record(Histogram::packet_latency, turn_ns, at_once);
    for (size_t i = 0; i < late_count_; ++i) {
      counters_.record(Histogram::packet_latency, tick_scale_.ns(late_[i]) + turn_ns);
    }
  }
  sent_at_once_ = 0;
  released_at_once_ = 0;
  late_count_ = 0;
}

void FlowStage::find(Burst& burst) noexcept {
  find_flows(burst, table_);
  opened_since_find_ = false;
}

// A packet before this one in the burst may have opened the flow.
uint32_t FlowStage::flow_of(const Burst& burst, uint16_t i) const noexcept {
  if (burst.flow[i] != FlowTable::kNone || !opened_since_find_) return burst.flow[i];
  return table_.find(burst.key[i], FlowHash::bucket_part(burst.hash[i]));
}

void FlowStage::handle(Burst& burst, uint16_t i) noexcept {
  const Packet& packet = burst.packet[i];
  if (packet.kind == PacketKind::icmp_error) return handle_icmp_error(burst, i);

  bool is_new = false;
  uint32_t index = flow_of(burst, i);
  if (index == FlowTable::kNone) {
    index = open(burst, i);
    if (index == FlowTable::kNone) return;
    is_new = true;
  }

  const Arrival arrival{packet, frame_of(burst.mbuf[i]), burst.mbuf[i]};
  Flow& flow = table_.flow(index);
  const InHand in_hand{burst.mbuf[i], burst.direction[i], flow, flow.client_next, flow.server_next};
  const FlowState before = flow.state;
  record_lost_ = false;
  Outcome outcome = step(flow, arrival, in_hand.direction, is_new);
  if (record_lost_) [[unlikely]]
    outcome = without_record(flow, outcome);
  if (flow.state != before) count_state(before, flow.state);
  bool remains = outcome.is_plain();
  if (!remains) {
    if (outcome.restart) outcome = restart(index, arrival);
    remains = carry_out(outcome, in_hand, packet);
  }
  if (remains) pass_or_drop(outcome, in_hand, packet);
  // Denied by its first packet: nothing more will come of it, and a flood must not fill the table.
  // Of what is no TCP the denial is kept while there is room, so that it is recorded once. No
  // packet of this burst was looked up before the flow was there, so none holds its index.
  if (is_new && flow.state == FlowState::denied &&
      (packet.kind == PacketKind::tcp || table_.size() > table_.capacity() / 2)) {
    end_flow(index, FlowEnd::reset);
  }
}

void FlowStage::handle_late(Burst& burst, uint16_t i) noexcept {
  const uint64_t wait = wait_.of(burst.mbuf[i]);  // now: it may be gone afterwards
  const uint64_t before = sent_at_once_;
  handle(burst, i);
  if (wait == 0 || sent_at_once_ == before) return;
  sent_at_once_ = before;
  note_late(wait);
}

// Same addresses, another connection, or one that the inside end opens after all: the old flow's
// record is closed, the new one starts here.
Outcome FlowStage::restart(uint32_t index, const Arrival& arrival) noexcept {
  clear_flow(index, FlowEnd::replaced);
  start_flow(index, Direction::outbound, TunnelKind::none);
  Flow& flow = table_.flow(index);
  flow.last_seen_ms = now_.ms;
  const Outcome outcome = arrival.packet.kind == PacketKind::udp
                              ? udp_outbound(flow, arrival, context_)
                              : tcp_open(flow, arrival, context_);
  count_state(FlowState::free, flow.state);
  if (!record_lost_) [[likely]]
    return outcome;
  const FlowState before = flow.state;
  const Outcome instead = without_record(flow, outcome);
  count_state(before, flow.state);
  return instead;
}

// The SYN of a flow that is to be inspected agrees to nothing but plain TCP.
void FlowStage::plain_tcp(Flow& flow, const Packet& packet, rte_mbuf* mbuf) noexcept {
  if (packet.kind != PacketKind::tcp || (packet.tcp_flags & (kSyn | kAck)) != kSyn ||
      flow.state != FlowState::pending) {
    return;
  }
  const std::span<uint8_t> frame(rte_pktmbuf_mtod(mbuf, uint8_t*), rte_pktmbuf_data_len(mbuf));
  if (remove_multipath_options(frame, packet)) counters_.add(Counter::multipath_removed);
}

Outcome FlowStage::step(Flow& flow, const Arrival& arrival, Direction direction,
                        bool is_new) noexcept {
  context_.quiet_ms = now_.ms - flow.last_seen_ms;
  flow.last_seen_ms = now_.ms;
  const bool outbound = direction == Direction::outbound;
  if (flow.reason == FlowReason::inbound_pass) {
    return outbound ? answer_outside(flow, arrival, context_) : from_outside(flow, arrival);
  }
  if (outbound && arrival.packet.kind != PacketKind::tcp) try_budget_again(flow, context_);
  switch (arrival.packet.kind) {
    case PacketKind::tcp:
      if (pass_settled(flow, arrival.packet, outbound, context_)) return {};
      if (is_new && (arrival.packet.tcp_flags & kSyn) == 0) {
        return context_.limits.incomplete ? tcp_take_up(flow, arrival, outbound, context_)
                                          : tcp_pass_midstream(flow, arrival, outbound, context_);
      }
      if (is_new) return tcp_open(flow, arrival, context_);
      return outbound ? tcp_outbound(flow, arrival, context_)
                      : tcp_inbound(flow, arrival, context_);
    case PacketKind::udp:
      return outbound ? udp_outbound(flow, arrival, context_)
                      : udp_inbound(flow, arrival, context_);
    default:
      return step_packet(flow, context_);
  }
}

// A flow of which there is no record may be one that nobody wants. Its packet may be held already.
Outcome FlowStage::without_record(Flow& flow, Outcome outcome) noexcept {
  if (flow.state != FlowState::allowed) return outcome;
  constexpr auto kFull = Exception::log_ring_full;
  if (context_.limits.exceptions[kFull] == ExceptionAction::pass_flow) {
    excepted(kFull);
    return outcome;
  }
  except(flow, kFull, kept_facts(flow, context_), context_);
  return outcome.fate == Outcome::Fate::hold ? kDeniedHeld : kDenied;
}

// What is to be done beside the packet in hand.
// @return false when that, too, was dealt with.
bool FlowStage::carry_out(const Outcome& outcome, const InHand& in_hand,
                          const Packet& packet) noexcept {
  if (outcome.discard_first != 0) discard_first(in_hand.flow, outcome.discard_first);
  // It may be among the held that go, and is still the example for what is told.
  const bool goes = outcome.release && outcome.fate == Outcome::Fate::hold;
  if (goes) rte_mbuf_refcnt_update(in_hand.mbuf, 1);
  const bool done = carry_out_held(outcome, in_hand, packet);
  if (goes) rte_pktmbuf_free(in_hand.mbuf);
  return done;
}

bool FlowStage::carry_out_held(const Outcome& outcome, const InHand& in_hand,
                               const Packet& packet) noexcept {
  Flow& flow = in_hand.flow;
  if (outcome.release && !release_held(flow)) {
    cut_off(outcome.fate, in_hand, packet);
    return false;
  }
  if (outcome.acknowledged) free_acknowledged(flow, packet.tcp_acknowledgement);
  // Before anything is freed: the packet in hand, an example for the RST, may be a held one.
  if (outcome.tell) tell(outcome, in_hand, packet);
  if (outcome.discard) discard_held(flow, DropReason::held_after_denial);
  return true;
}

void FlowStage::pass_or_drop(const Outcome& outcome, const InHand& in_hand,
                             const Packet& packet) noexcept {
  Flow& flow = in_hand.flow;
  switch (outcome.fate) {
    case Outcome::Fate::forward:
      if (in_hand.direction == Direction::outbound) {
        const uint32_t bytes = rte_pktmbuf_pkt_len(in_hand.mbuf);
        const bool paid =
            outcome.late ? pay_late(flow, bytes, context_) : pay(flow, bytes, context_);
        if (!paid) return cut_off(outcome.fate, in_hand, packet);
        if (packet.kind == PacketKind::udp && context_.bindings != nullptr &&
            packet.flow.destination_port == kDnsPort) [[unlikely]] {
          note_query(flow, {packet, frame_of(in_hand.mbuf), in_hand.mbuf}, context_);
        }
      }
      if ((packet.tcp_flags & kSyn) != 0) plain_tcp(flow, packet, in_hand.mbuf);
      ++sent_at_once_;
      forward(flow, in_hand.direction, in_hand.mbuf);
      break;
    case Outcome::Fate::hold:
      break;
    case Outcome::Fate::drop:
      drop(in_hand.mbuf, outcome.drop_reason, in_hand.direction);
      break;
  }
  if (flow.inspection != kNoSlot) unwatch_if_done(flow, context_);
}

// The flow's budget was spent before the packet in hand, or one that was held, could go out.
void FlowStage::cut_off(Outcome::Fate fate, const InHand& in_hand, const Packet& packet) noexcept {
  Flow& flow = in_hand.flow;
  count_state(FlowState::allowed, flow.state);
  // The step took it for sent, and a RST must carry the number that the other end waits for.
  const uint32_t end = packet.tcp_sequence + Arrival{packet, {}, nullptr}.tcp_length();
  const bool outbound = in_hand.direction == Direction::outbound;
  if (fate == Outcome::Fate::forward && (outbound ? flow.client_next : flow.server_next) == end) {
    (outbound ? flow.client_next : flow.server_next) =
        outbound ? in_hand.client_next : in_hand.server_next;
  }
  tell({.tell = true}, in_hand, packet);
  discard_held(flow, DropReason::held_after_denial);
  if (fate != Outcome::Fate::hold) drop(in_hand.mbuf, DropReason::denied, in_hand.direction);
  if (flow.inspection != kNoSlot) unwatch_if_done(flow, context_);
}

void FlowStage::forward(Flow& flow, Direction direction, rte_mbuf* mbuf) noexcept {
  const uint32_t bytes = rte_pktmbuf_pkt_len(mbuf);
  if (direction == Direction::outbound) {
    ++flow.packets_out;
    flow.bytes_out += bytes;
  } else {
    ++flow.packets_in;
    flow.bytes_in += bytes;
  }
  transmit_.queue(direction, mbuf);
}

void FlowStage::drop(rte_mbuf* mbuf, DropReason reason, Direction direction) noexcept {
  counters_.drop(reason, direction);
  rte_pktmbuf_free(mbuf);
}

// What is guarded stays referenced: until the server has acknowledged it, it may be sent again.
// @return false when the flow's budget did not reach so far; then it is denied.
bool FlowStage::release_held(Flow& flow) noexcept {
  Inspection* inspection = inspection_of(flow, context_);
  if (inspection == nullptr) return true;
  StreamWatch* watch = std::get_if<StreamWatch>(&inspection->watch);
  SegmentPool& segments = context_.segments;
  uint32_t before = kNoSegment;
  uint32_t waits = kNoSegment;  // the first that stays unsent
  for (uint32_t i = inspection->held.head; i != kNoSegment;) {
    Segment& segment = segments[i];
    const uint32_t next = segment.next;
    if (segment.sent || (watch != nullptr && !may_leave(*watch, segment))) {
      if (!segment.sent && waits == kNoSegment) waits = i;
      before = i;
      i = next;
      continue;
    }
    rte_mbuf* mbuf = mbuf_of(segment);
    const uint32_t bytes = rte_pktmbuf_pkt_len(mbuf);
    if (watch != nullptr ? !pay_held(flow, *watch, segment, bytes, context_)
                         : !pay(flow, bytes, context_)) {
      return false;
    }
    inspection->waiting_bytes -= watch != nullptr ? segment.bytes : 0;
    --inspection->waiting_packets;
    if (watch != nullptr) advance_past(flow, *watch, segment);
    note_held(segment.since_ns, mbuf);
    if (watch != nullptr && must_be_guarded(*watch, segment)) {
      segment.sent = true;
      count_guard(1);
      rte_mbuf_refcnt_update(mbuf, 1);
      before = i;
    } else {
      remove_after(segments, inspection->held, before);
    }
    forward(flow, Direction::outbound, mbuf);
    i = next;
  }
  if (watch != nullptr) watch->passed_over.forget_before(watch->acknowledged);
  if (watch != nullptr && waits == kNoSegment) {
    watch->replaced_budgets.forget_all();
  } else if (watch != nullptr) {
    watch->replaced_budgets.forget_before(segments[waits].sequence);
  }
  return true;
}

void FlowStage::free_acknowledged(const Flow& flow, uint32_t acknowledged) noexcept {
  Inspection* inspection = inspection_of(flow, context_);
  if (inspection == nullptr) return;
  while (is_acknowledged(context_.segments, inspection->held, acknowledged)) {
    count_guard(-1);
    rte_pktmbuf_free(mbuf_of(pop_front(context_.segments, inspection->held)));
  }
}

// A packet that never left counts as dropped; a copy of one that did is only let go.
void FlowStage::free_segment(Inspection& inspection, const Segment& segment,
                             DropReason reason) noexcept {
  if (segment.sent) {
    count_guard(-1);
  } else {
    counters_.drop(reason, Direction::outbound);  // none but a client's is held
    --inspection.waiting_packets;
    inspection.waiting_bytes -= std::min(inspection.waiting_bytes, segment.bytes);
  }
  rte_pktmbuf_free(mbuf_of(segment));
}

void FlowStage::discard_first(const Flow& flow, uint32_t count) noexcept {
  Inspection* inspection = inspection_of(flow, context_);
  if (inspection == nullptr) return;
  for (; count > 0 && !inspection->held.empty(); --count) {
    free_segment(*inspection, pop_front(context_.segments, inspection->held),
                 DropReason::held_after_denial);
  }
}

void FlowStage::discard_held(Flow& flow, DropReason reason) noexcept {
  Inspection* inspection = inspection_of(flow, context_);
  if (inspection == nullptr) return;
  while (!inspection->held.empty()) {
    free_segment(*inspection, pop_front(context_.segments, inspection->held), reason);
  }
}

// The gauges follow the enum; there is none of free places.
void FlowStage::count_state(FlowState from, FlowState to) noexcept {
  static_assert(FlowState::pending < FlowState::allowed && FlowState::allowed < FlowState::denied);
  if (from == to) return;
  const auto change = [this](FlowState state, uint64_t by) {
    if (state == FlowState::free) return;
    const auto gauge = static_cast<size_t>(Counter::flows_pending) + static_cast<size_t>(state) -
                       static_cast<size_t>(FlowState::pending);
    counters_.add(static_cast<Counter>(gauge), by);
  };
  change(from, UINT64_MAX);
  change(to, 1);
}

}  // namespace sallyport
