#pragma once

#include "dataplane/inspect/flow_context.h"

namespace sallyport {

/// The steps of a UDP flow opened from inside; as tcp_flow.h.
///
///   first datagram ─ decide by addresses and ports ─┬─ allowed ─ everything passes unread
///                                                   ├─ denied
///                                                   └─ pending ─ each datagram is read:
///        a DNS query ─ decided by its name, every one for itself
///        a QUIC Initial ─ held until the hello is whole, then decided; the next hello again
///        anything else ─ decided as what it is: bytes without a name
///
/// A flow that is read stays read: what a rule let pass as one thing may turn into another.

/// A datagram from the client; the first one too.
Outcome udp_outbound(Flow& flow, const Arrival& arrival, FlowContext& context) noexcept;

/// A datagram from the server.
Outcome udp_inbound(Flow& flow, const Arrival& arrival, FlowContext& context) noexcept;

}  // namespace sallyport
