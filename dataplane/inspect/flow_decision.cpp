#include "dataplane/inspect/flow_decision.h"

#include <algorithm>

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

FlowFacts flow_facts(const Flow& flow, const AppFacts& app, const FlowContext& context) noexcept {
  return {.source = flow.key.inside,
          .destination = flow.key.outside,
          .ip_protocol = flow.key.ip_protocol,
          .destination_port = flow.key.outside_port,
          .unix_seconds = context.unix_seconds,
          .app_known = app.app_known,
          .app = app.app,
          .name_known = app.name_known,
          .name = app.name,
          .alpns_known = app.alpns_known,
          .alpns = app.alpns,
          .ja4_known = app.ja4_known,
          .ja4 = app.ja4,
          .ech_known = app.ech_known,
          .method_known = app.method_known,
          .method = app.method,
          .path_known = app.path_known,
          .headers_known = app.headers_known,
          .headers = app.headers};
}

// A path that servers read in several ways must be allowed in each.
Decision decide_paths(const Flow& flow, const AppFacts& app, const FlowContext& context) noexcept {
  FlowFacts facts = flow_facts(flow, app, context);
  if (!app.paths.empty()) facts.path = app.paths.front();
  Decision decision = decide(*context.table, facts, context.worker);
  for (size_t i = 1; i < app.paths.size() && decision.verdict == Verdict::allow; ++i) {
    facts.path = app.paths[i];
    const Decision other = decide(*context.table, facts, context.worker);
    if (other.verdict != Verdict::allow || other.would_deny) decision = other;
  }
  return decision;
}

/// What the rule that decided wants done about the flow; the defaults where none did.
void take_terms(Flow& flow, const Decision& decision, const PolicyTable& table) noexcept {
  const RuleTerms terms = decision.rule == kNoRule ? RuleTerms{} : table.rule(decision.rule).terms;
  flow.would_deny = decision.would_deny;
  flow.on_deny = terms.on_deny;
  flow.log = terms.log;
}

void set_denied(Flow& flow, FlowReason reason, uint32_t generation) noexcept {
  flow.state = FlowState::denied;
  flow.reason = reason;
  flow.rule = kNoRule;
  flow.would_deny = false;
  flow.on_deny = OnDeny::reset;
  flow.log = LogLevel::decisions;
  flow.generation = generation;
}

// Sets state, reason and rule; `final` leaves nothing pending.
void judge(Flow& flow, const AppFacts& facts, bool final, FlowContext& context) noexcept {
  if (context.table == nullptr) {
    return set_denied(flow, FlowReason::no_policy, context.generation);
  }
  flow.generation = context.generation;
  const Decision decision = decide_paths(flow, facts, context);
  if (decision.verdict == Verdict::pending && final) {
    return set_denied(flow, FlowReason::facts_not_inspected, context.generation);
  }
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

// Of a request that was read under another policy, only the fields which that one asked for are
// known.
void forget_unread_headers(AppFacts& facts, const PolicyTable& table) noexcept {
  if (facts.headers_known != Known::present) return;
  const bool all = std::ranges::all_of(table.header_names(), [&](std::string_view name) {
    return std::ranges::find(facts.header_names, name) != facts.header_names.end();
  });
  if (!all) facts.headers_known = Known::unknown;
}

// The fingerprints stay until the next hello is read.
void add_fingerprints(AppFacts& facts, FlowContext& context) noexcept {
  if (facts.hello == nullptr) return;
  const bool quic = facts.app == AppProtocol::quic;
  const auto& both =
      context.fingerprints.of(*facts.hello, quic ? HelloTransport::quic : HelloTransport::tcp);
  facts.ja3 = both.ja3.view();
  facts.ja4_known = Known::present;
  facts.ja4 = both.ja4.view();
}

// @return false when there is no room. Facts too long to keep are not kept: after a push the flow
// is decided without them.
bool keep(Flow& flow, const AppFacts& facts, FlowContext& context) noexcept {
  context.facts.release(flow.facts);
  flow.facts = FactStore::kNone;
  const auto packed = pack_facts(facts, context.fact_space.bytes);
  if (packed.empty()) return true;
  flow.facts = context.facts.store(packed);
  return flow.facts != FactStore::kNone;
}

}  // namespace

void deny_flow(Flow& flow, FlowReason reason, AppFacts facts, FlowContext& context) noexcept {
  add_fingerprints(facts, context);
  set_denied(flow, reason, context.generation);
  context.observer.decided(flow, facts);
}

void deny_malformed(Flow& flow, InspectFault fault, const AppFacts& facts,
                    FlowContext& context) noexcept {
  flow.fault = fault;
  flow.app_known = facts.app_known;
  flow.app = facts.app;
  deny_flow(flow, FlowReason::malformed, facts, context);
}

void decide_start(Flow& flow, FlowContext& context) noexcept {
  const AppFacts facts;
  judge(flow, facts, false, context);
  if (flow.state != FlowState::pending) context.observer.decided(flow, facts);
}

void decide_flow(Flow& flow, AppFacts facts, FlowContext& context) noexcept {
  add_fingerprints(facts, context);
  flow.app_known = facts.app_known;
  flow.app = facts.app;
  flow.http2 = facts.http2;
  if (!keep(flow, facts, context)) {
    return deny_flow(flow, FlowReason::fact_memory_full, facts, context);
  }
  judge(flow, facts, true, context);
  context.observer.decided(flow, facts);
}

void decide_again(Flow& flow, bool final, FlowContext& context) noexcept {
  const FlowState state = flow.state;
  const FlowReason reason = flow.reason;
  const uint32_t rule = flow.rule;
  AppFacts facts = kept_facts(flow, context);
  if (context.table != nullptr) forget_unread_headers(facts, *context.table);
  judge(flow, facts, final, context);
  const bool changed = flow.state != state || flow.reason != reason || flow.rule != rule;
  if (changed && flow.state != FlowState::pending) context.observer.decided(flow, facts);
}

AppFacts kept_facts(const Flow& flow, FlowContext& context) noexcept {
  const auto packed = context.facts.load(flow.facts, context.fact_space.bytes);
  return packed.empty() ? AppFacts{} : unpack_facts(packed, context.fact_space);
}

Outcome step_packet(Flow& flow, FlowContext& context) noexcept {
  if (flow.reason == FlowReason::undecided) {
    decide_flow(flow, no_facts(), context);
  } else if (flow.generation != context.generation) {
    decide_again(flow, true, context);
  }
  if (flow.state != FlowState::allowed) return Outcome::drop(DropReason::denied);
  return {};
}

}  // namespace sallyport
