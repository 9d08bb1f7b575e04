#pragma once

#include "dataplane/inspect/flow_context.h"

// The part of a TCP flow's steps (tcp_flow.h) that looks at the client's bytes: what is held, what
// of it may leave, and what may come again.
namespace sallyport {

/// Moves `next` on to `end` if that lies ahead of it.
constexpr void advance(uint32_t& next, uint32_t end) noexcept {
  if (sequence_distance(next, end) > 0) next = end;
}

/// Moves `next` behind a segment. One that takes up no sequence numbers says nothing of where its
/// end has come to: anyone may put any number into it.
constexpr void advance(uint32_t& next, uint32_t sequence, uint32_t length) noexcept {
  if (length > 0) advance(next, sequence + length);
}

/// Whether `sequence` is near enough to what is expected next for its RST to be believed. A blind
/// one is forwarded, for the end to judge, but must not shorten the flow's life here.
constexpr bool is_plausible_reset(uint32_t expected, uint32_t sequence) noexcept {
  constexpr int32_t kWindow = 65535;
  const int32_t distance = sequence_distance(expected, sequence);
  return distance >= 0 && distance <= kWindow;
}

/// A client's packet, not a SYN, on a flow that is inspected or guarded.
Outcome watched_outbound(Flow& flow, Inspection& inspection, const Arrival& arrival,
                         FlowContext& context) noexcept;

/// Reads what is held as far as it goes, whoever's packet made it worth a look, and notes what may
/// only come again as it was.
/// @return  false when the flow was denied.
bool read_window(Flow& flow, Inspection& inspection, FlowContext& context) noexcept;

/// A held segment leaves: the server counts as having seen it from here on.
void advance_past(Flow& flow, const StreamWatch& watch, const Segment& segment) noexcept;

/// Whether a held segment may leave now. A verdict covers what lies before the window; once nothing
/// more is looked for, all of it.
bool may_leave(const StreamWatch& watch, const Segment& segment) noexcept;

/// Whether a copy of a sent segment must be kept until the server has it: it carries bytes that
/// were read, and must not come again as others.
bool must_be_guarded(const StreamWatch& watch, const Segment& segment) noexcept;

/// Whether a packet with bytes from before `sequence` is held and has not left.
bool is_held_before(const SegmentPool& segments, const SegmentList& held,
                    uint32_t sequence) noexcept;

/// Whether the server has every byte that was read.
bool is_read_acknowledged(const StreamWatch& watch, uint32_t acknowledged) noexcept;

/// The server has everything up to `acknowledged`.
/// @return  Whether that covers the oldest copy: take it from the list, free it, ask again.
bool is_acknowledged(const SegmentPool& segments, const SegmentList& held,
                     uint32_t acknowledged) noexcept;

}  // namespace sallyport
