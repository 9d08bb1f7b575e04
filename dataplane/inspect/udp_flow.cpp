#include "dataplane/inspect/udp_flow.h"

#include <algorithm>

#include "dataplane/inspect/flow_decision.h"
#include "dataplane/inspect/flow_watch.h"
#include "dataplane/inspect/quic_header.h"

namespace sallyport {
namespace {

using Fate = Outcome::Fate;

/// Datagrams one flow may have held: a hello fits into three, and a client sends ten before it
/// waits.
constexpr uint32_t kMaxHeldDatagrams = 32;

Outcome by_verdict(const Flow& flow) noexcept {
  return flow.state == FlowState::allowed ? Outcome{} : Outcome::drop(DropReason::denied);
}

Outcome deny(Flow& flow, FlowReason reason, const AppFacts& facts, FlowContext& context) noexcept {
  deny_flow(flow, reason, facts, context);
  return kDenied;
}

// No name and no protocol. Decided once for each policy, not for each datagram.
Outcome unknown_datagram(Flow& flow, FlowContext& context) noexcept {
  const bool quic = flow.app_known == Known::present && flow.app == AppProtocol::quic;
  const bool decided = flow.reason != FlowReason::undecided && flow.app_known == Known::absent;
  if (!decided && !quic) decide_flow(flow, no_facts(), context);
  return flow.state == FlowState::allowed ? Outcome{} : kDenied;
}

// Each query stands for itself: a resolver sends those of many programs from one port.
Outcome query(Flow& flow, const DnsQueryAnswer& answer, FlowContext& context) noexcept {
  const AppFacts facts = facts_of_query(context.dns_query);
  if (answer.status == DnsQueryAnswer::Status::fault) {
    deny_malformed(flow, answer.fault, facts, context);
  } else {
    flow.fault = InspectFault::none;
    decide_flow(flow, facts, context);
  }
  return by_verdict(flow);
}

// Datagrams keep their order in the list by their number.
Outcome hold(Flow& flow, Inspection& inspection, const Arrival& arrival,
             FlowContext& context) noexcept {
  DatagramWatch& watch = *inspection.datagrams();
  const AppFacts facts = only_app(AppProtocol::quic);
  if (inspection.waiting_packets == kMaxHeldDatagrams) {
    return deny(flow, FlowReason::reassembly_limit, facts, context);
  }
  const Segment segment{.data = arrival.payload().data(),
                        .sequence = ++watch.count,
                        .bytes = 1,
                        .packet = arrival.handle};
  if (insert(context.segments, inspection.held, segment) != InsertResult::inserted) {
    return deny(flow, FlowReason::held_memory_full, facts, context);
  }
  if (inspection.waiting_packets++ == 0) inspection.waiting_since_ms = context.now_ms;
  return {.fate = Fate::hold};
}

Outcome take_hello(Flow& flow, Inspection& inspection, FlowContext& context) noexcept {
  const QuicStep& step = context.quic_step;
  flow.fault = InspectFault::none;
  decide_flow(flow, facts_of_hello(AppProtocol::quic, step.hello, step.name.view(), context.alpns),
              context);
  inspection.datagrams()->refused = flow.state != FlowState::allowed;
  if (flow.state != FlowState::allowed) return kDenied;
  return {.release = inspection.waiting_packets != 0};
}

Outcome quic_fault(Flow& flow, FlowContext& context) noexcept {
  const QuicStep& step = context.quic_step;
  const bool read = step.fault == InspectFault::tls_bad_server_name;
  const AppFacts facts = read ? facts_of_hello(AppProtocol::quic, step.hello, {}, context.alpns)
                              : only_app(AppProtocol::quic);
  deny_malformed(flow, step.fault, facts, context);
  return kDenied;
}

// The hello's bytes are kept until the server has taken it; then any memory will do for a step.
bool step_quic(DatagramWatch& watch, std::span<const uint8_t> datagram,
               FlowContext& context) noexcept {
  if (watch.hello == kNoSlot) watch.hello = context.quic_hellos.acquire();
  if (watch.hello == kNoSlot) return false;
  quic_step(datagram, watch.quic, context.quic_hellos[watch.hello].bytes, context.quic_scratch,
            context.quic_step);
  return true;
}

void let_hello_go(DatagramWatch& watch, FlowContext& context) noexcept {
  const bool needed = watch.quic.started() && !watch.quic.server_took_hello && !watch.refused;
  if (needed || watch.hello == kNoSlot) return;
  context.quic_hellos.release(watch.hello);
  watch.hello = kNoSlot;
}

// A client repeats the Initials of a denied attempt until it gives up. Another attempt is read.
bool is_refused(DatagramWatch& watch, std::span<const uint8_t> datagram) noexcept {
  if (!watch.refused) return false;
  const QuicHeader header = read_quic_header(datagram);
  const auto first_id = std::span(watch.quic.first_id).first(watch.quic.first_id_bytes);
  if (std::ranges::equal(header.destination_id, first_id)) return true;
  watch.quic = {};
  watch.refused = false;
  return false;
}

Outcome by_quic_step(Flow& flow, Inspection& inspection, const Arrival& arrival,
                     FlowContext& context) noexcept {
  const QuicStep& step = context.quic_step;
  switch (step.status) {
    case QuicStep::Status::not_quic:
      return unknown_datagram(flow, context);
    case QuicStep::Status::need_more:
      return hold(flow, inspection, arrival, context);
    case QuicStep::Status::hello:
      return take_hello(flow, inspection, context);
    case QuicStep::Status::nothing_new:
      // 0-RTT that comes before its hello waits for it.
      if (flow.state == FlowState::pending) return hold(flow, inspection, arrival, context);
      return by_verdict(flow);
    case QuicStep::Status::unreadable:
      flow.fault = step.fault;
      return Outcome::drop(DropReason::undecodable_quic);
    case QuicStep::Status::fault:
      break;
  }
  return quic_fault(flow, context);
}

// What an allowed QUIC client sends once it has keys of its own.
bool is_quic_data(const Flow& flow, std::span<const uint8_t> payload) noexcept {
  constexpr uint8_t kLongHeader = 0x80;
  return flow.state == FlowState::allowed && flow.app_known == Known::present &&
         flow.app == AppProtocol::quic && !payload.empty() && (payload[0] & kLongHeader) == 0;
}

// Whether the other end has shown that it speaks QUIC.
bool is_quic_server(const Flow& flow, FlowContext& context) noexcept {
  Inspection* const inspection = inspection_of(flow, context);
  const DatagramWatch* const watch = inspection != nullptr ? inspection->datagrams() : nullptr;
  return watch != nullptr && watch->quic.server_took_hello;
}

Outcome datagram(Flow& flow, const Arrival& arrival, FlowContext& context) noexcept {
  const auto payload = arrival.payload();
  if (context.limits.verify_checksums && !l4_checksum_ok(arrival.frame, arrival.packet)) {
    return Outcome::drop(DropReason::bad_l4_checksum);
  }
  const bool to_server = !is_link_local_name_port(flow.key.outside_port);
  const bool quic_data = is_quic_data(flow, payload);
  // A resolver drops an Initial and answers the query behind it.
  if (to_server && !(quic_data && is_quic_server(flow, context))) {
    const DnsQueryAnswer answer = parse_dns_query(payload, context.dns_query);
    if (answer.status != DnsQueryAnswer::Status::not_dns) return query(flow, answer, context);
  }
  if (quic_data) return {};
  if (flow.inspection == kNoSlot && !may_start_quic(payload))
    return unknown_datagram(flow, context);

  Inspection* inspection = watch_datagrams(flow, context);
  if (inspection != nullptr && is_refused(*inspection->datagrams(), payload)) {
    return Outcome::drop(DropReason::denied);
  }
  if (inspection == nullptr || !step_quic(*inspection->datagrams(), payload, context)) {
    return deny(flow, FlowReason::inspection_limit, no_facts(), context);
  }
  // What waits for another attempt's hello must not go out by this one's.
  const uint32_t stale = context.quic_step.new_attempt ? inspection->held.count : 0;
  Outcome outcome = by_quic_step(flow, *inspection, arrival, context);
  outcome.discard_first = stale;
  let_hello_go(*inspection->datagrams(), context);
  return outcome;
}

void start(Flow& flow, FlowContext& context) noexcept {
  decide_start(flow, context);
  if (flow.state == FlowState::pending) flow.progress |= kReadDatagrams;
}

}  // namespace

Outcome udp_outbound(Flow& flow, const Arrival& arrival, FlowContext& context) noexcept {
  if (flow.state == FlowState::free) {
    start(flow, context);
  } else if (flow.generation != context.generation) {
    const bool waits = flow.state == FlowState::pending;
    decide_again(flow, !waits, context);
    if (waits && flow.state == FlowState::allowed) return {.release = true};
    if (flow.state == FlowState::denied && (flow.progress & kReadDatagrams) == 0) return kDenied;
  }
  if ((flow.progress & kReadDatagrams) != 0) return datagram(flow, arrival, context);
  return by_verdict(flow);
}

Outcome udp_inbound(Flow& flow, const Arrival& arrival, FlowContext& context) noexcept {
  Outcome decided;
  if (flow.state == FlowState::free) {
    start(flow, context);  // a capture that begins with an answer
  } else if (flow.generation != context.generation) {
    const bool waits = flow.state == FlowState::pending;
    decide_again(flow, !waits, context);
    decided.release = waits && flow.state == FlowState::allowed;
  }
  // What answers an allowed query must arrive, though the next query was denied meanwhile.
  const bool reads_queries = (flow.progress & kReadDatagrams) != 0 &&
                             flow.app_known == Known::present && flow.app == AppProtocol::dns;
  if (flow.state == FlowState::denied && !reads_queries) return kDenied;
  Inspection* inspection = inspection_of(flow, context);
  if (inspection != nullptr && inspection->datagrams() != nullptr) {
    quic_server_datagram(arrival.payload(), inspection->datagrams()->quic);
    let_hello_go(*inspection->datagrams(), context);
  }
  return decided;
}

}  // namespace sallyport
