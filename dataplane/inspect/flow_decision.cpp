#include "dataplane/inspect/flow_decision.h"

#include "dataplane/inspect/flow_watch.h"

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
          .headers = app.headers,
          .binding_known = app.binding_known};
}

// A path that servers read in several ways must be allowed in each.
Decision decide_paths(const Flow& flow, const AppFacts& app, bool budget_spent,
                      const FlowContext& context) noexcept {
  FlowFacts facts = flow_facts(flow, app, context);
  facts.budget_spent = budget_spent;
  if (!app.paths.empty()) facts.path = app.paths.front();
  Decision decision = decide(*context.table, facts, context.worker);
  for (size_t i = 1; i < app.paths.size() && decision.verdict == Verdict::allow; ++i) {
    facts.path = app.paths[i];
    const Decision other = decide(*context.table, facts, context.worker);
    if (other.verdict != Verdict::allow || other.would_deny) decision = other;
  }
  if (app.app_known == Known::unknown) return decision;  // by addresses alone: nothing to scan
  const uint64_t ticks = context.table->take_scan_ticks(context.worker);
  if (ticks != 0) context.observer.scanned(ticks);
  return decision;
}

/// What the rule that decided wants done about the flow; the defaults where none did.
void take_terms(Flow& flow, const Decision& decision, const PolicyTable& table) noexcept {
  const RuleTerms terms = decision.rule == kNoRule ? RuleTerms{} : table.rule(decision.rule).terms;
  flow.would_deny = decision.would_deny;
  flow.on_deny = terms.on_deny;
  flow.log = terms.log;
}

// Finds the count of the rule that decides. Where its budget is spent, or cannot be counted, that
// is a fact to decide by.
// @return whether it cannot be counted.
bool take_budget(Flow& flow, const AppFacts& facts, bool spent, Decision& decision,
                 FlowContext& context) noexcept {
  flow.budget = kNoBudget;
  const RuleInfo rule = context.table->rule(decision.rule);
  const bool counts =
      decision.verdict == Verdict::allow || decision.reason == Reason::budget_exceeded;
  if (counts && rule.terms.action == RuleAction::allow && rule.terms.budget.bytes_out != 0) {
    flow.budget = context.budgets.open(*context.table, rule, flow.key.inside);
    const bool none_left =
        flow.budget == kNoBudget || !context.budgets.has_left(flow.budget, context.unix_seconds);
    if (none_left && !spent) decision = decide_paths(flow, facts, true, context);
  }
  return decision.reason == Reason::budget_exceeded && flow.budget == kNoBudget;
}

void set_denied(Flow& flow, FlowReason reason, uint32_t generation) noexcept {
  flow.state = FlowState::denied;
  flow.reason = reason;
  flow.rule = kNoRule;
  flow.budget = kNoBudget;
  flow.would_deny = false;
  flow.on_deny = OnDeny::reset;
  flow.log = LogLevel::decisions;
  flow.generation = generation;
}

// Allowed without a rule of its own.
void set_passed(Flow& flow, FlowReason reason, uint32_t generation) noexcept {
  set_denied(flow, reason, generation);
  flow.state = FlowState::allowed;
  flow.progress |= kPassed;
}

void set_by_action(Flow& flow, Exception condition, const FlowContext& context) noexcept {
  const FlowReason reason = info_of(condition).reason;
  const ExceptionAction action = context.limits.exceptions[condition];
  if (action == ExceptionAction::pass_flow) return set_passed(flow, reason, context.generation);
  set_denied(flow, reason, context.generation);
  if (action == ExceptionAction::drop_flow) flow.on_deny = OnDeny::drop;
}

// Nothing more will be learnt, and the policy would have to know more.
void judge_unknown(Flow& flow, FlowContext& context) noexcept {
  if (flow.state == FlowState::allowed && (flow.progress & kPassed) != 0) {
    return set_passed(flow, flow.reason, context.generation);
  }
  context.observer.excepted(Exception::facts_not_inspected);
  set_by_action(flow, Exception::facts_not_inspected, context);
}

/// Whether there is text to scan: without any, the matcher cannot fail.
bool has_text(const AppFacts& facts) noexcept {
  return facts.name_known != Known::unknown || facts.path_known != Known::unknown ||
         facts.headers_known != Known::unknown;
}

void judge_unread(Flow& flow, Exception condition, const AppFacts& facts,
                  FlowContext& context) noexcept;

// Sets state, reason and rule; `final` leaves nothing pending.
void judge(Flow& flow, const AppFacts& facts, bool final, FlowContext& context,
           bool budget_spent = false) noexcept {
  if (context.table == nullptr) {
    return set_denied(flow, FlowReason::no_policy, context.generation);
  }
  flow.generation = context.generation;
  Decision decision = decide_paths(flow, facts, budget_spent, context);
  const bool uncounted = take_budget(flow, facts, budget_spent, decision, context);
  if (decision.verdict == Verdict::pending && final) return judge_unknown(flow, context);
  flow.rule = decision.rule;
  take_terms(flow, decision, *context.table);
  if (decision.verdict == Verdict::pending) {
    flow.state = FlowState::pending;
    flow.reason = FlowReason::undecided;
  } else {
    flow.state = decision.verdict == Verdict::allow ? FlowState::allowed : FlowState::denied;
    flow.reason = uncounted ? FlowReason::budget_ledger_full : flow_reason(decision.reason);
  }
  if (flow.state != FlowState::denied) return;
  if (const auto condition = exception_of(flow.reason)) {
    context.observer.excepted(*condition);
    // Where a scan failed, nobody has asked yet what addresses and protocol alone say.
    const bool passes = context.limits.exceptions[*condition] == ExceptionAction::pass_flow;
    if (*condition == Exception::scan_error && passes && has_text(facts)) {
      return judge_unread(flow, *condition, facts, context);
    }
    set_by_action(flow, *condition, context);
    if (uncounted) flow.rule = decision.rule;  // whose budget it is
  }
}

// What the policy says of a flow of which nothing more will be read.
void judge_unread(Flow& flow, Exception condition, const AppFacts& facts,
                  FlowContext& context) noexcept {
  judge(flow, {.app_known = facts.app_known, .app = facts.app}, false, context);
  if (flow.state != FlowState::denied) flow.progress |= kPassed;
  if (flow.state == FlowState::pending) {
    set_passed(flow, info_of(condition).reason, context.generation);
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

// Whether the request before this one went to the same name, and rightly. A query on the same ports
// does not say that: nobody looked where it went.
bool was_bound(const Flow& flow, const AppFacts& facts, FlowContext& context) noexcept {
  if (flow.facts == FactStore::kNone) return false;
  const AppFacts before = kept_facts(flow, context);
  return before.binding_known == Known::present && before.app_known == Known::present &&
         before.app == facts.app && before.name_known == Known::present &&
         before.name == facts.name;
}

// Whether a trusted resolver gave the address for the name. Once it did, that holds for as long as
// the flow lives: a TTL says when to ask again, not when to hang up. A query names what it asks
// for, not whom: its address needs no resolver's word.
void add_binding(AppFacts& facts, const Flow& flow, FlowContext& context) noexcept {
  if (facts.name_known == Known::unknown || facts.binding_known == Known::present) return;
  const bool query = facts.app_known == Known::present && facts.app == AppProtocol::dns;
  const bool bound =
      query ||
      (facts.name_known == Known::present && context.bindings != nullptr &&
       (context.bindings->table.is_bound(facts.name, flow.key.outside, context.unix_seconds) ||
        was_bound(flow, facts, context)));
  facts.binding_known = bound ? Known::present : Known::absent;
}

// @return false when there is no room. Long facts are not kept then: after a push the flow is
// decided without them.
bool keep(Flow& flow, const AppFacts& facts, FlowContext& context) noexcept {
  const auto packed = pack_facts(facts, context.fact_space.bytes);
  if (Http2Watch* http2 = http2_of(flow, context)) {
    return http2->decisions.keep(flow, http2->connection.streams(), packed, context.facts);
  }
  context.facts.release(flow.facts);
  flow.facts = FactStore::kNone;
  if (packed.empty()) return true;
  flow.facts = context.facts.store(packed);
  return flow.facts != FactStore::kNone || packed.size() > kShortFactsBytes;
}

// What stands before the window is charged to what it was decided by.
void replace_budget(const Flow& flow, BudgetHandle before, FlowContext& context) noexcept {
  Inspection* inspection = inspection_of(flow, context);
  if (inspection == nullptr || inspection->datagrams() != nullptr) return;
  StreamWatch& watch = inspection->stream();
  watch.replaced_budgets.replace(before, watch.window_first);
}

/// What a flow was allowed by. An audited denial is worth saying each time.
class LastVerdict {
 public:
  explicit LastVerdict(const Flow& flow) noexcept
      : told_(flow.state == FlowState::allowed && (flow.progress & kDecided) != 0),
        reason_(flow.reason),
        rule_(flow.rule),
        generation_(flow.generation) {}

  bool is_repeated_by(const Flow& flow) const noexcept {
    return told_ && flow.state == FlowState::allowed && !flow.would_deny &&
           flow.reason == reason_ && flow.rule == rule_ && flow.generation == generation_;
  }

 private:
  bool told_;
  FlowReason reason_;
  uint32_t rule_;
  uint32_t generation_;
};

void tell(Flow& flow, const AppFacts& facts, FlowContext& context, bool repeats = false) noexcept {
  context.observer.decided(flow, facts, repeats);
  flow.progress |= kDecided;
}

}  // namespace

void deny_flow(Flow& flow, FlowReason reason, AppFacts facts, FlowContext& context) noexcept {
  add_fingerprints(facts, context);
  set_denied(flow, reason, context.generation);
  tell(flow, facts, context);
}

ExceptionAction except(Flow& flow, Exception condition, AppFacts facts,
                       FlowContext& context) noexcept {
  context.observer.excepted(condition);
  const ExceptionAction action = context.limits.exceptions[condition];
  if (action == ExceptionAction::drop_packet) return action;
  add_fingerprints(facts, context);
  if (action == ExceptionAction::pass_flow) {
    judge_unread(flow, condition, facts, context);
  } else {
    set_by_action(flow, condition, context);
  }
  tell(flow, facts, context);
  return action;
}

void except_malformed(Flow& flow, InspectFault fault, const AppFacts& facts,
                      FlowContext& context) noexcept {
  flow.fault = fault;
  flow.app_known = facts.app_known;
  flow.app = facts.app;
  except(flow, Exception::malformed, facts, context);
}

void decide_start(Flow& flow, FlowContext& context) noexcept {
  static constexpr AppFacts facts;
  judge(flow, facts, false, context);
  if (flow.state != FlowState::pending) tell(flow, facts, context);
}

namespace {

// The verdict that was told last is that of the last request, whoever has sent since.
void turn_to_newest(Flow& flow, FlowContext& context) noexcept {
  Http2Watch* http2 = http2_of(flow, context);
  if (http2 == nullptr || http2->connection.requests() == 0) return;
  Http2Streams& streams = http2->connection.streams();
  http2->decisions.turn_to(flow, streams, streams.newest());
}

}  // namespace

void decide_flow(Flow& flow, AppFacts facts, FlowContext& context) noexcept {
  add_fingerprints(facts, context);
  add_binding(facts, flow, context);
  flow.app_known = facts.app_known;
  flow.app = facts.app;
  flow.http2 = facts.http2;
  const BudgetHandle before = flow.budget;
  const bool was_allowed = flow.state == FlowState::allowed;
  turn_to_newest(flow, context);
  const LastVerdict was(flow);
  // What is known decides all the same where the flow may pass: only a push finds nothing kept.
  if (!keep(flow, facts, context)) {
    constexpr auto kFull = Exception::fact_memory_full;
    if (context.limits.exceptions[kFull] != ExceptionAction::pass_flow) {
      except(flow, kFull, facts, context);
      return;
    }
    context.observer.excepted(kFull);
    flow.progress |= kPassed;
  }
  judge(flow, facts, true, context);
  if (was_allowed && flow.budget != before) replace_budget(flow, before, context);
  tell(flow, facts, context, was.is_repeated_by(flow));
}

namespace {

void forget_what_differs(AppFacts& facts, const AppFacts& before) noexcept {
  const bool same_name = before.name_known == facts.name_known && before.name == facts.name;
  if (!same_name) facts.name_known = Known::unknown;
  if (!same_name || before.binding_known != facts.binding_known) {
    facts.binding_known = Known::unknown;
  }
  if (before.alpns_known != facts.alpns_known || !std::ranges::equal(before.alpns, facts.alpns)) {
    facts.alpns_known = Known::unknown;
  }
  if (before.ja4_known != facts.ja4_known || before.ja4 != facts.ja4) {
    facts.ja4_known = Known::unknown;
  }
  if (before.ech_known != facts.ech_known) facts.ech_known = Known::unknown;
}

}  // namespace

Joined decide_joined(Flow& flow, AppFacts facts, FlowContext& context) noexcept {
  add_fingerprints(facts, context);
  add_binding(facts, flow, context);
  Flow joining = flow;
  judge(joining, facts, true, context);
  if (joining.state != FlowState::allowed) {
    context.observer.decided(joining, facts, false);
    return Joined::denied;
  }
  if (flow.state != FlowState::allowed || joining.rule != flow.rule ||
      joining.budget != flow.budget || joining.reason != flow.reason) {
    return Joined::other;
  }
  AppFacts common = facts;
  forget_what_differs(common, kept_facts(flow, context));
  if (!keep(flow, common, context)) {
    except(flow, Exception::fact_memory_full, facts, context);
    return flow.state == FlowState::allowed ? Joined::allowed : Joined::denied;
  }
  tell(flow, facts, context, true);
  return Joined::allowed;
}

namespace {

// Whether two verdicts name the same rule, though a policy in between may have moved it.
bool is_same_rule(uint32_t before, uint32_t generation, const Flow& flow,
                  const FlowContext& context) noexcept {
  if (generation == flow.generation) return before == flow.rule;
  if (before == kNoRule || flow.rule == kNoRule) return before == flow.rule;
  return generation + 1 == flow.generation && before < context.rules_now.size() &&
         context.rules_now[before] == flow.rule;
}

void decide_by_kept(Flow& flow, bool final, bool budget_spent, FlowContext& context) noexcept {
  const FlowState state = flow.state;
  const FlowReason reason = flow.reason;
  const uint32_t rule = flow.rule;
  const uint32_t generation = flow.generation;
  const bool would_deny = flow.would_deny;
  AppFacts facts = kept_facts(flow, context);
  if (context.table != nullptr) forget_unread_headers(facts, *context.table);
  add_binding(facts, flow, context);
  judge(flow, facts, final, context, budget_spent);
  const bool changed = flow.state != state || flow.reason != reason ||
                       flow.would_deny != would_deny ||
                       !is_same_rule(rule, generation, flow, context);
  if (changed && flow.state != FlowState::pending) tell(flow, facts, context);
}

// Each request that more may come of, and the last: for its answer may be under way.
void decide_requests_again(Flow& flow, Http2Watch& http2, FlowContext& context) noexcept {
  Http2Streams& streams = http2.connection.streams();
  const uint8_t current = streams.is_live(streams.current()) ? streams.current() : streams.newest();
  for (uint8_t i = 0; i < Http2Streams::kMostRequests; ++i) {
    if (i == current || !streams.is_live(i)) continue;
    http2.decisions.turn_to(flow, streams, i);
    decide_by_kept(flow, true, false, context);
    if (flow.state != FlowState::allowed) return;
  }
  http2.decisions.turn_to(flow, streams, current);
  decide_by_kept(flow, true, false, context);
}

}  // namespace

void decide_again(Flow& flow, bool final, FlowContext& context) noexcept {
  Http2Watch* http2 = http2_of(flow, context);
  if (http2 != nullptr && http2->connection.requests() != 0) {
    return decide_requests_again(flow, *http2, context);
  }
  decide_by_kept(flow, final, false, context);
}

void decide_spent(Flow& flow, FlowContext& context) noexcept {
  const bool kept = flow.facts != FactStore::kNone || flow.app_known == Known::unknown;
  if (kept) return decide_by_kept(flow, true, true, context);
  // There was no room to keep its facts: it stays with its rule, and that says what is to be done.
  const RuleTerms terms = context.table->rule(flow.rule).terms;
  const bool audit = terms.budget.on_exceed == OnExceed::audit || terms.mode == PolicyMode::audit;
  flow.state = audit ? FlowState::allowed : FlowState::denied;
  flow.would_deny = audit;
  flow.reason = FlowReason::budget_exceeded;
  tell(flow, AppFacts{}, context);
}

bool may_be_allowed(const Flow& flow, const AppFacts& facts, const FlowContext& context) noexcept {
  return context.table != nullptr &&
         decide_paths(flow, facts, false, context).verdict != Verdict::deny;
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
  return flow.state == FlowState::allowed ? Outcome{} : kDenied;
}

}  // namespace sallyport
