#pragma once

#include "dataplane/inspect/flow_context.h"

namespace sallyport {

/// How the client of a TCP flow can be told that its bytes are denied, just now, while they are
/// held: in its own protocol where that has a word for it and its server's side of the stream
/// stands where the word may go.
///
/// @param last  The client's packet that brought the denial.
Farewell farewell_of(const Flow& flow, const StreamWatch& watch, const Packet& last) noexcept;

/// The sequence number behind the last of the client's bytes, and FIN, that came in order: what a
/// farewell acknowledges.
uint32_t received_end(const Flow& flow, const Inspection& inspection,
                      const FlowContext& context) noexcept;

}  // namespace sallyport
