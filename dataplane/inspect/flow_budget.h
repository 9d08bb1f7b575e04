#pragma once

#include "dataplane/inspect/flow_context.h"

namespace sallyport {

/// The rest of pay(), for a flow under a budget.
bool pay_budget(Flow& flow, uint32_t bytes, FlowContext& context) noexcept;

/// Charges a frame of an allowed flow that is about to be sent outwards. When a budget is spent the
/// flow is decided again.
/// @return false when the flow is denied now: the frame must not be sent.
inline bool pay(Flow& flow, uint32_t bytes, FlowContext& context) noexcept {
  return flow.budget == kNoBudget || pay_budget(flow, bytes, context);
}

/// The same for a TCP segment with bytes that were passed over in a body: to the count of that.
bool pay_late(Flow& flow, uint32_t bytes, FlowContext& context) noexcept;

/// The rest of pay_held(), for a flow whose count has changed.
bool pay_parts(Flow& flow, const StreamWatch& watch, const Segment& segment, uint32_t bytes,
               FlowContext& context) noexcept;

/// pay() for a TCP segment that was held: to the count of each request that it holds bytes of.
/// @param bytes  Of its frame.
inline bool pay_held(Flow& flow, const StreamWatch& watch, const Segment& segment, uint32_t bytes,
                     FlowContext& context) noexcept {
  if (watch.replaced_budgets.empty() && watch.passed_over.budget == kNoBudget) [[likely]]
    return pay(flow, bytes, context);
  return pay_parts(flow, watch, segment, bytes, context);
}

/// A flow without a connection, denied for a spent budget or a full ledger: it is decided anew once
/// there is something left. A new window must reach those that never stop sending.
void try_budget_again(Flow& flow, FlowContext& context) noexcept;

}  // namespace sallyport
