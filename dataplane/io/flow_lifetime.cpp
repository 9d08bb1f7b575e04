// How flows of a FlowStage begin and end, and the records they leave.
#include <algorithm>

#include "dataplane/inspect/flow_decision.h"
#include "dataplane/inspect/flow_watch.h"
#include "dataplane/io/flow_stage.h"

namespace sallyport {
namespace {

// `log: all` adds what a flow does between its verdict and its end.
bool is_logged(const Flow& flow) noexcept {
  if (flow.log == LogLevel::none) return false;
  if (flow.log == LogLevel::denies) return flow.state == FlowState::denied || flow.would_deny;
  return true;
}

Counter verdict_counter(const Flow& flow) noexcept {
  const bool allowed = flow.state == FlowState::allowed;
  const auto either = [&](Counter allow, Counter deny) { return allowed ? allow : deny; };
  if (flow.app_known == Known::present) {
    switch (flow.app) {
      case AppProtocol::tls:
        return either(Counter::verdicts_allow_tls, Counter::verdicts_deny_tls);
      case AppProtocol::quic:
        return either(Counter::verdicts_allow_quic, Counter::verdicts_deny_quic);
      case AppProtocol::http:
        return either(Counter::verdicts_allow_http, Counter::verdicts_deny_http);
      case AppProtocol::dns:
        return either(Counter::verdicts_allow_dns, Counter::verdicts_deny_dns);
      case AppProtocol::count_:
        break;
    }
  }
  return either(Counter::verdicts_allow_unknown, Counter::verdicts_deny_unknown);
}

// The whole table is looked at about once in this time, a slice each millisecond.
constexpr uint32_t kSweepRoundMs = 1024;
// After a stall the sweep catches up in steps: packets come first.
constexpr uint32_t kMostSlices = 8;

}  // namespace

void FlowStage::start_flow(uint32_t index, Direction direction) noexcept {
  Flow& flow = table_.flow(index);
  flow = Flow{.key = flow.key, .id = ++next_flow_id_, .started_unix_ns = now_.unix_ns};
  if (direction == Direction::outbound) {
    flow.progress = kOpenedInside;
  } else {
    flow.state = FlowState::allowed;
    flow.reason = FlowReason::inbound_pass;
    count_state(FlowState::free, FlowState::allowed);
    decided(flow, AppFacts{});
  }
}

// Only a SYN, or a first datagram, may open a flow, and only from inside unless inbound_flows is
// pass. Everything else has nothing to be judged by.
uint32_t FlowStage::open(Burst& burst, uint16_t i) noexcept {
  const Packet& packet = burst.packet[i];
  const bool tcp = packet.kind == PacketKind::tcp;
  const bool midstream = tcp && (packet.tcp_flags & (kSyn | kAck | kRst)) != kSyn;
  if (midstream && (!options_.limits.incomplete || (packet.tcp_flags & (kSyn | kRst)) != 0)) {
    refuse(burst, i, DropReason::midstream);
    return FlowTable::kNone;
  }
  DropReason why{};
  if (burst.direction[i] == Direction::inbound && !options_.pass_inbound_flows &&
      !options_.limits.incomplete) {
    why = DropReason::inbound;
  } else if (tcp && !midstream && packet.payload_bytes > 0) {
    why = DropReason::syn_with_data;
  } else {
    const uint32_t index = table_.insert(burst.key[i], FlowHash::bucket_part(burst.hash[i]));
    if (index != FlowTable::kNone) {
      const bool from_outside =
          options_.pass_inbound_flows && burst.direction[i] == Direction::inbound;
      start_flow(index, from_outside ? Direction::inbound : Direction::outbound);
      return index;
    }
    why = DropReason::flow_table_full;
    if (tcp) {
      refuse(burst, i, why);
      return FlowTable::kNone;
    }
  }
  drop(burst.mbuf[i], why);
  return FlowTable::kNone;
}

bool FlowStage::expired(const Flow& flow, FlowEnd& end) const noexcept {
  const FlowTimeouts& timeouts = options_.timeouts;
  uint32_t limit_ms = timeouts.other_idle_ms;
  end = FlowEnd::timeout;
  if (flow.key.ip_protocol == kIpProtocolTcp) {
    constexpr uint8_t kBothFins = kClientFin | kServerFin;
    limit_ms = timeouts.tcp_idle_ms;
    if ((flow.progress & kResetSeen) != 0 || flow.state == FlowState::denied) {
      limit_ms = timeouts.tcp_closing_ms;
      end = FlowEnd::reset;
    } else if ((flow.progress & kBothFins) == kBothFins) {
      limit_ms = timeouts.tcp_closing_ms;
      end = FlowEnd::closed;
    } else if ((flow.progress & kServerAnswered) == 0 && (flow.progress & kOpenedInside) != 0) {
      limit_ms = timeouts.tcp_opening_ms;
    }
  } else if (flow.key.ip_protocol == kIpProtocolUdp) {
    limit_ms = timeouts.udp_idle_ms;
  }
  return now_.ms - flow.last_seen_ms >= limit_ms;
}

void FlowStage::sweep() noexcept {
  sweep_due_ms_ = std::min(sweep_due_ms_ + (now_.ms - swept_ms_), kSweepRoundMs);
  swept_ms_ = now_.ms;
  if (sweep_due_ms_ == 0) return;
  const uint32_t slices = std::min(sweep_due_ms_, kMostSlices);
  sweep_due_ms_ -= slices;
  const uint32_t most =
      std::min(table_.capacity(), slices * (table_.capacity() / kSweepRoundMs + 1));
  for (uint32_t n = 0; n < most; ++n) {
    const uint32_t index = sweep_at_;
    if (++sweep_at_ == table_.capacity()) sweep_at_ = 0;
    Flow& flow = table_.flow(index);
    if (flow.state == FlowState::free) continue;
    FlowEnd end{};
    if (expired(flow, end)) {
      end_flow(index, end);
    } else if (flow.inspection != kNoSlot) {
      time_out_inspection(index);
      time_out_guard(flow);
    }
  }
  counters_.set(Counter::held_packets, context_.segments.in_use());
}

void FlowStage::time_out_inspection(uint32_t index) noexcept {
  Flow& flow = table_.flow(index);
  const FlowState before = flow.state;
  const Outcome outcome = check_timeout(flow, context_);
  if (!outcome.discard) return;
  count_state(before, flow.state);
  // The first held packet shows what the flow's frames look like.
  const Segment& first = context_.segments[inspection_of(flow, context_)->held.head];
  const auto frame = frame_of(static_cast<const rte_mbuf*>(first.packet));
  Packet packet;
  if (decode(frame, packet) == DecodeFault::none && packet.kind == PacketKind::tcp) {
    send_reset(frame, packet, Direction::inbound, true,
               {.sequence = flow.server_next, .acknowledgement = flow.client_next});
    send_reset(frame, packet, Direction::outbound, false,
               {.sequence = flow.client_next, .acknowledgement = flow.server_next});
  }
  discard_held(flow, DropReason::held_after_denial);
  unwatch_if_done(flow, context_);
}

// A server that never acknowledges must not make the flow keep its packets for good.
void FlowStage::time_out_guard(Flow& flow) noexcept {
  Inspection* inspection = inspection_of(flow, context_);
  if (inspection == nullptr || !std::holds_alternative<StreamWatch>(inspection->watch)) return;
  StreamWatch& watch = inspection->stream();
  if (!watch.guarded || inspection->waiting_packets != 0 ||
      now_.ms - watch.guard_since_ms < context_.limits.guard_timeout_ms) {
    return;
  }
  watch.unguarded = true;
  discard_held(flow, DropReason::held_after_denial);
}

// Everything the flow has leaves with it but its place in the table.
void FlowStage::clear_flow(uint32_t index, FlowEnd end) noexcept {
  Flow& flow = table_.flow(index);
  emit(flow, kept_facts(flow, context_), FlowEvent::Type::flow, end);
  discard_held(flow, DropReason::held_at_flow_end);
  unwatch(flow, context_);
  context_.facts.release(flow.facts);
  flow.facts = FactStore::kNone;
  count_state(flow.state, FlowState::free);
}

void FlowStage::end_flow(uint32_t index, FlowEnd end) noexcept {
  clear_flow(index, end);
  table_.erase(index, FlowHash::bucket_part(hash_(table_.flow(index).key)));
}

void FlowStage::end_all() noexcept {
  for (uint32_t i = 0; i < table_.capacity(); ++i) {
    const Flow& flow = table_.flow(i);
    if (flow.state == FlowState::free) continue;
    FlowEnd end{};
    expired(flow, end);  // says how it stood, whether or not its time has come
    end_flow(i, end == FlowEnd::timeout ? FlowEnd::shutdown : end);
  }
}

void FlowStage::decided(const Flow& flow, const AppFacts& facts) noexcept {
  counters_.add(verdict_counter(flow));
  if (flow.fault != InspectFault::none) counters_.fault(flow.fault);
  emit(flow, facts, FlowEvent::Type::verdict, FlowEnd::closed);
}

void FlowStage::emit(const Flow& flow, const AppFacts& facts, FlowEvent::Type type,
                     FlowEnd end) noexcept {
  if (!options_.log_every_flow && !is_logged(flow)) return;
  FlowEvent event;
  event.key = flow.key;
  event.flow_id = flow.id;
  event.timestamp_unix_ns = now_.unix_ns;
  event.started_unix_ns = flow.started_unix_ns;
  event.bytes_out = flow.bytes_out;
  event.bytes_in = flow.bytes_in;
  event.packets_out = flow.packets_out;
  event.packets_in = flow.packets_in;
  event.generation = flow.generation;
  event.rule = flow.rule;
  event.core = options_.core;
  event.type = type;
  event.state = flow.state;
  event.reason = flow.reason;
  event.end = end;
  event.fault = flow.fault;
  event.app_known = flow.app_known;
  event.app = flow.app;
  event.would_deny = flow.would_deny;
  event.opened_inside = (flow.progress & kOpenedInside) != 0;
  put_facts(facts, event);
  event.http2 = flow.http2;
  if (!events_.push(event)) counters_.add(Counter::events_lost_ring_full);
}

}  // namespace sallyport
