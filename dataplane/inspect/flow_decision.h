#pragma once

#include "dataplane/inspect/flow_context.h"

namespace sallyport {

/// Decides `flow` from the facts kept with it and writes state, reason, rule and generation.
/// @return true when state, reason or rule changed.
bool decide_flow(Flow& flow, FlowContext& context) noexcept;

/// Denies `flow` for a reason of the gateway's own.
void deny_flow(Flow& flow, FlowReason reason, uint32_t generation) noexcept;

/// First packet of a flow that is not TCP, or a later one: decided by addresses and ports alone,
/// and again whenever the policy has changed.
Outcome step_datagram(Flow& flow, FlowContext& context) noexcept;

}  // namespace sallyport
