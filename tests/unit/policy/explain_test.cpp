// Explanations: what each rule came to, in the order tried.
#include "policy/compile/explain.h"

#include <catch2/catch.hpp>

#include "tests/support/policy_builder.h"

using namespace sallyport;

namespace {

constexpr int64_t kNow = 1'800'000'000;
const std::string kEnds = "src=10.1.2.3 dst=203.0.113.9:443 ";

/// A policy with its table.
struct Loaded {
  explicit Loaded(const std::string& yaml)
      : models(load_policies(std::vector{SourceFile{"p.yaml", yaml}}).value()),
        table(test::load_table({SourceFile{"p.yaml", yaml}})),
        explainer(models, *table) {}

  Explanation explain(const std::string& flow) {
    return explainer.explain(parse_flow(kEnds + flow, kNow).value());
  }
  /// "allow: p/a failed, p/b decides", or with what it waits for.
  std::string say(const std::string& flow) {
    const Explanation got = explain(flow);
    CHECK(got.disagreement.empty());
    std::string out(to_string(got.decision.verdict));
    if (got.decision.would_deny) out += " would deny";
    if (got.decision.waits_for != 0) out += " " + facts_text(got.decision.waits_for);
    const char* separator = ": ";
    for (const TriedRule& one : got.tried) {
      out += separator + full_name(one) + " " + std::string(to_string(one.role));
      separator = ", ";
    }
    return got.skipped == 0 ? out : out + ", " + std::to_string(got.skipped) + " skipped";
  }

  PolicyModels models;
  std::unique_ptr<PolicyTable> table;
  Explainer explainer;
};

std::string policy(const std::string& name, const std::string& head, const std::string& rules) {
  return "---\n" + test::policy_text("  " + head + "\n  egress:\n" + rules, name) + "\n";
}

const std::string kTiers =
    policy("guard", "tier: Admin",
           "    - {name: bad, action: Deny, to: {domainNames: [bad.test]}}\n"
           "    - {name: corp, action: Pass, to: {domainNames: ['*.corp.test']}}\n"
           "    - {name: net, action: Deny, to: {cidrs: [203.0.113.0/24]}}\n"
           "    - {name: never, action: Allow}\n") +
    policy("teams", "tier: Application",
           "    - {name: web, action: Allow, protocols: [{tls: {}}]}\n");

}  // namespace

TEST_CASE("an explanation: what each rule came to") {
  struct Row {
    std::string flow, said;
  };
  const auto row = GENERATE(values<Row>({
      {"tls.sni=bad.test", "deny: guard/bad decides"},
      {"tls.sni=x.test", "deny: guard/bad failed, guard/corp failed, guard/net decides"},
      {"tls.sni=a.corp.test",
       "allow: guard/bad failed, guard/corp passes, teams/web decides, 2 skipped"},
      {"http.host=a.corp.test",
       "deny: guard/bad failed, guard/corp passes, teams/web failed, 2 skipped"},
      {"",
       "pending app, name: guard/bad waiting, guard/corp waiting, guard/net matches, "
       "teams/web waiting"},
      {"app=tls",
       "pending name: guard/bad waiting, guard/corp waiting, guard/net matches, "
       "teams/web matches"},
      // Pass may leave it to a tier that would not let it through.
      {"app=http",
       "deny: guard/bad waiting, guard/corp waiting, guard/net matches, "
       "teams/web failed"},
  }));
  CAPTURE(row.flow);
  Loaded loaded(kTiers);
  CHECK(loaded.say(row.flow) == row.said);
}

TEST_CASE("an explanation: binding, budget and audit") {
  const std::string to_name = "to: {domainNames: [a.test]}";
  Loaded bound(policy("p", "mode: enforce",
                      "    - {name: r, action: Allow, " + to_name +
                          ", destinationBinding: enforce, budget: {bytesOut: 1GB, window: 1h}}\n"));
  CHECK(bound.say("tls.sni=a.test") == "pending binding: p/r matches");
  CHECK(bound.say("tls.sni=a.test binding=bound") == "allow: p/r decides");
  CHECK(bound.say("tls.sni=a.test binding=unbound") == "deny: p/r decides");
  CHECK(bound.say("tls.sni=a.test binding=bound budget=spent") == "deny: p/r decides");
  CHECK(bound.explain("tls.sni=a.test binding=unbound").decision.reason ==
        Reason::destination_binding);
  CHECK(bound.explain("tls.sni=a.test binding=bound budget=spent").decision.reason ==
        Reason::budget_exceeded);

  Loaded audit(policy("p", "mode: audit", "    - {name: r, action: Deny, " + to_name + "}\n"));
  CHECK(audit.say("tls.sni=a.test") == "allow would deny: p/r decides");
}

TEST_CASE("an explanation: labels come from the flow, or else from the feed") {
  Loaded loaded(policy("p", "subject: {labels: {job: train}}", "    - {name: r, action: Allow}\n"));
  CHECK(loaded.say("") == "pending labels: p/r waiting");
  CHECK(loaded.say("label.job=train") == "allow: p/r decides");
  CHECK(loaded.say("label.job=serve") == "deny: p/r failed");

  const IpAddress source = parse_ip_address("10.1.2.3").value();
  loaded.explainer.use_identities(
      std::vector{Identity{source, {{"job", "serve"}}}, Identity{source, {{"job", "train"}}}});
  CHECK(loaded.say("") == "allow: p/r decides");
  CHECK(loaded.say("label.job=serve") == "deny: p/r failed");
  loaded.explainer.use_identities(std::vector<Identity>{});
  CHECK(loaded.say("") == "deny: p/r failed");
  loaded.explainer.use_identities(std::nullopt);
  CHECK(loaded.say("") == "pending labels: p/r waiting");
}

TEST_CASE("an explanation: the nearest rules are those with most conditions met") {
  Loaded loaded(policy("p", "mode: enforce",
                       "    - {name: udp, action: Allow, protocols: [{udp: {}}]}\n"
                       "    - {name: http, action: Allow, protocols: [{http: {}}]}\n"
                       "    - {name: name, action: Allow, to: {domainNames: [b.test]}, "
                       "protocols: [{tls: {}}]}\n"
                       "    - {name: net, action: Allow, to: {cidrs: [10.0.0.0/8]}}\n"));
  const Explanation got = loaded.explain("tls.sni=a.test");
  const auto names = [&](size_t limit) {
    std::string out;
    for (const TriedRule* one : got.nearest(limit)) out += one->rule->name + " ";
    return out;
  };
  CHECK(names(1) == "name ");
  CHECK(names(2) == "http name ");
  CHECK(names(3) == "udp http name ");
  CHECK(names(9) == "udp http name net ");
}

TEST_CASE("an explanation: obstacles and places are sentences") {
  Loaded loaded(kTiers);
  const Explanation denied = loaded.explain("tls.sni=x.test");
  CHECK(obstacle_text(denied.tried[1]) ==
        "guard/corp (p.yaml:9) does not match: to.domainNames wants *.corp.test, the flow has "
        "x.test");
  CHECK(obstacle_text(denied.tried[2]) == "guard/net (p.yaml:10) matches");
  const Explanation pending = loaded.explain("");
  CHECK(obstacle_text(pending.tried[0]) == "guard/bad (p.yaml:8) waits for name");
  CHECK(facts_text(kFactApp | kFactBinding | kFactLabels) == "app, binding, labels");
  CHECK(facts_text(0).empty());
}

TEST_CASE("an explanation: a table of other sources than the documents is found out") {
  Loaded loaded(kTiers);
  const auto other =
      test::load_table(policy("guard", "tier: Admin", "    - {name: other, action: Deny}\n"));
  Explainer mixed(loaded.models, *other);
  const auto flow = parse_flow(kEnds + "tls.sni=bad.test", kNow).value();
  CHECK(mixed.explain(flow).disagreement ==
        "rule 0 is guard/bad in the documents and guard/other in the table");
  const auto allowed = parse_flow(kEnds + "tls.sni=a.corp.test", kNow).value();
  CHECK(mixed.explain(allowed).disagreement ==
        "decide() says deny for rule by guard/other, but the rules come to allow for rule");
}

TEST_CASE("the nearest rules: all that each lacks, the least first") {
  Loaded loaded(
      policy("teams", "subject: {cidrs: [10.2.0.0/16]}",
             "    - {name: far, action: Allow, to: {domainNames: [a.test]}, protocols: [{tls: "
             "{ports: [443]}}]}\n") +
      policy("web", "subject: {cidrs: [10.1.0.0/16]}",
             "    - {name: no, action: Deny, to: {domainNames: [x.test]}}\n"
             "    - {name: dns, action: Allow, protocols: [{dns: {}}]}\n"
             "    - {name: get, action: Allow, to: {domainNames: [x.test], cidrs: [192.0.2.0/24]},"
             " protocols: [{tls: {}}, {http: {methods: [GET]}}]}\n"
             "    - {name: late, action: Allow}\n"));
  const auto say = [&loaded](const std::string& flow, size_t limit) {
    std::string out;
    const auto parsed = parse_flow(kEnds + flow, kNow).value();
    for (const NearRule& one : loaded.explainer.near_rules(parsed, limit)) {
      out += (out.empty() ? "" : "; ") + one.rule->name + " " + std::to_string(one.index);
      for (const Predicate& lacks : one.missing) out += " " + lacks.what;
    }
    return out;
  };
  CHECK(say("http.host=x.test http.method=POST", 9) ==
        "late 4; get 3 http.methods; dns 2 app; far 0 subject.cidrs app to.domainNames");
  CHECK(say("tls.sni=y.test", 9) ==
        "get 3 to.domainNames; far 0 subject.cidrs to.domainNames; dns 2 app");
  CHECK(say("tls.sni=y.test", 1) == "get 3 to.domainNames");
}
