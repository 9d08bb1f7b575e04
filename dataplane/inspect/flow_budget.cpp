#include "dataplane/inspect/flow_budget.h"

#include "dataplane/inspect/flow_decision.h"
#include "dataplane/inspect/flow_watch.h"

namespace sallyport {
namespace {

using Charge = BudgetMeter::Charge;

void refund(std::span<const BudgetHandle> handles, uint32_t bytes, FlowContext& context) noexcept {
  for (const BudgetHandle handle : handles) context.budgets.refund(handle, bytes);
}

// A frame with the end of one request and the start of the next counts in full for both: which
// bytes are whose is the client's choice.
bool pay_replaced(Flow& flow, const ReplacedBudgets::Due& due, uint32_t bytes,
                  FlowContext& context) noexcept {
  const auto handles = due.all();
  bool paid = !due.too_many;
  for (size_t i = 0; i < handles.size() && paid; ++i) {
    // Stale: its window is long over, and it had nothing to count in this one.
    paid = context.budgets.charge(handles[i], bytes, context.unix_seconds) != Charge::spent;
    if (!paid) refund(handles.first(i), bytes, context);
  }
  if (!paid) deny_flow(flow, FlowReason::budget_exceeded, kept_facts(flow, context), context);
  return paid;
}

// With onExceed audit, what is over is said once a window: the next one has begun when a frame is
// paid for and another could be.
void note_within(Flow& flow, FlowContext& context) noexcept {
  if (!context.budgets.has_left(flow.budget, context.unix_seconds)) return;
  flow.reason = FlowReason::rule;
  flow.would_deny = false;
}

}  // namespace

bool pay_budget(Flow& flow, uint32_t bytes, FlowContext& context) noexcept {
  // Its rule may be another after a decision, and its entry, too. Not for ever.
  constexpr int kTries = 3;
  for (int i = 0; i < kTries && flow.budget != kNoBudget; ++i) {
    switch (context.budgets.charge(flow.budget, bytes, context.unix_seconds)) {
      case Charge::paid:
        if (flow.reason == FlowReason::budget_exceeded) [[unlikely]]
          note_within(flow, context);
        return true;
      case Charge::over:
        if (flow.reason != FlowReason::budget_exceeded) decide_spent(flow, context);
        return flow.state == FlowState::allowed;
      case Charge::stale:
        flow.budget =
            context.budgets.open(*context.table, context.table->rule(flow.rule), flow.key.inside);
        if (flow.budget == kNoBudget) decide_spent(flow, context);
        break;
      case Charge::spent:
        decide_spent(flow, context);
        break;
    }
    if (flow.state != FlowState::allowed) return false;
  }
  if (flow.budget == kNoBudget) return true;
  deny_flow(flow, FlowReason::budget_exceeded, kept_facts(flow, context), context);
  return false;
}

bool pay_late(Flow& flow, uint32_t bytes, FlowContext& context) noexcept {
  ReplacedBudgets::Due due;
  due.put_in(inspection_of(flow, context)->stream().passed_over.budget);
  return pay_replaced(flow, due, bytes, context);
}

bool pay_parts(Flow& flow, const StreamWatch& watch, const Segment& segment, uint32_t bytes,
               FlowContext& context) noexcept {
  auto due = watch.replaced_budgets.due(segment.sequence, segment.sequence + segment.bytes);
  if (watch.passed_over.may_hold(segment.sequence)) due.put_in(watch.passed_over.budget);
  if (due.own) due.take_out(flow.budget);
  if (!pay_replaced(flow, due, bytes, context)) return false;
  if (!due.own || pay(flow, bytes, context)) return true;
  refund(due.all(), bytes, context);
  return false;
}

void try_budget_again(Flow& flow, FlowContext& context) noexcept {
  if (flow.state != FlowState::denied) return;
  const bool again =
      flow.reason == FlowReason::budget_exceeded
          ? flow.budget != kNoBudget && context.budgets.has_left(flow.budget, context.unix_seconds)
          : flow.reason == FlowReason::budget_ledger_full && context.budgets.has_room();
  if (again) decide_again(flow, true, context);
}

}  // namespace sallyport
