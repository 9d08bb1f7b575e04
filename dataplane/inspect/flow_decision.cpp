#include "dataplane/inspect/flow_decision.h"

namespace sallyport {
namespace {

FlowReason flow_reason(Reason reason) noexcept {
  switch (reason) {
    case Reason::rule:
      return FlowReason::rule;
    case Reason::default_deny:
      return FlowReason::default_deny;
    case Reason::no_policy:
      return FlowReason::no_policy;
    case Reason::destination_binding:
      return FlowReason::destination_binding;
    case Reason::budget_exceeded:
      return FlowReason::budget_exceeded;
    case Reason::scan_error:
      break;
  }
  return FlowReason::scan_error;
}

FlowFacts facts_of(const Flow& flow, FlowContext& context) noexcept {
  FlowFacts facts{.source = flow.key.inside,
                  .destination = flow.key.outside,
                  .ip_protocol = flow.key.ip_protocol,
                  .destination_port = flow.key.outside_port,
                  .unix_seconds = context.unix_seconds,
                  .app_known = flow.app_known,
                  .app = flow.app,
                  .name_known = flow.name_known};
  if (flow.name_known == Known::present) {
    context.names.load(flow.name, context.name);
    facts.name = context.name.view();
  }
  return facts;
}

/// What the rule that decided wants done about the flow; the defaults where none did.
void take_terms(Flow& flow, const Decision& decision, const PolicyTable& table) noexcept {
  const RuleTerms terms = decision.rule == kNoRule ? RuleTerms{} : table.rule(decision.rule).terms;
  flow.would_deny = decision.would_deny;
  flow.on_deny = terms.on_deny;
  flow.log = terms.log;
}

}  // namespace

void deny_flow(Flow& flow, FlowReason reason, uint32_t generation) noexcept {
  flow.state = FlowState::denied;
  flow.reason = reason;
  flow.rule = kNoRule;
  flow.would_deny = false;
  flow.on_deny = OnDeny::reset;
  flow.log = LogLevel::decisions;
  flow.generation = generation;
}

bool decide_flow(Flow& flow, FlowContext& context) noexcept {
  const FlowState state = flow.state;
  const FlowReason reason = flow.reason;
  const uint32_t rule = flow.rule;

  flow.generation = context.generation;
  if (context.table == nullptr) {
    deny_flow(flow, FlowReason::no_policy, context.generation);
  } else {
    const Decision decision = decide(*context.table, facts_of(flow, context), context.worker);
    flow.rule = decision.rule;
    take_terms(flow, decision, *context.table);
    if (decision.verdict == Verdict::pending) {
      flow.state = FlowState::pending;
      flow.reason = FlowReason::undecided;
    } else {
      flow.state = decision.verdict == Verdict::allow ? FlowState::allowed : FlowState::denied;
      flow.reason = flow_reason(decision.reason);
    }
  }
  return flow.state != state || flow.reason != reason || flow.rule != rule;
}

Outcome step_datagram(Flow& flow, FlowContext& context) noexcept {
  Outcome outcome;
  const bool is_new = flow.reason == FlowReason::undecided;
  if (is_new ||
      (flow.generation != context.generation && flow.reason != FlowReason::inbound_pass)) {
    flow.app_known = Known::absent;
    flow.name_known = Known::absent;
    outcome.verdict = decide_flow(flow, context);
    // Nothing more will be learnt of it, so nothing may stay open.
    if (flow.state == FlowState::pending) {
      deny_flow(flow, FlowReason::facts_not_inspected, context.generation);
    }
  }
  if (flow.state != FlowState::allowed) {
    outcome.fate = Outcome::Fate::drop;
    outcome.drop_reason = DropReason::denied;
  }
  return outcome;
}

}  // namespace sallyport
