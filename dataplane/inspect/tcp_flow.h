#pragma once

#include "dataplane/inspect/flow_context.h"
#include "dataplane/inspect/tcp_hold.h"

namespace sallyport {

/// The TCP steps of a flow opened from inside. Each looks at one packet, changes the flow and says
/// what to do with the packet; none sends, frees or logs anything itself.
///
///   SYN ─ decide by addresses and ports ─┬─ allowed ─ everything passes, nothing is inspected
///                                        ├─ denied ── RST
///                                        └─ pending ─ client payload is held, joined, identified
///                                                     └─ decide ─┬─ allowed, guarded until the
///                                                                │  server has acknowledged it
///                                                                └─ denied, RST both ways

/// The first SYN. `flow` holds its key and start; its state is set here.
Outcome tcp_open(Flow& flow, const Arrival& arrival, FlowContext& context) noexcept;

/// A flow whose SYN was not seen, by any of its packets, and which exceptions.midstream lets pass:
/// what it says now began before, so it is not read.
Outcome tcp_pass_midstream(Flow& flow, const Arrival& arrival, bool outbound,
                           FlowContext& context) noexcept;

/// A flow whose SYN was not seen, by any of its packets. For replay: what came before is unknown,
/// so it is no ground for letting anything pass.
Outcome tcp_take_up(Flow& flow, const Arrival& arrival, bool outbound,
                    FlowContext& context) noexcept;

/// Any later packet from the client.
Outcome tcp_outbound(Flow& flow, const Arrival& arrival, FlowContext& context) noexcept;

/// Any packet from the server.
Outcome tcp_inbound(Flow& flow, const Arrival& arrival, FlowContext& context) noexcept;

/// The same in short, for most packets there are: of an allowed flow of which nothing is read or
/// guarded any more, which neither open nor end anything.
/// @return false for any other; nothing was done.
inline bool pass_settled(Flow& flow, const Packet& packet, bool outbound,
                         const FlowContext& context) noexcept {
  constexpr uint8_t kOpensOrEnds = kSyn | kFin | kRst;
  if (flow.inspection != kNoSlot || flow.state != FlowState::allowed ||
      flow.generation != context.generation || (packet.tcp_flags & kOpensOrEnds) != 0 ||
      (flow.progress & kResetSeen) != 0) {
    return false;
  }
  if (packet.payload_bytes == 0) return true;
  if (outbound) flow.progress |= kClientSpoke;
  advance(outbound ? flow.client_next : flow.server_next, packet.tcp_sequence,
          packet.payload_bytes);
  return true;
}

}  // namespace sallyport
