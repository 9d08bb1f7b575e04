// Tests of policies: how they are read, judged and explained.
#include "policy/compile/policy_test.h"

#include <catch2/catch.hpp>

#include "tests/support/policy_builder.h"

using namespace sallyport;

namespace {

constexpr int64_t kNow = 1'800'000'000;

const std::string kPolicy = test::policy_text(R"(  subject: {labels: {job: train}}
  egress:
    - {name: block, action: Deny, to: {domainNames: [bad.test]}}
    - {name: hub, action: Allow, to: {domainNames: [good.test]}, protocols: [{tls: {}}], expiresAt: 2028-01-01T00:00:00Z}
)");

// Passes good.test on to kPolicy, past its own second rule.
const std::string kGuard = "---\n" + test::policy_text(R"(  tier: Admin
  egress:
    - {name: leave, action: Pass, to: {domainNames: [good.test]}}
    - {name: skipped, action: Deny, to: {domainNames: [good.test]}}
)",
                                                       "guard");

const std::string kHead = "apiVersion: sallyport/v1\nkind: PolicyTest\nmetadata: {name: s}\n";
const std::string kTrain = "identities: [{addresses: [10.1.2.3], labels: {job: train}}]\n";
const std::string kFlow = "flow: 'src=10.1.2.3 dst=203.0.113.9:443 tls.sni=";

std::expected<std::vector<PolicyTestSuite>, std::vector<Diagnostic>> load(const std::string& text) {
  return load_policy_tests(std::vector{SourceFile{"dir/t.yaml", text}}, kNow);
}

std::string errors(const std::string& text) {
  const auto suites = load(text);
  if (suites) return "";
  std::string out;
  for (const Diagnostic& one : suites.error()) out += to_string(one) + "\n";
  return out;
}

/// A line a test: "ok", or what was expected, what came and why.
std::vector<std::string> run(const std::string& text, const ReplayCapture& replay = {}) {
  const auto suites = load(text);
  if (!suites) FAIL(to_string(suites.error().front()));
  const std::vector sources{SourceFile{"p.yaml", kPolicy + kGuard}};
  const auto models = load_policies(sources);
  const auto table = test::load_table(sources);
  Explainer explainer(*models, *table);
  std::vector<std::string> out;
  for (const PolicyTestSuite& suite : *suites) {
    explainer.use_identities(suite.identities);
    for (const PolicyTestResult& one : run_policy_tests(suite, explainer, replay)) {
      std::string line = one.passed ? "ok" : one.expected + " | " + one.got;
      for (const std::string& why : one.why) line += " | " + why;
      out.push_back(std::move(line));
    }
  }
  return out;
}

std::string run_one(const std::string& name, const std::string& expect,
                    const std::string& head = kTrain) {
  return run(kHead + head + "tests:\n  - {name: t, " + kFlow + name + "', expect: {" + expect +
             "}}\n")
      .front();
}

}  // namespace

TEST_CASE("a policy test: what is expected, and what of it does not hold") {
  struct Row {
    std::string name, expect, said;
  };
  const auto row = GENERATE(values<Row>({
      {"good.test", "action: Allow", "ok"},
      {"good.test", "action: Allow, rule: p/hub, reason: rule, wouldDeny: false", "ok"},
      {"good.test", "rule: p/hub", "ok"},
      {"other.test", "action: Deny, rule: default_deny, reason: default_deny", "ok"},
      {"good.test", "action: Deny", "deny | allow by p/hub | p/hub (p.yaml:8) matches"},
      {"other.test", "action: Allow, rule: p/hub",
       "allow by p/hub | deny by default_deny | p/hub (p.yaml:8) does not match: to.domainNames "
       "wants good.test, the flow has other.test"},
      {"bad.test", "rule: p/hub",
       "p/hub | deny by p/block | p/hub was not tried: p/block (p.yaml:7) comes first and "
       "matches"},
      {"good.test", "rule: guard/skipped",
       "guard/skipped | allow by p/hub | guard/skipped was not tried: guard/leave (p.yaml:16) "
       "comes first and matches"},
      {"good.test", "rule: p/hug",
       "p/hug | allow by p/hub | there is no rule p/hug; did you mean p/hub?"},
      {"good.test", "wouldDeny: true", "would deny | allow by p/hub | p/hub (p.yaml:8) matches"},
      {"good.test", "reason: budget_exceeded",
       "(budget_exceeded) | allow by p/hub | p/hub (p.yaml:8) matches"},
      {"other.test", "action: Pending",
       "pending | deny by default_deny | guard/leave (p.yaml:16) does not match: to.domainNames "
       "wants good.test, the flow has other.test | p/block (p.yaml:7) does not match: "
       "to.domainNames wants bad.test, the flow has other.test | p/hub (p.yaml:8) does not match: "
       "to.domainNames wants good.test, the flow has other.test"},
  }));
  CAPTURE(row.name, row.expect);
  CHECK(run_one(row.name, row.expect) == row.said);
}

TEST_CASE("a policy test: now and identities are the suite's") {
  CHECK(run_one("good.test", "action: Pending", "") == "ok");
  CHECK(run_one("good.test", "action: Deny", "identities: []\n") == "ok");
  CHECK(run_one("good.test", "action: Deny", kTrain + "now: 2028-01-01T00:00:00Z\n") == "ok");
  CHECK(run_one("good.test", "action: Allow", kTrain + "now: 2027-12-31T23:59:59Z\n") == "ok");
  // A failed one can be asked about again, as it stands.
  const auto suites = load(kHead + kTrain + "now: 2028-01-01T00:00:00Z\ntests:\n  - {name: t, " +
                           kFlow + "a.b time=2026-01-01T00:00:00Z', expect: {action: Allow}}\n");
  const auto* flow = std::get_if<FlowDescription>(&suites->front().tests.front().subject);
  REQUIRE(flow != nullptr);
  CHECK(to_text(*flow, suites->front().now) ==
        "src=10.1.2.3 dst=203.0.113.9:443 tls.sni=a.b time=2026-01-01T00:00:00Z");
}

TEST_CASE("a policy test: flows of a capture") {
  const std::vector<std::string> records{
      R"({"event_type":"flow","src_ip":"10.1.2.3","dest_ip":"203.0.113.9","dest_port":443,"proto":"TCP",)"
      R"("app":"tls","host":"good.test","verdict":{"action":"allow"},)"
      R"("policy":{"name":"p","rule":"hub","reason":"rule"}})",
      R"({"event_type":"flow","src_ip":"10.1.2.4","dest_ip":"203.0.113.8","dest_port":80,"proto":"TCP",)"
      R"("app":"http1","host":"other.test","verdict":{"action":"deny"},)"
      R"("policy":{"reason":"default_deny"}})",
      R"({"event_type":"verdict","src_ip":"10.1.2.4","dest_ip":"203.0.113.8","dest_port":80,"proto":"TCP",)"
      R"("app":"http1","host":"other.test","verdict":{"action":"pending"},"policy":{}})"};
  size_t replays = 0;
  std::string path;
  const ReplayCapture replay = [&](const std::string& file) {
    ++replays;
    path = file;
    return std::expected<std::vector<std::string>, std::string>(records);
  };
  struct Row {
    std::string filter, expect, said;
  };
  const std::vector<Row> rows{
      {"host: '*.test'", "action: Allow", "allow | deny by default_deny"},
      {"host: good.test", "action: Allow, rule: p/hub, reason: rule", "ok"},
      {"host: 'g*'", "action: Deny", "deny | allow by p/hub | p/hub (p.yaml:8) matches"},
      {"host: nobody.test", "action: Deny",
       "deny | no flow: the filter selects none of the 2 in dir/c.pcap"},
      {"app: http", "action: Deny, rule: default_deny", "ok"},
      {"app: http1, port: 80", "action: Deny", "ok"},
      {"app: http2", "action: Deny",
       "deny | no flow: the filter selects none of the 2 in "
       "dir/c.pcap"},
      {"port: 443", "action: Allow", "ok"},
      {"dst: 203.0.113.8/32", "action: Deny", "ok"},
      {"src: 10.1.2.3/32, dst: 203.0.113.0/24", "action: Allow", "ok"},
  };
  std::string text = kHead + kTrain + "tests:\n";
  for (size_t i = 0; i < rows.size(); ++i) {
    text += "  - {name: t" + std::to_string(i) + ", capture: {file: c.pcap, filter: {" +
            rows[i].filter + "}}, expect: {" + rows[i].expect + "}}\n";
  }
  const auto lines = run(text, replay);
  for (size_t i = 0; i < rows.size(); ++i) {
    CAPTURE(rows[i].filter, rows[i].expect);
    CHECK(lines[i].starts_with(rows[i].said));
  }
  CHECK(replays == 1);
  CHECK(path == "dir/c.pcap");

  const ReplayCapture broken = [](const std::string&) {
    return std::expected<std::vector<std::string>, std::string>(std::unexpected("it is gone"));
  };
  CHECK(run(kHead + "tests: [{name: t, capture: {file: c}, expect: {action: Allow}}]\n", broken)
            .front() == "allow | it is gone");
}

TEST_CASE("a policy test: every mistake has its place") {
  CHECK(errors("kind: PolicyTest\nmetadata: {nam: x}\nnow: noon\n") ==
        "dir/t.yaml:1:1: error[E009]: the document needs the key 'apiVersion'\n"
        "dir/t.yaml:1:1: error[E009]: the document needs the key 'tests'\n"
        "dir/t.yaml:2:11: error[E009]: metadata needs the key 'name'\n"
        "dir/t.yaml:2:12: error[E008]: unknown key 'nam' in metadata (did you mean 'name'?)\n"
        "dir/t.yaml:3:6: error[E032]: 'noon' is not a time (write it like "
        "2026-12-01T00:00:00Z)\n");
  const auto test = [](const std::string& body) {
    return errors(kHead + "tests:\n  - {" + body + "}\n");
  };
  CHECK(test("name: t, flow: src=1, expect: {action: Alow, rule: x, reason: rulee}") ==
        "dir/t.yaml:5:21: error[E036]: '1' is not an IPv4 or IPv6 address (write src=10.1.2.3 or "
        "src=2001:db8::1, without a port)\n"
        "dir/t.yaml:5:21: error[E036]: the flow has no dst (write dst=203.0.113.9:443)\n"
        "dir/t.yaml:5:45: error[E011]: expect.action 'Alow' is not known (did you mean 'Allow'?)\n"
        "dir/t.yaml:5:57: error[E037]: 'x' is not a rule (write POLICY/RULE, or default_deny for "
        "none)\n"
        "dir/t.yaml:5:68: error[E011]: expect.reason 'rulee' is not known (did you mean "
        "'rule'?)\n");
  CHECK(test("name: t, expect: {}, flows: x") ==
        "dir/t.yaml:5:5: error[E009]: a test needs a flow or a capture, and one of them only\n"
        "dir/t.yaml:5:23: error[E015]: expect is empty and would hold for anything (write action: "
        "Allow, Deny or Pending)\n"
        "dir/t.yaml:5:27: error[E008]: unknown key 'flows' in a test (did you mean 'flow'?)\n");
  CHECK(test("name: t, capture: {filter: {port: 0, dst: 10.0.0.1/8, app: ssh}}, "
             "expect: {action: Deny}") ==
        "dir/t.yaml:5:24: error[E009]: capture needs the key 'file'\n"
        "dir/t.yaml:5:40: error[E021]: '0' is not a port (1 to 65535)\n"
        "dir/t.yaml:5:48: error[E020]: '10.0.0.1/8' has bits set right of its prefix length "
        "(write 10.0.0.0/8)\n"
        "dir/t.yaml:5:65: error[E011]: capture.filter.app 'ssh' is not known (one of tls, quic, "
        "http, http1, http2, dns, unknown)\n");
  CHECK(errors(kHead + "tests: []\n") ==
        "dir/t.yaml:4:8: error[E015]: tests is an empty list (leave it out, or list something)\n");
  const std::string twice = "  - {name: t, capture: {file: x}, expect: {action: Deny}}\n";
  CHECK(errors(kHead + "tests:\n" + twice + twice) ==
        "dir/t.yaml:6:12: error[E014]: test 't' is defined twice (first on line 5)\n");
}

TEST_CASE("a file with a PolicyTest in it holds tests") {
  CHECK(is_policy_test({"t", kHead + "tests: []\n"}));
  CHECK(is_policy_test({"t", "# nothing\n---\n" + kHead}));
  CHECK_FALSE(is_policy_test({"t", kPolicy}));
  CHECK_FALSE(is_policy_test({"t", "kind: ["}));
  CHECK_FALSE(is_policy_test({"t", "[PolicyTest]"}));
}
