#pragma once

#include "dataplane/inspect/flow_context.h"

// The inspection of a flow comes and goes: a decided flow of which nothing more is looked for has
// none.
namespace sallyport {

/// nullptr when the flow is not watched.
inline Inspection* inspection_of(const Flow& flow, FlowContext& context) noexcept {
  return flow.inspection == kNoSlot ? nullptr : &context.inspections[flow.inspection];
}

/// nullptr when the flow is not read as HTTP/2.
inline Http2Watch* http2_of(const Flow& flow, FlowContext& context) noexcept {
  if (!flow.http2) return nullptr;
  Inspection* inspection = inspection_of(flow, context);
  if (inspection == nullptr || inspection->stream().stage != StreamStage::http2) return nullptr;
  return &context.http2_connections[inspection->stream().http2];
}

/// Starts to watch a TCP flow from its client's first byte; one that is watched stays as it is.
/// @return nullptr when the worker watches as many flows as it may.
Inspection* watch_stream(Flow& flow, FlowContext& context) noexcept;

/// The same for a UDP flow.
Inspection* watch_datagrams(Flow& flow, FlowContext& context) noexcept;

/// Stops watching a flow that has nothing left to look for: to be called when held packets went.
void unwatch_if_done(Flow& flow, FlowContext& context) noexcept;

/// Stops watching. Nothing is held any more.
[[gnu::noinline]] void unwatch(Flow& flow, FlowContext& context) noexcept;

/// Called now and then for a watched flow: when packets have waited too long, it is denied or what
/// is set for that is done. The outcome has no packet in hand.
Outcome check_timeout(Flow& flow, FlowContext& context) noexcept;

/// What a denial does to the packet that brought it, to the held ones and to both ends: neither may
/// be left waiting, and nothing held may leave.
inline constexpr Outcome kDenied{
    .fate = Outcome::Fate::drop, .drop_reason = DropReason::denied, .tell = true, .discard = true};
/// The same when the packet is among the held ones.
inline constexpr Outcome kDeniedHeld{.fate = Outcome::Fate::hold, .tell = true, .discard = true};

}  // namespace sallyport
