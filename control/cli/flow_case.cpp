#include "control/cli/flow_case.h"

#include <utility>

namespace sallyport {
namespace {

constexpr size_t kNearRules = 5;

void settle(Known& known) {
  if (known == Known::unknown) known = Known::absent;
}

FlowValues implied(FlowValues values, const LoggedRecord& record) {
  if (record.reason == "destination_binding") values.binding_known = Known::absent;
  if (record.reason == "budget_exceeded") values.budget_spent = true;
  const bool passed_binding =
      record.reason == "budget_exceeded" || (record.reason == "rule" && record.action == "allow");
  if (passed_binding) values.binding_known = Known::present;
  return values;
}

FlowValues settled_values(FlowValues values) {
  for (Known* one : {&values.app_known, &values.name.known, &values.alpns_known, &values.ja4.known,
                     &values.ech_known, &values.method.known, &values.path.known}) {
    settle(*one);
  }
  return values;
}

bool agree(const Decision& decision, const PolicyTable& table, const LoggedRecord& record) {
  const bool same_verdict = decision.verdict != Verdict::pending &&
                            to_string(decision.verdict) == record.action &&
                            decision.would_deny == record.would_deny;
  const RuleInfo rule = table.rule(decision.rule);
  return same_verdict && rule.policy == record.policy && rule.name == record.rule;
}

}  // namespace

void FlowCase::add(const LoggedRecord& record, std::string_view line) {
  if (record.event == LoggedEvent::gap || record.event == LoggedEvent::start) return;
  const bool same = found() && record_.same_flow(record);
  // Its end repeats its last verdict; what it has besides is how much it carried.
  if (record.event == LoggedEvent::end) {
    if (same) {
      record_.bytes = record.bytes;
      return;
    }
    // That of another flow than the last tells nothing that its verdict did not, if there was one.
    if (found() && record_.flow_id != record.flow_id && record.action != "pending") return;
  }
  if (same && record_.denied() && !record.denied()) return;
  if (found() && !same && record_.flow_id == record.flow_id) ++earlier_;
  if (found() && record_.flow_id != record.flow_id) earlier_ = 0;
  record_ = record;
  line_ = line;
}

std::expected<FlowFinding, std::string> find_out(const FlowCase& which, Explainer& explainer) {
  const LoggedRecord& record = which.record();
  auto parsed = parse_flow_record(which.line(), 0);
  if (!parsed) return std::unexpected(std::move(parsed.error()));
  FlowDescription flow(implied(parsed->values(), record));
  Explanation explanation = explainer.explain(flow);
  if (explanation.decision.verdict == Verdict::pending && record.action != "pending") {
    flow = FlowDescription(settled_values(flow.values()));
    explanation = explainer.explain(flow);
  }
  const bool agrees = agree(explanation.decision, explainer.table(), record);
  auto near = explainer.near_rules(flow, kNearRules);
  return FlowFinding{std::move(flow), std::move(explanation), std::move(near), agrees};
}

}  // namespace sallyport
