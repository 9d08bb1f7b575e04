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

/// What becomes of another connection on the ports of a flow that is in use already.
enum class Joined : uint8_t {
  allowed,  ///< By what allowed the flow before, and charged to the same budget: it goes with it.
  denied,   ///< By the policy. The flow is as it was, and the observer told of the denial.
  other,  ///< The flow is denied, or something else would have to allow this. Nothing has changed.
};

/// Decides another connection of a QUIC flow. Packets of the two cannot be told apart later, so one
/// verdict must fit both, and what is kept is what both said alike: a policy that asks for more
/// denies them.
Joined decide_joined(Flow& flow, AppFacts facts, FlowContext& context) noexcept;

/// Decides a flow under another policy than the last, by the facts kept. The observer is told if
/// that changes anything.
/// @param final  Nothing more will be learnt: what stays open is denied.
void decide_again(Flow& flow, bool final, FlowContext& context) noexcept;

/// Decides an allowed flow by the facts kept, now that its budget is spent: it is denied, or goes
/// on by audit or under another rule. The observer is told if that changes anything.
void decide_spent(Flow& flow, FlowContext& context) noexcept;

/// Denies for a reason of the gateway's own, and tells the observer.
/// @param facts  What is known, for the record.
void deny_flow(Flow& flow, FlowReason reason, AppFacts facts, FlowContext& context) noexcept;

/// Does what is set for a condition in which the flow cannot be read on: it is denied, or allowed
/// from here on without being read, and the observer told. With drop_packet nothing has changed.
/// A flow that the policy denies by addresses and protocol alone does not pass.
/// @param facts  What is known, for the record.
/// @return what was set; `flow.state` says what came of it.
ExceptionAction except(Flow& flow, Exception condition, AppFacts facts,
                       FlowContext& context) noexcept;

/// The same where the client's bytes break their protocol.
/// @param facts  What could be read, the protocol at least.
void except_malformed(Flow& flow, InspectFault fault, const AppFacts& facts,
                      FlowContext& context) noexcept;

/// Whether the policy in force could allow the flow, if its bytes told this of it. Decides nothing.
/// @param facts  What may still be learnt is unknown.
bool may_be_allowed(const Flow& flow, const AppFacts& facts, const FlowContext& context) noexcept;

/// What is kept of a flow. Borrows context.fact_space.
AppFacts kept_facts(const Flow& flow, FlowContext& context) noexcept;

/// One packet that is neither TCP nor UDP.
Outcome step_packet(Flow& flow, FlowContext& context) noexcept;

}  // namespace sallyport
