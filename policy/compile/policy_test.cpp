#include "policy/compile/policy_test.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "policy/compile/match_parts.h"

namespace sallyport {
namespace {

using Json = nlohmann::json;

/// What happened to a flow, from decide() or from a flow record.
struct Outcome {
  Verdict verdict{};
  std::string reason;
  bool would_deny = false;
  std::string rule;  ///< kDefaultDeny where there was none.
  uint16_t waits_for = 0;
};

Outcome outcome_of(const Decision& decision, const PolicyTable& table) {
  Outcome out{.verdict = decision.verdict,
              .reason = std::string(to_string(decision.reason)),
              .would_deny = decision.would_deny,
              .rule = std::string(kDefaultDeny),
              .waits_for = decision.waits_for};
  if (decision.rule == kNoRule) return out;
  const RuleInfo rule = table.rule(decision.rule);
  out.rule = std::string(rule.policy) + "/" + std::string(rule.name);
  return out;
}

bool holds(const ExpectedOutcome& expected, const Outcome& got) {
  return (!expected.action || *expected.action == got.verdict) &&
         (!expected.rule || *expected.rule == got.rule) &&
         (!expected.would_deny || *expected.would_deny == got.would_deny) &&
         (!expected.reason || to_string(*expected.reason) == got.reason);
}

std::string text_of(const ExpectedOutcome& expected) {
  std::string out;
  if (expected.action) out = to_string(*expected.action);
  if (expected.rule) out += (out.empty() ? "" : " by ") + *expected.rule;
  if (expected.would_deny) {
    out += out.empty() ? "" : ", ";
    out += *expected.would_deny ? "would deny" : "would not deny";
  }
  if (expected.reason) {
    out += (out.empty() ? "(" : " (") + std::string(to_string(*expected.reason)) + ")";
  }
  return out;
}

std::string text_of(const Outcome& got) {
  std::string out(to_string(got.verdict));
  if (got.verdict == Verdict::pending) return out + ", waits for " + facts_text(got.waits_for);
  out += " by " + got.rule;
  if (got.would_deny) out += ", would deny";
  const bool plain = got.reason == to_string(Reason::rule) || got.rule == kDefaultDeny;
  return plain ? out : out + " (" + got.reason + ")";
}

/// The rule of that name in the documents, or a line on what there is instead.
std::string unknown_rule(const PolicyModels& models, std::string_view name) {
  std::vector<std::string> names;
  for (const PolicyModel& policy : models.policies) {
    for (const RuleModel& rule : policy.rules) names.push_back(policy.name + "/" + rule.name);
  }
  if (std::ranges::find(names, name) != names.end()) return "";
  const std::vector<std::string_view> views(names.begin(), names.end());
  const std::string_view nearest = nearest_key(name, views);
  return "there is no rule " + std::string(name) +
         (nearest.empty() ? "" : "; did you mean " + std::string(nearest) + "?");
}

/// The tier of the rule of that name.
std::optional<Tier> tier_of(const PolicyModels& models, std::string_view name) {
  for (const PolicyModel& policy : models.policies) {
    for (const RuleModel& rule : policy.rules) {
      if (policy.name + "/" + rule.name == name) return policy.tier;
    }
  }
  return {};
}

/// Why the expected rule, which there is, did not decide.
std::string why_not(const Explanation& explanation, const std::string& rule,
                    const PolicyModels& models) {
  const auto tier = tier_of(models, rule);
  const TriedRule* before = explanation.decider();
  for (const TriedRule& one : explanation.tried) {
    if (full_name(one) == rule) return obstacle_text(one);
    if (one.role == TriedRule::Role::passes && one.policy->tier == tier) before = &one;
  }
  if (before == nullptr) return rule + " was not tried";
  return rule + " was not tried: " + full_name(*before) + " (" + place_text(before->rule->place) +
         ") comes first and matches";
}

std::vector<std::string> reasons_for(const Explanation& explanation,
                                     const ExpectedOutcome& expected, const PolicyModels& models) {
  constexpr size_t kShown = 3;
  std::vector<std::string> out;
  if (!explanation.disagreement.empty()) {
    out.push_back("internal error: " + explanation.disagreement);
  }
  if (expected.rule && *expected.rule != kDefaultDeny) {
    const std::string unknown = unknown_rule(models, *expected.rule);
    out.push_back(unknown.empty() ? why_not(explanation, *expected.rule, models) : unknown);
    return out;
  }
  for (const TriedRule& one : explanation.tried) {
    if (one.role == TriedRule::Role::decides || one.role == TriedRule::Role::waiting) {
      out.push_back(obstacle_text(one));
    }
  }
  if (explanation.decision.rule == kNoRule) {
    for (const TriedRule* one : explanation.nearest(kShown)) out.push_back(obstacle_text(*one));
  }
  if (out.size() > kShown) out.resize(kShown);
  return out;
}

/// One flow of a capture, as its record says.
struct CapturedFlow {
  std::string line;
  Json record;
};

std::string text_at(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

Outcome outcome_of(const Json& record) {
  const Json verdict = record.value("verdict", Json::object());
  const Json policy = record.value("policy", Json::object());
  const std::string action = text_at(verdict, "action");
  const std::string rule = text_at(policy, "rule");
  return {.verdict = action == "allow"  ? Verdict::allow
                     : action == "deny" ? Verdict::deny
                                        : Verdict::pending,
          .reason = text_at(policy, "reason"),
          .would_deny = policy.value("would_deny", Json(false)) == Json(true),
          .rule = rule.empty() ? std::string(kDefaultDeny) : text_at(policy, "name") + "/" + rule,
          .waits_for = 0};
}

bool selects(const CaptureFilter& filter, const Json& record) {
  const auto in_block = [&record](const std::optional<IpPrefix>& block, const char* key) {
    if (!block) return true;
    const auto address = parse_ip_address(text_at(record, key));
    return address && contains(*block, *address);
  };
  const std::string app = text_at(record, "app");
  const bool http = filter.app == "http" && app.starts_with("http");
  return in_block(filter.source, "src_ip") && in_block(filter.destination, "dest_ip") &&
         (!filter.host || glob_matches(*filter.host, text_at(record, "host"), false)) &&
         (!filter.port || record.value("dest_port", Json(0)) == Json(*filter.port)) &&
         (!filter.app || app == *filter.app || http);
}

class Runner {
 public:
  Runner(const PolicyTestSuite& suite, Explainer& explainer, const ReplayCapture& replay)
      : suite_(suite), explainer_(explainer), replay_(replay) {}

  PolicyTestResult run(const PolicyTestCase& test) {
    PolicyTestResult out{.suite = &suite_, .test = &test};
    if (const auto* flow = std::get_if<FlowDescription>(&test.subject)) {
      const Outcome got = outcome_of(explainer_.decide(*flow), explainer_.table());
      judge(*flow, got, out);
    } else {
      run_capture(std::get<CaptureUse>(test.subject), out);
    }
    return out;
  }

 private:
  void judge(const FlowDescription& flow, const Outcome& got, PolicyTestResult& out) {
    const ExpectedOutcome& expected = out.test->expected;
    out.passed = holds(expected, got);
    if (out.passed) return;
    out.flow = to_text(flow, suite_.now);
    out.expected = text_of(expected);
    out.got = text_of(got);
    const Explanation explanation = explainer_.explain(flow);
    // What the data plane knew of a captured flow may be more than its record says.
    const Outcome again = outcome_of(explanation.decision, explainer_.table());
    if (again.verdict == got.verdict && again.rule == got.rule) {
      out.why = reasons_for(explanation, expected, explainer_.models());
    }
  }

  static void fail(PolicyTestResult& out, std::string got) {
    out.passed = false;
    out.expected = text_of(out.test->expected);
    out.got = std::move(got);
  }

  void run_capture(const CaptureUse& use, PolicyTestResult& out) {
    const auto& flows = flows_of(use.path);
    if (!flows) return fail(out, flows.error());
    size_t selected = 0;
    for (const CapturedFlow& one : *flows) {
      if (!selects(use.filter, one.record)) continue;
      ++selected;
      const Outcome got = outcome_of(one.record);
      if (holds(out.test->expected, got)) continue;
      const auto flow = parse_flow_record(one.line, suite_.now);
      if (!flow) return fail(out, text_of(got));
      return judge(*flow, got, out);
    }
    out.passed = selected != 0;
    if (out.passed) return;
    fail(out, "no flow: the filter selects none of the " + std::to_string(flows->size()) + " in " +
                  use.path);
  }

  using Flows = std::expected<std::vector<CapturedFlow>, std::string>;

  /// Several tests may be about one capture: it is replayed once.
  const Flows& flows_of(const std::string& path) {
    const auto found = flows_.find(path);
    if (found != flows_.end()) return found->second;
    Flows flows;
    const auto lines = replay_(path);
    if (!lines) flows = std::unexpected(lines.error());
    for (const std::string& line : lines.value_or(std::vector<std::string>{})) {
      Json record = Json::parse(line, nullptr, false);
      // Verdicts that come before a flow's end are events of their own.
      if (record.is_object() && text_at(record, "event_type") == "flow") {
        flows->push_back({line, std::move(record)});
      }
    }
    return flows_.emplace(path, std::move(flows)).first->second;
  }

  const PolicyTestSuite& suite_;
  Explainer& explainer_;
  const ReplayCapture& replay_;
  std::map<std::string, Flows> flows_;
};

}  // namespace

std::vector<PolicyTestResult> run_policy_tests(const PolicyTestSuite& suite, Explainer& explainer,
                                               const ReplayCapture& replay) {
  Runner runner(suite, explainer, replay);
  std::vector<PolicyTestResult> out;
  for (const PolicyTestCase& test : suite.tests) out.push_back(runner.run(test));
  return out;
}

}  // namespace sallyport
