#pragma once

#include "dataplane/inspect/flow_context.h"

namespace sallyport {

/// Decides a flow by its addresses alone: before any of its bytes came. It may stay pending.
void decide_start(Flow& flow, FlowContext& context) noexcept;

/// Decides a flow, one of its requests or queries, by what its bytes told, and keeps that. What the
/// policy cannot decide even so is denied: nothing more will be learnt. So it is pending no more.
/// The observer is told.
/// @param facts  Complete but for ja4, which is made from the hello.
void decide_flow(Flow& flow, AppFacts facts, FlowContext& context) noexcept;

/// Decides a flow under another policy than the last, by the facts kept. The observer is told if
/// that changes anything.
/// @param final  Nothing more will be learnt: what stays open is denied.
void decide_again(Flow& flow, bool final, FlowContext& context) noexcept;

/// Denies for a reason of the gateway's own, and tells the observer.
/// @param facts  What is known, for the record.
void deny_flow(Flow& flow, FlowReason reason, AppFacts facts, FlowContext& context) noexcept;

/// Denies because the client's bytes break their protocol.
/// @param facts  What could be read, the protocol at least.
void deny_malformed(Flow& flow, InspectFault fault, const AppFacts& facts,
                    FlowContext& context) noexcept;

/// What is kept of a flow. Borrows context.fact_space.
AppFacts kept_facts(const Flow& flow, FlowContext& context) noexcept;

/// One packet that is neither TCP nor UDP.
Outcome step_packet(Flow& flow, FlowContext& context) noexcept;

}  // namespace sallyport
