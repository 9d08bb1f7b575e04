// How flows of a FlowStage begin and end, and the records they leave.
#include <algorithm>
#include <array>

#include "dataplane/inspect/flow_decision.h"
#include "dataplane/inspect/flow_watch.h"
#include "dataplane/io/flow_stage.h"

namespace sallyport {
namespace {

// A client that is not told sends again, with up to two minutes in between; once its flow is
// forgotten it would be reset, as any that comes without one.
constexpr uint32_t kSilenceMs = 130'000;

bool is_logged(const Flow& flow) noexcept {
  if (flow.log == LogLevel::none) return false;
  if (flow.log == LogLevel::denies) return flow.state == FlowState::denied || flow.would_deny;
  return true;
}

/// What the policy said, by protocol: what it would have denied in audit mode passed.
struct VerdictCounters {
  Counter allow, deny, audit;
};
constexpr size_t kProtocols = static_cast<size_t>(AppProtocol::count_);
constexpr std::array<VerdictCounters, kProtocols + 1> kVerdictCounters{{
    {Counter::verdicts_allow_tls, Counter::verdicts_deny_tls, Counter::verdicts_audit_tls},
    {Counter::verdicts_allow_quic, Counter::verdicts_deny_quic, Counter::verdicts_audit_quic},
    {Counter::verdicts_allow_http, Counter::verdicts_deny_http, Counter::verdicts_audit_http},
    {Counter::verdicts_allow_dns, Counter::verdicts_deny_dns, Counter::verdicts_audit_dns},
    {Counter::verdicts_allow_unknown, Counter::verdicts_deny_unknown,
     Counter::verdicts_audit_unknown},
}};
static_assert(static_cast<size_t>(AppProtocol::tls) == 0 &&
                  static_cast<size_t>(AppProtocol::quic) == 1 &&
                  static_cast<size_t>(AppProtocol::http) == 2 &&
                  static_cast<size_t>(AppProtocol::dns) == 3,
              "kVerdictCounters must follow AppProtocol");

Counter verdict_counter(const Flow& flow) noexcept {
  const bool named = flow.app_known == Known::present && flow.app < AppProtocol::count_;
  const VerdictCounters& of = kVerdictCounters[named ? static_cast<size_t>(flow.app) : kProtocols];
  if (flow.state != FlowState::allowed) return of.deny;
  return flow.would_deny ? of.audit : of.allow;
}

TunnelKind tunnel_of(const Packet& packet, const rte_mbuf* mbuf) noexcept {
  return identify_tunnel(packet,
                         frame_of(mbuf).subspan(packet.payload_offset, packet.payload_bytes));
}

// The whole table is looked at about once in this time, a slice each millisecond.
constexpr uint32_t kSweepRoundMs = 1024;
// After a stall the sweep catches up in steps: packets come first.
constexpr uint32_t kMostSlices = 8;

}  // namespace

void FlowStage::start_flow(uint32_t index, Direction direction, TunnelKind tunnel) noexcept {
  Flow& flow = table_.flow(index);
  flow = Flow{.key = flow.key, .id = ids_.next(), .started_unix_ns = now_.unix_ns};
  flow.tunnel = tunnel;
  if (direction == Direction::outbound) {
    flow.progress = kOpenedInside;
  } else {
    flow.state = FlowState::allowed;
    flow.reason = FlowReason::inbound_pass;
    count_state(FlowState::free, FlowState::allowed);
    decided(flow, AppFacts{}, false);
    flow.progress |= kDecided;
  }
}

// Whether a TCP packet may open a flow although it is no SYN.
bool FlowStage::takes_up(const Packet& packet) const noexcept {
  if ((packet.tcp_flags & (kSyn | kRst)) != 0) return false;
  return options_.limits.incomplete ||
         (grace_left_ms_ > 0 &&
          options_.limits.exceptions[Exception::midstream] == ExceptionAction::pass_flow);
}

// A SYN, or a first datagram, may open a flow, and only from inside unless inbound_flows is pass.
// Everything else has nothing to be judged by.
uint32_t FlowStage::open(Burst& burst, uint16_t i) noexcept {
  const Packet& packet = burst.packet[i];
  const bool tcp = packet.kind == PacketKind::tcp;
  const bool midstream = tcp && (packet.tcp_flags & (kSyn | kAck | kRst)) != kSyn;
  const bool taken_up = midstream && takes_up(packet);
  if (midstream && !taken_up) {
    refuse(burst, i, Exception::midstream, DropReason::midstream);
    return FlowTable::kNone;
  }
  DropReason why{};
  if (burst.direction[i] == Direction::inbound && !options_.pass_inbound_flows && !taken_up &&
      !options_.limits.incomplete) {
    why = DropReason::inbound;
  } else if (tcp && !midstream && packet.payload_bytes > 0 && !options_.limits.incomplete) {
    why = DropReason::syn_with_data;
  } else {
    const uint32_t index = table_.insert(burst.key[i], FlowHash::bucket_part(burst.hash[i]));
    if (index != FlowTable::kNone) {
      opened_since_find_ = true;
      const bool from_outside =
          options_.pass_inbound_flows && burst.direction[i] == Direction::inbound;
      start_flow(index, from_outside ? Direction::inbound : Direction::outbound,
                 tcp ? TunnelKind::none : tunnel_of(packet, burst.mbuf[i]));
      return index;
    }
    refuse(burst, i, Exception::flow_table_full, DropReason::flow_table_full);
    return FlowTable::kNone;
  }
  drop(burst.mbuf[i], why, burst.direction[i]);
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
      const bool silent = flow.on_deny == OnDeny::drop && (flow.progress & kResetSeen) == 0;
      limit_ms = silent ? std::max(timeouts.tcp_closing_ms, kSilenceMs) : timeouts.tcp_closing_ms;
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

// A connection that never speaks keeps a place among those that are read. While places are short
// it loses that after a minute; should it speak after all, its client is reset and may try again.
bool FlowStage::is_silent_burden(const Flow& flow) noexcept {
  constexpr uint32_t kSilentMs = 60'000;
  if (flow.state != FlowState::pending || flow.inspection == kNoSlot ||
      now_.ms - flow.last_seen_ms < kSilentMs) {
    return false;
  }
  return context_.inspections[flow.inspection].held.empty() &&
         context_.inspections.in_use() > context_.limits.inspections / 2;
}

void FlowStage::sweep() noexcept {
  grace_left_ms_ -= std::min(grace_left_ms_, now_.ms - swept_ms_);
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
    if (expired(flow, end) || is_silent_burden(flow)) {
      end_flow(index, end);
    } else if (flow.inspection != kNoSlot) {
      time_out_inspection(index);
      time_out_guard(flow);
    }
  }
}

void FlowStage::time_out_inspection(uint32_t index) noexcept {
  Flow& flow = table_.flow(index);
  const FlowState before = flow.state;
  const Outcome outcome = check_timeout(flow, context_);
  if (outcome.is_plain()) return;
  const bool released = outcome.release && release_held(flow);  // or its budget was spent by that
  count_state(before, flow.state);
  if (released) return unwatch_if_done(flow, context_);
  if (flow.on_deny != OnDeny::drop) tell_timed_out(flow);
  discard_held(flow, DropReason::held_after_denial);
  unwatch_if_done(flow, context_);
}

// There is no packet in hand: the first held one shows what the flow's frames look like.
void FlowStage::tell_timed_out(const Flow& flow) noexcept {
  const Segment& first = context_.segments[inspection_of(flow, context_)->held.head];
  const auto frame = frame_of(static_cast<const rte_mbuf*>(first.packet));
  Packet packet;
  if (decode(frame, packet) != DecodeFault::none) return;
  if (packet.kind != PacketKind::tcp) return tell_by_icmp(frame, packet);
  send_tcp(frame, packet, Direction::inbound, true,
           {.sequence = flow.server_next, .acknowledgement = flow.client_next});
  send_tcp(frame, packet, Direction::outbound, false,
           {.sequence = flow.client_next, .acknowledgement = flow.server_next});
}

// Servers that never acknowledge must not keep others from having packets held.
void FlowStage::time_out_guard(Flow& flow) noexcept {
  Inspection* inspection = inspection_of(flow, context_);
  if (inspection == nullptr || !std::holds_alternative<StreamWatch>(inspection->watch)) return;
  StreamWatch& watch = inspection->stream();
  if (!watch.guarded || inspection->waiting_packets != 0 ||
      now_.ms - watch.guard_since_ms < context_.limits.guard_timeout_ms ||
      context_.segments.in_use() <= context_.limits.held_packets / 2) {
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
  context_.budgets.give_back();
  note_holdings();
}

FlowMemory FlowStage::memory() const noexcept {
  return {.segments = context_.segments.in_use(),
          .fact_blocks = context_.facts.blocks_in_use(),
          .inspections = context_.inspections.in_use(),
          .http2_connections = context_.http2_connections.in_use(),
          .quic_hellos = context_.quic_hellos.in_use(),
          .dns_answers = context_.dns_answers.in_use()};
}

void FlowStage::note_time_to_verdict(const Flow& flow) noexcept {
  if (!kMeasures || now_.ticks == 0) return;
  const Inspection* inspection = inspection_of(flow, context_);
  const bool waited = inspection != nullptr && inspection->waiting_packets != 0;
  const uint64_t waited_ns = waited ? now_.ns - inspection->waiting_since_ns : 0;
  counters_.record(Histogram::time_to_verdict, waited_ns + ns_since_turn_began());
}

bool FlowStage::logs_all(const Flow& flow) const noexcept {
  return options_.log_every_flow || flow.log == LogLevel::all;
}

// `log: all` adds a flow's start, which no rule is known for before it is decided, and each
// request.
void FlowStage::decided(const Flow& flow, const AppFacts& facts, bool repeats) noexcept {
  counters_.add(verdict_counter(flow));
  // A rule's index means nothing under another policy.
  counters_.rule_hits().add(flow.generation == context_.generation ? flow.rule : kNoRule);
  note_time_to_verdict(flow);
  if (flow.reason == FlowReason::budget_exceeded) {
    counters_.add(flow.state == FlowState::denied ? Counter::budgets_exceeded_deny
                                                  : Counter::budgets_exceeded_audit);
  } else if (flow.reason == FlowReason::budget_ledger_full) {
    counters_.add(Counter::budget_ledger_full);
  }
  if (flow.fault != InspectFault::none) counters_.fault(flow.fault);
  if (flow.log == LogLevel::all && (flow.progress & kDecided) == 0) {
    emit(flow, AppFacts{}, FlowEvent::Type::start, FlowEnd::closed);
  }
  if (repeats && !logs_all(flow)) return;
  const auto type = repeats ? FlowEvent::Type::request : FlowEvent::Type::verdict;
  emit(flow, facts, type, FlowEnd::closed);
}

void FlowStage::scanned(uint64_t ticks) noexcept {
  if (now_.ticks != 0) counters_.record(Histogram::scan_time, tick_scale_.ns(ticks));
}

void FlowStage::excepted(Exception condition) noexcept {
  counters_.exception(condition);
}

void FlowStage::emit(const Flow& flow, const AppFacts& facts, FlowEvent::Type type,
                     FlowEnd end) noexcept {
  if (!options_.log_every_flow && !is_logged(flow)) return;
  FlowEvent event;
  event.key = flow.key;
  event.flow_id = flow.id;
  const bool starts = type == FlowEvent::Type::start;
  event.timestamp_unix_ns = starts ? flow.started_unix_ns : now_.unix_ns;
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
  event.tunnel = flow.tunnel;
  if (events_.push(event)) return;
  counters_.add(Counter::events_lost_ring_full);
  record_lost_ |= type == FlowEvent::Type::verdict || type == FlowEvent::Type::request;
}

}  // namespace sallyport
