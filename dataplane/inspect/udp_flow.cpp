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

/// Where what looks like QUIC is taken for it, in whatever version (RFC 9114 section 3.1).
constexpr uint16_t kQuicPort = 443;

/// Only the datagram in hand is denied: what is held is not touched.
constexpr Outcome kDeniedDatagram{
    .fate = Outcome::Fate::drop, .drop_reason = DropReason::denied, .tell = true};

Outcome by_verdict(const Flow& flow) noexcept {
  return flow.state == FlowState::allowed ? Outcome{} : kDeniedDatagram;
}

// What an exception has made of the flow: where it lets it pass, it is not read any more.
Outcome behind_exception(Flow& flow) noexcept {
  if (flow.state == FlowState::denied) return kDenied;
  flow.progress &= static_cast<uint16_t>(~kReadDatagrams);
  return {.release = true};
}

Outcome excepted(Flow& flow, Exception condition, const AppFacts& facts, FlowContext& context,
                 DropReason drop_reason = DropReason::exception) noexcept {
  const ExceptionAction action = except(flow, condition, facts, context);
  if (action == ExceptionAction::drop_packet) return Outcome::drop(drop_reason);
  return behind_exception(flow);
}

Outcome undecodable(Flow& flow, FlowContext& context) noexcept {
  return excepted(flow, Exception::undecodable_quic, only_app(AppProtocol::quic), context,
                  DropReason::undecodable_quic);
}

const DatagramWatch* datagrams_of(const Flow& flow, FlowContext& context) noexcept {
  Inspection* const inspection = inspection_of(flow, context);
  return inspection != nullptr ? inspection->datagrams() : nullptr;
}

// Whether a connection of the flow is under way: its hello has left, and the server has answered.
bool is_connected(const Flow& flow, const DatagramWatch& watch) noexcept {
  return watch.let_out && flow.packets_in != 0;
}

// What cannot go with the connection that is under way, which stays as it is.
Outcome other_connection(Flow& flow, FlowContext& context) noexcept {
  flow.fault = InspectFault::quic_other_connection;
  Outcome outcome = undecodable(flow, context);
  outcome.discard = !outcome.release;
  return outcome;
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
  if (const DatagramWatch* watch = datagrams_of(flow, context);
      watch != nullptr && is_connected(flow, *watch)) {
    return other_connection(flow, context);
  }
  const AppFacts facts = facts_of_query(context.dns_query);
  if (answer.status == DnsQueryAnswer::Status::fault) {
    except_malformed(flow, answer.fault, facts, context);
    if (flow.state == FlowState::allowed) return behind_exception(flow);
  } else {
    flow.fault = InspectFault::none;
    decide_flow(flow, facts, context);
  }
  return by_verdict(flow);
}

// Datagrams keep their order in the list by their number. Those of an attempt that was given up are
// there still, and go when the step is over: they are no burden to the next one.
Outcome hold(Flow& flow, Inspection& inspection, const Arrival& arrival,
             FlowContext& context) noexcept {
  DatagramWatch& watch = *inspection.datagrams();
  const AppFacts facts = only_app(AppProtocol::quic);
  const uint32_t stale = context.quic_step.new_attempt ? inspection.waiting_packets : 0;
  if (inspection.waiting_packets - stale == kMaxHeldDatagrams) {
    return excepted(flow, Exception::reassembly_limit, facts, context);
  }
  const Segment segment{.data = arrival.payload().data(),
                        .sequence = ++watch.count,
                        .bytes = 1,
                        .packet = arrival.handle,
                        .since_ns = context.now_ns,
                        .frame_bytes = static_cast<uint32_t>(arrival.frame.size())};
  if (insert(context.segments, inspection.held, segment) != InsertResult::inserted) {
    return excepted(flow, Exception::held_memory_full, facts, context);
  }
  if (inspection.waiting_packets++ == stale) inspection.waiting_since_ns = context.now_ns;
  return {.fate = Fate::hold};
}

Outcome take_hello(Flow& flow, Inspection& inspection, FlowContext& context) noexcept {
  const QuicStep& step = context.quic_step;
  DatagramWatch& watch = *inspection.datagrams();
  const AppFacts facts =
      facts_of_hello(AppProtocol::quic, step.hello, step.name.view(), context.alpns);
  watch.refused_generation = context.generation;
  watch.refused_at = context.unix_seconds;
  flow.fault = InspectFault::none;
  if (is_connected(flow, watch)) {
    const Joined joined = decide_joined(flow, facts, context);
    watch.refused = joined != Joined::allowed;
    if (joined == Joined::other) return other_connection(flow, context);
  } else {
    decide_flow(flow, facts, context);
    watch.refused = flow.state != FlowState::allowed;
  }
  if (watch.refused) return kDenied;
  watch.let_out = true;
  return {.release = inspection.waiting_packets != 0};
}

Outcome quic_fault(Flow& flow, FlowContext& context) noexcept {
  const QuicStep& step = context.quic_step;
  const bool read = step.fault == InspectFault::tls_bad_server_name;
  const AppFacts facts = read ? facts_of_hello(AppProtocol::quic, step.hello, {}, context.alpns)
                              : only_app(AppProtocol::quic);
  except_malformed(flow, step.fault, facts, context);
  return behind_exception(flow);
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

// Without another policy, too, a denial may be over: a budget's window has turned, a rule's time
// has begun, a resolver has answered. That is asked once a second, by the facts of the hello.
bool is_denied_still(Flow& flow, DatagramWatch& watch, FlowContext& context) noexcept {
  const bool connected = is_connected(flow, watch);
  if (flow.state == FlowState::allowed && !connected) return false;  // try_budget_again() has asked
  if (watch.refused_at == context.unix_seconds) return true;
  watch.refused_at = context.unix_seconds;
  if (connected) return false;  // the flow's verdict is that of another hello
  const bool by_hello = flow.app_known == Known::present && flow.app == AppProtocol::quic;
  if (by_hello) decide_again(flow, true, context);
  return by_hello && flow.state == FlowState::denied;
}

// A client repeats the Initials of a denied attempt until it gives up. Another attempt is read, and
// the same one once it would be decided otherwise.
bool is_refused(Flow& flow, DatagramWatch& watch, std::span<const uint8_t> datagram,
                FlowContext& context) noexcept {
  if (!watch.refused) return false;
  const QuicHeader header = read_quic_header(datagram);
  const auto first_id = std::span(watch.quic.first_id).first(watch.quic.first_id_bytes);
  const bool same_policy = watch.refused_generation == context.generation;
  if (same_policy && std::ranges::equal(header.destination_id, first_id) &&
      is_denied_still(flow, watch, context)) {
    return true;
  }
  // Of an attempt that was refused by its first hello nothing has left.
  if (watch.quic.hellos == 1) watch.quic.hellos = 0;
  if (!watch.quic.give_up()) return true;
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
      return undecodable(flow, context);
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

// mDNS, LLMNR and NetBIOS names: what is asked of all neighbours is for no server outside.
bool asks_neighbours(const FlowKey& key) noexcept {
  return is_link_local_name_port(key.outside_port) && is_link_local(key.outside);
}

// Whether the other end has shown that it speaks QUIC.
bool is_quic_server(const Flow& flow, FlowContext& context) noexcept {
  const DatagramWatch* const watch = datagrams_of(flow, context);
  return watch != nullptr && watch->quic.server_took_hello;
}

// Servers throw it away, or should.
Outcome short_initial(Flow& flow, std::span<const uint8_t> payload, FlowContext& context) noexcept {
  const DatagramWatch* const watch = datagrams_of(flow, context);
  if (flow.state == FlowState::allowed && watch != nullptr &&
      says_nothing_of_hello(payload, watch->quic, context.quic_scratch)) {
    return {};
  }
  flow.fault = InspectFault::quic_short_datagram;
  return undecodable(flow, context);
}

Outcome datagram(Flow& flow, const Arrival& arrival, FlowContext& context) noexcept {
  const auto payload = arrival.payload();
  if (context.limits.verify_checksums && !l4_checksum_ok(arrival.frame, arrival.packet)) {
    return Outcome::drop(DropReason::bad_l4_checksum);
  }
  const bool to_server = !asks_neighbours(flow.key);
  const bool quic_data = is_quic_data(flow, payload);
  // A resolver drops an Initial and answers the query behind it.
  if (to_server && !(quic_data && is_quic_server(flow, context))) {
    const DnsQueryAnswer answer =
        parse_dns_query(payload, flow.key.outside_port, context.dns_query);
    if (answer.status != DnsQueryAnswer::Status::not_dns) return query(flow, answer, context);
  }
  if (quic_data) return {};
  if (flow.key.outside_port == kQuicPort && may_be_other_quic(payload)) {
    flow.fault = InspectFault::quic_unknown_version;
    return undecodable(flow, context);
  }
  if (flow.inspection == kNoSlot && !may_start_quic(payload))
    return unknown_datagram(flow, context);

  // What is asked of a capture is who was called, not what a server would have made of it.
  if (!context.limits.incomplete && is_short_initial(payload)) {
    return short_initial(flow, payload, context);
  }

  Inspection* inspection = watch_datagrams(flow, context);
  if (inspection != nullptr && is_refused(flow, *inspection->datagrams(), payload, context)) {
    return kDeniedDatagram;
  }
  if (inspection == nullptr || !step_quic(*inspection->datagrams(), payload, context)) {
    return excepted(flow, Exception::inspection_limit, no_facts(), context);
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

// What answers an allowed query must arrive, though the next query was denied meanwhile: from a
// resolver that may be asked something.
bool may_be_answered(const Flow& flow, const FlowContext& context) noexcept {
  const bool asked = (flow.progress & kReadDatagrams) != 0 && flow.app_known == Known::present &&
                     flow.app == AppProtocol::dns;
  return asked && may_be_allowed(flow, {.app_known = Known::present, .app = flow.app}, context);
}

// Under another policy than it was decided by. One that was denied by its addresses was never read,
// and nothing of it has left: it may have to be read now.
// @return  release when what waited for a verdict may go.
Outcome decide_anew(Flow& flow, FlowContext& context) noexcept {
  const bool waits = flow.state == FlowState::pending;
  const bool unread = flow.state == FlowState::denied && (flow.progress & kReadDatagrams) == 0;
  decide_again(flow, !waits && !unread, context);
  if (unread && flow.state == FlowState::pending) flow.progress |= kReadDatagrams;
  return {.release = waits && flow.state == FlowState::allowed};
}

}  // namespace

Outcome udp_outbound(Flow& flow, const Arrival& arrival, FlowContext& context) noexcept {
  if (flow.state == FlowState::free) {
    start(flow, context);
  } else if (flow.generation != context.generation) {
    const Outcome decided = decide_anew(flow, context);
    if (decided.release) return decided;
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
    decided = decide_anew(flow, context);
  }
  if (flow.state == FlowState::denied && !may_be_answered(flow, context)) return kDenied;
  learn_from_datagram(flow, arrival, context);
  Inspection* inspection = inspection_of(flow, context);
  if (inspection != nullptr && inspection->datagrams() != nullptr) {
    quic_server_datagram(arrival.payload(), inspection->datagrams()->quic, context.quic_scratch);
    let_hello_go(*inspection->datagrams(), context);
  }
  return decided;
}

}  // namespace sallyport
