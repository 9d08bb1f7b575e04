#include "dataplane/io/flow_stage.h"

#include "dataplane/inspect/flow_decision.h"
#include "dataplane/inspect/flow_watch.h"
#include "dataplane/inspect/multipath.h"
#include "dataplane/inspect/tcp_flow.h"
#include "dataplane/inspect/tcp_hold.h"
#include "dataplane/inspect/udp_flow.h"
#include "dataplane/io/reset.h"

namespace sallyport {
namespace {

std::string table_name(unsigned worker) {
  return "flows_" + std::to_string(worker);
}

rte_mbuf* mbuf_of(const Segment& segment) noexcept {
  return static_cast<rte_mbuf*>(segment.packet);
}

}  // namespace

FlowStage::FlowStage(const FlowStageOptions& options, rte_mempool* pool, Transmit& transmit,
                     CoreCounters counters, FlowEventSink& events, FlowHash hash)
    : options_(options),
      pool_(pool),
      transmit_(transmit),
      counters_(counters),
      events_(events),
      hash_(hash),
      table_(table_name(options.worker).c_str(), options.flow_capacity, options.socket),
      context_(options.limits, options.worker, *this),
      next_flow_id_(uint64_t{options.worker + 1} << 48) {}

FlowStage::~FlowStage() {
  for (uint32_t i = 0; i < table_.capacity(); ++i) {
    if (table_.flow(i).state != FlowState::free)
      discard_held(table_.flow(i), DropReason::held_at_flow_end);
  }
}

void FlowStage::begin_burst(const ActivePolicy* policy, Now now) noexcept {
  now_ = now;
  context_.now_ms = now.ms;
  context_.unix_seconds = static_cast<int64_t>(now.unix_ns / 1'000'000'000);
  context_.table = policy != nullptr ? policy->table.get() : nullptr;
  context_.generation = policy != nullptr ? policy->generation : 0;
}

// A packet before this one in the burst may have opened the flow.
uint32_t FlowStage::find_again(const Burst& burst, uint16_t i) const noexcept {
  return table_.find(burst.key[i], FlowHash::bucket_part(burst.hash[i]));
}

void FlowStage::handle(Burst& burst, uint16_t i) noexcept {
  const Packet& packet = burst.packet[i];
  if (packet.kind == PacketKind::icmp_error) return handle_icmp_error(burst, i);

  bool is_new = false;
  uint32_t index = burst.flow[i];
  if (index == FlowTable::kNone) index = find_again(burst, i);
  if (index == FlowTable::kNone) {
    index = open(burst, i);
    if (index == FlowTable::kNone) return;
    is_new = true;
  }

  const Arrival arrival{packet, frame_of(burst.mbuf[i]), burst.mbuf[i]};
  const InHand in_hand{burst.mbuf[i], burst.direction[i], index};
  const FlowState before = table_.flow(index).state;
  Outcome outcome = step(index, arrival, in_hand.direction, is_new);
  count_state(before, table_.flow(index).state);
  if (outcome.restart) outcome = restart(index, arrival, in_hand.direction);
  carry_out(outcome, in_hand, packet);
  // Denied by its first SYN: nothing more will come of it, and a flood must not fill the table. No
  // packet of this burst was looked up before the flow was there, so none holds its index.
  if (is_new && packet.kind == PacketKind::tcp && table_.flow(index).state == FlowState::denied) {
    end_flow(index, FlowEnd::reset);
  }
}

// Same addresses, another connection: the old flow's record is closed, the new one starts here.
Outcome FlowStage::restart(uint32_t index, const Arrival& arrival, Direction direction) noexcept {
  clear_flow(index, FlowEnd::replaced);
  start_flow(index, Direction::outbound);
  Flow& flow = table_.flow(index);
  flow.last_seen_ms = now_.ms;
  const Outcome outcome = direction == Direction::outbound ? tcp_open(flow, arrival, context_)
                                                           : tcp_reopen(flow, arrival, context_);
  count_state(FlowState::free, flow.state);
  return outcome;
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

Outcome FlowStage::step(uint32_t index, const Arrival& arrival, Direction direction,
                        bool is_new) noexcept {
  Flow& flow = table_.flow(index);
  flow.last_seen_ms = now_.ms;
  if (flow.reason == FlowReason::inbound_pass) {
    if ((arrival.packet.tcp_flags & kRst) != 0) flow.progress |= kResetSeen;
    return {};
  }
  const bool outbound = direction == Direction::outbound;
  switch (arrival.packet.kind) {
    case PacketKind::tcp:
      if (is_new && (arrival.packet.tcp_flags & kSyn) == 0) {
        return tcp_take_up(flow, arrival, outbound, context_);
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

void FlowStage::carry_out(const Outcome& outcome, const InHand& in_hand,
                          const Packet& packet) noexcept {
  Flow& flow = table_.flow(in_hand.index);
  if (outcome.discard_first != 0) discard_first(flow, outcome.discard_first);
  if (outcome.release) release_held(flow);
  if (outcome.acknowledged) free_acknowledged(flow, packet.tcp_acknowledgement);
  // Before anything is freed: the packet in hand, an example for the RST, may be a held one.
  if (outcome.reset) send_resets(flow, in_hand, packet);
  if (outcome.discard) discard_held(flow, DropReason::held_after_denial);
  switch (outcome.fate) {
    case Outcome::Fate::forward:
      plain_tcp(flow, packet, in_hand.mbuf);
      forward(flow, in_hand.direction, in_hand.mbuf);
      break;
    case Outcome::Fate::hold:
      break;
    case Outcome::Fate::drop:
      drop(in_hand.mbuf, outcome.drop_reason);
      break;
  }
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

void FlowStage::drop(rte_mbuf* mbuf, DropReason reason) noexcept {
  counters_.drop(reason);
  rte_pktmbuf_free(mbuf);
}

// What is guarded stays referenced: until the server has acknowledged it, it may be sent again.
void FlowStage::release_held(Flow& flow) noexcept {
  Inspection* inspection = inspection_of(flow, context_);
  if (inspection == nullptr) return;
  const StreamWatch* watch = std::get_if<StreamWatch>(&inspection->watch);
  SegmentPool& segments = context_.segments;
  uint32_t before = kNoSegment;
  for (uint32_t i = inspection->held.head; i != kNoSegment;) {
    Segment& segment = segments[i];
    const uint32_t next = segment.next;
    if (segment.sent || (watch != nullptr && !may_leave(*watch, segment))) {
      before = i;
      i = next;
      continue;
    }
    rte_mbuf* mbuf = mbuf_of(segment);
    inspection->waiting_bytes -= watch != nullptr ? segment.bytes : 0;
    --inspection->waiting_packets;
    if (watch != nullptr) advance_past(flow, *watch, segment);
    if (watch != nullptr && must_be_guarded(*watch, segment)) {
      segment.sent = true;
      rte_mbuf_refcnt_update(mbuf, 1);
      before = i;
    } else {
      remove_after(segments, inspection->held, before);
    }
    forward(flow, Direction::outbound, mbuf);
    i = next;
  }
}

void FlowStage::free_acknowledged(const Flow& flow, uint32_t acknowledged) noexcept {
  Inspection* inspection = inspection_of(flow, context_);
  if (inspection == nullptr) return;
  while (is_acknowledged(context_.segments, inspection->held, acknowledged)) {
    rte_pktmbuf_free(mbuf_of(pop_front(context_.segments, inspection->held)));
  }
}

// A packet that never left counts as dropped; a copy of one that did is only let go.
void FlowStage::free_segment(Inspection& inspection, const Segment& segment,
                             DropReason reason) noexcept {
  if (!segment.sent) {
    counters_.drop(reason);
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

void FlowStage::count_state(FlowState from, FlowState to) noexcept {
  if (from == to) return;
  if (from != FlowState::free) --states_[static_cast<size_t>(from)];
  if (to != FlowState::free) ++states_[static_cast<size_t>(to)];
  counters_.set(Counter::flows_pending, states_[static_cast<size_t>(FlowState::pending)]);
  counters_.set(Counter::flows_allowed, states_[static_cast<size_t>(FlowState::allowed)]);
  counters_.set(Counter::flows_denied, states_[static_cast<size_t>(FlowState::denied)]);
}

}  // namespace sallyport
