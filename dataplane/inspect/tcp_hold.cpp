#include "dataplane/inspect/tcp_hold.h"

#include <algorithm>

#include "dataplane/inspect/flow_decision.h"

namespace sallyport {
namespace {

using Fate = Outcome::Fate;

// Segments that a server stack would ignore must not be read as if they counted: what they carry
// could hide what the server does read.
bool counts(const Flow& flow, const Arrival& arrival, const FlowContext& context,
            DropReason& why) noexcept {
  const Packet& packet = arrival.packet;
  if ((packet.tcp_flags & kAck) == 0) {
    why = DropReason::no_ack_flag;
  } else if ((flow.progress & kServerAnswered) == 0) {
    why = DropReason::before_handshake;
  } else if (sequence_distance(flow.server_next, packet.tcp_acknowledgement) > 0) {
    why = DropReason::unsent_ack;
  } else if ((packet.tcp_flags & kUrg) != 0) {
    why = DropReason::urgent_data;  // where the urgent byte goes depends on the server's sockets
  } else if (context.limits.verify_checksums && !l4_checksum_ok(arrival.frame, packet)) {
    why = DropReason::bad_l4_checksum;
  } else {
    return true;
  }
  return false;
}

// A request head can only have gained an answer when a line of it has ended: it would be parsed
// anew for each byte otherwise.
bool is_mid_line(const Inspection& inspection, std::span<const uint8_t> appended) noexcept {
  constexpr uint8_t kLineFeed = 0x0a;
  return inspection.in_http_head && std::ranges::find(appended, kLineFeed) == appended.end();
}

// Names the flow from what is held without a gap, once there is enough of it. `appended` is what
// the newest segment added to the end of that, if it did just that.
Outcome inspect_held(Flow& flow, Inspection& inspection, std::span<const uint8_t> appended,
                     FlowContext& context) noexcept {
  const uint32_t ready = inspection.ready_bytes;
  const bool ended = (flow.progress & kClientFin) != 0 &&
                     inspection.client_first + ready == inspection.fin_sequence;
  if (ready == 0 && !ended) return {.fate = Fate::hold};
  if (ready < inspection.need_bytes && !ended) return {.fate = Fate::hold};
  if (!appended.empty() && !ended && is_mid_line(inspection, appended)) return {.fate = Fate::hold};

  Identified& found = context.identified;
  identify(prefix(context.segments, inspection.held, inspection.client_first,
                  std::min(ready, kMaxHeldBytesPerFlow), context.joined),
           ended, context.identify_scratch, found);
  switch (found.status) {
    case Identified::Status::need_more:
      inspection.need_bytes = std::max(found.need_bytes, ready + 1);
      inspection.in_http_head = found.app_known == Known::present && found.app == AppProtocol::http;
      if (inspection.need_bytes <= context.limits.held_bytes_per_flow) return {.fate = Fate::hold};
      return deny_now(flow, FlowReason::reassembly_limit, context);
    case Identified::Status::fault:
      flow.fault = found.fault;
      flow.app_known = found.app_known;
      flow.app = found.app;
      return deny_now(flow, FlowReason::malformed, context);
    case Identified::Status::done:
      break;
  }
  flow.app_known = found.app_known;
  flow.app = found.app;
  flow.name_known = found.name_known;
  if (found.name_known == Known::present) {
    flow.name = context.names.store(found.name.view());
    if (flow.name == NameStore::kNone) {
      return deny_now(flow, FlowReason::name_memory_full, context);
    }
  }
  decide_flow(flow, context);
  if (flow.state == FlowState::pending) {
    return deny_now(flow, FlowReason::facts_not_inspected, context);
  }
  if (flow.state == FlowState::denied) return kDenied;

  if (ready > 0) {
    inspection.guard_end = inspection.client_first + ready;
    inspection.held_since_ms = context.now_ms;
    flow.progress |= kGuarded;
  }
  if (ended) flow.progress |= kEndedByFin;
  advance_past_held(flow, inspection, context);
  return {.fate = Fate::hold, .verdict = true, .release = true};
}

// Where a segment with payload or FIN stands in the stream, against what one flow may hold.
enum class Place : uint8_t { good, outside, too_much };

Place place_of(const Flow& flow, const Inspection& inspection, const Packet& packet,
               const FlowLimits& limits) noexcept {
  const int32_t offset = sequence_distance(inspection.client_first, packet.tcp_sequence);
  if (offset < 0 || static_cast<uint32_t>(offset) > limits.held_bytes_per_flow) {
    return Place::outside;
  }
  const uint32_t end = packet.tcp_sequence + packet.payload_bytes;
  if ((flow.progress & kClientFin) != 0) {
    // Nothing comes behind a FIN, and a FIN stays where it was.
    const int32_t behind = sequence_distance(inspection.fin_sequence, end);
    if (behind > 0 || ((packet.tcp_flags & kFin) != 0 && behind != 0)) return Place::outside;
  }
  if (packet.payload_bytes > limits.held_bytes_per_flow - static_cast<uint32_t>(offset) ||
      inspection.held.bytes + packet.payload_bytes > 2 * limits.held_bytes_per_flow ||
      inspection.held.count >= limits.held_packets_per_flow) {
    return Place::too_much;
  }
  return Place::good;
}

// Client payload, or a FIN that must not overtake held payload, on a flow without a verdict.
Outcome hold(Flow& flow, Inspection& inspection, const Arrival& arrival,
             FlowContext& context) noexcept {
  DropReason why{};
  if (!counts(flow, arrival, context, why)) return Outcome::drop(why);
  const Packet& packet = arrival.packet;
  switch (place_of(flow, inspection, packet, context.limits)) {
    case Place::good:
      break;
    case Place::outside:
      return Outcome::drop(DropReason::out_of_window);
    case Place::too_much:
      return deny_now(flow, FlowReason::reassembly_limit, context);
  }
  if (packet.payload_bytes == 0 && (flow.progress & kClientFin) != 0) {
    return Outcome::drop(DropReason::duplicate_of_held);
  }

  const bool was_empty = inspection.held.empty();
  const bool appends = (was_empty || inspection.held.end == packet.tcp_sequence) &&
                       inspection.client_first + inspection.ready_bytes == packet.tcp_sequence;
  switch (insert(context.segments, inspection.held,
                 {.data = arrival.payload().data(),
                  .sequence = packet.tcp_sequence,
                  .bytes = packet.payload_bytes,
                  .packet = arrival.handle})) {
    case InsertResult::inserted:
      break;
    case InsertResult::duplicate:
      return Outcome::drop(DropReason::duplicate_of_held);
    case InsertResult::conflict:
      return deny_now(flow, FlowReason::overlap_conflict, context);
    case InsertResult::pool_full:
      return deny_now(flow, FlowReason::held_memory_full, context);
  }
  if (was_empty) inspection.held_since_ms = context.now_ms;
  flow.progress |= kClientSpoke;
  if ((packet.tcp_flags & kFin) != 0) {
    flow.progress |= kClientFin;
    inspection.fin_sequence = packet.tcp_sequence + packet.payload_bytes;
  }
  inspection.ready_bytes =
      appends ? inspection.ready_bytes + packet.payload_bytes
              : contiguous_bytes(context.segments, inspection.held, inspection.client_first);
  Outcome outcome = inspect_held(flow, inspection,
                                 appends ? arrival.payload() : std::span<const uint8_t>{}, context);
  outcome.fate = Fate::hold;  // it is on the list: released or discarded with the others
  return outcome;
}

}  // namespace

Outcome deny_now(Flow& flow, FlowReason reason, const FlowContext& context) noexcept {
  deny_flow(flow, reason, context.generation);
  return kDenied;
}

void advance_past_held(Flow& flow, const Inspection& inspection,
                       const FlowContext& context) noexcept {
  for (uint32_t i = inspection.held.head; i != kNoSegment; i = context.segments[i].next) {
    advance(flow.client_next, context.segments[i].sequence + context.segments[i].bytes);
  }
  if ((flow.progress & kClientFin) != 0) advance(flow.client_next, inspection.fin_sequence + 1);
}

Outcome pending_outbound(Flow& flow, Inspection& inspection, const Arrival& arrival,
                         FlowContext& context) noexcept {
  const Packet& packet = arrival.packet;
  if ((packet.tcp_flags & kRst) != 0) {
    // Whether the server believes this RST is the server's to say: inspection goes on as if it
    // had not, so a forged one gains nothing. A payload in it is never forwarded unseen.
    if (packet.payload_bytes > 0) return Outcome::drop(DropReason::out_of_window);
    if (is_plausible_reset(flow.client_next, packet.tcp_sequence)) flow.progress |= kResetSeen;
    return {};
  }
  const bool fin_behind_held =
      (packet.tcp_flags & kFin) != 0 &&
      (!inspection.held.empty() || packet.tcp_sequence != inspection.client_first);
  if (packet.payload_bytes > 0 || fin_behind_held) return hold(flow, inspection, arrival, context);

  if ((packet.tcp_flags & kFin) != 0) {
    flow.progress |= kClientFin | kClientSpoke;  // nothing was ever sent
    inspection.fin_sequence = packet.tcp_sequence;
    advance(flow.client_next, packet.tcp_sequence + 1);
  }
  return {};
}

}  // namespace sallyport
