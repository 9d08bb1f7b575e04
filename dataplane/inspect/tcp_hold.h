#pragma once

#include "dataplane/inspect/flow_context.h"

// The part of a TCP flow's steps (tcp_flow.h) that has no verdict yet: what is held, and when there
// is enough of it to name the flow.
namespace sallyport {

/// What a denial does to the packet that brought it, to the held ones and to both ends: neither may
/// be left waiting, and nothing held may leave.
inline constexpr Outcome kDenied{.fate = Outcome::Fate::drop,
                                 .drop_reason = DropReason::denied,
                                 .verdict = true,
                                 .reset = true,
                                 .discard = true};

/// Denies for a reason of the gateway's own. @return kDenied.
Outcome deny_now(Flow& flow, FlowReason reason, const FlowContext& context) noexcept;

/// Moves `next` on to `end` if that lies ahead of it.
constexpr void advance(uint32_t& next, uint32_t end) noexcept {
  if (sequence_distance(next, end) > 0) next = end;
}

/// Whether `sequence` is near enough to what is expected next for its RST to be believed. A blind
/// one is forwarded, for the end to judge, but must not shorten the flow's life here.
constexpr bool is_plausible_reset(uint32_t expected, uint32_t sequence) noexcept {
  constexpr int32_t kWindow = 65535;
  const int32_t distance = sequence_distance(expected, sequence);
  return distance >= 0 && distance <= kWindow;
}

/// Held packets are about to be sent: they count as seen by the server from here on.
void advance_past_held(Flow& flow, const Inspection& inspection,
                       const FlowContext& context) noexcept;

/// A client's packet, not a SYN, on a flow without a verdict.
Outcome pending_outbound(Flow& flow, Inspection& inspection, const Arrival& arrival,
                         FlowContext& context) noexcept;

}  // namespace sallyport
