#pragma once

#include "dataplane/inspect/flow_context.h"

namespace sallyport {

/// The steps of a flow opened from outside, where inbound_flows is pass. Nothing of it is read or
/// decided: it is the outside's. Whoever can send in a server's name could open that server to the
/// inside by it, so what no server says does not pass as an answer.

/// A packet from outside.
Outcome from_outside(Flow& flow, const Arrival& arrival) noexcept;

/// A packet from inside. With Outcome::restart it opens an outbound flow of its own.
Outcome answer_outside(Flow& flow, const Arrival& arrival, FlowContext& context) noexcept;

}  // namespace sallyport
