#pragma once

#include "dataplane/inspect/flow_context.h"

// What the bytes of a TCP client's stream say, in order, and what of them may leave.
namespace sallyport {

/// Reads the window of `watch` as far as its bytes are held, and decides what it finds: hellos,
/// requests, queries. Moves the window on behind what may leave.
///
/// @param ended  The client's FIN stands right behind what is held.
/// @return       false when the flow was denied; its reason is set and the observer was told.
bool inspect_window(Flow& flow, Inspection& inspection, FlowContext& context) noexcept;

/// How many bytes from the window's start on may pass without being read: bodies, early data.
uint64_t plain_bytes_left(const StreamWatch& watch, FlowContext& context) noexcept;

/// So many of them have come: the window starts behind them.
void pass_plain(StreamWatch& watch, uint32_t bytes, FlowContext& context) noexcept;

/// Looks at what the server sends, for what it says about the client's bytes: whether its hello was
/// taken, whether a tunnel was agreed to.
/// @return  Whether that changes what may leave: call inspect_window().
bool inspect_server(StreamWatch& watch, const Arrival& arrival) noexcept;

}  // namespace sallyport
