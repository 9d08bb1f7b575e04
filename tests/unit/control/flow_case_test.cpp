// Why a flow of the log was denied: which record tells, and what the policy says of it.
#include "control/cli/flow_case.h"

#include <catch2/catch.hpp>

#include "control/cli/flow_reasons.h"
#include "control/common/json_text.h"
#include "control/common/policy_archive.h"
#include "policy/compile/compile.h"
#include "tests/unit/control/support.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

const std::string kPolicy = R"(apiVersion: sallyport/v1
kind: EgressPolicy
metadata: {name: names}
spec:
  egress:
    - {name: never, action: Deny, to: {domainNames: [bad.test]}}
    - name: hub
      action: Allow
      to: {domainNames: [hub.test]}
      protocols: [{tls: {ports: [443]}}, {http: {ports: [80], methods: [GET], paths: ["/v1/**"]}}]
    - name: bound
      action: Allow
      to: {domainNames: [bound.test]}
      destinationBinding: enforce
      budget: {bytesOut: 1GiB, window: 24h}
)";

std::string revision() {
  const std::vector<SourceFile> sources{{.name = "p.yaml", .text = kPolicy}};
  return revision_text(compile_policy(sources).value().revision);
}

Json record(const Json& more) {
  Json out{
      {"timestamp", "2026-11-22T23:59:30.512345+0000"},
      {"flow_id", 281474976710657},
      {"event_type", "verdict"},
      {"src_ip", "10.1.2.3"},
      {"src_port", 40001},
      {"dest_ip", "203.0.113.9"},
      {"dest_port", 443},
      {"proto", "TCP"},
      {"app_proto", "tls"},
      {"tls", {{"sni", "other.test"}}},
      {"verdict", {{"action", "deny"}}},
      {"policy", {{"revision", revision()}, {"would_deny", false}, {"reason", "default_deny"}}},
      {"core", 1},
      {"schema", 1}};
  if (!more.is_null()) out.merge_patch(more);
  return out;
}

Json decided(const std::string& name, const std::string& rule, const std::string& reason) {
  return {{"tls", {{"sni", name}}},
          {"policy", {{"name", "names"}, {"rule", rule}, {"reason", reason}}}};
}

void add(FlowCase& to, const Json& more) {
  const std::string line = dump(record(more));
  to.add(read_logged_record(line).value_or(LoggedRecord{}), line);
}

const Json kAllowed{{"verdict", {{"action", "allow"}}}};

/// A log, and a state folder with the policy.
struct Fixture {
  TempDir folder;

  explicit Fixture(const Json& more) {
    write_text(folder / "log", dump(record(more)) + "\n");
    write_text(folder / "p.yaml", kPolicy);
    const std::vector<SourceFile> sources{{.name = "p.yaml", .text = kPolicy}};
    REQUIRE(PolicyArchive(folder.path()).keep(compile_policy(sources).value().revision, sources));
  }
  Finished explain(std::vector<std::string> more = {}) const {
    more.insert(more.end(), {"--format", "text"});
    return explain_into_pipe(std::move(more));
  }
  Finished explain_into_pipe(std::vector<std::string> more = {}) const {
    more.insert(more.begin(), {program("sallyport"), "flows", "--log", folder / "log",
                               "--state-dir", folder.path(), "--explain"});
    return run(more);
  }
};

}  // namespace

TEST_CASE("each reason that a record can have is explained", "[docs]") {
  const char* source = std::getenv("SALLYPORT_SOURCE");
  REQUIRE(source != nullptr);
  const Json schema = Json::parse(
      read_text(std::filesystem::path(source) / "configs" / "schema" / "flow-log.schema.json"));
  const Json& reasons = schema["$defs"]["policy"]["properties"]["reason"]["enum"];
  REQUIRE(reasons.size() > 10);
  for (const Json& one : reasons) {
    CAPTURE(one);
    CHECK(flow_reason(one.get<std::string>()).has_value());
  }
  CHECK_FALSE(flow_reason("other"));
}

TEST_CASE("the record that is explained: the last flow's last denial") {
  const auto id = [](unsigned number) { return Json{{"flow_id", number}}; };
  const auto both = [](Json one, const Json& other) {
    one.merge_patch(other);
    return one;
  };
  const Json end{{"event_type", "flow"}, {"flow", {{"bytes_toserver", 9}}}};
  struct Row {
    const char* what;
    std::vector<Json> records;
    uint64_t flow;
    const char* action;
    size_t earlier;
  };
  const std::vector<Row> rows{
      {"the last flow", {id(1), id(2)}, 2, "deny", 0},
      {"its denial, not what was allowed then", {id(1), both(id(1), kAllowed)}, 1, "deny", 0},
      {"its last verdict", {both(id(1), kAllowed)}, 1, "allow", 0},
      {"a denial behind what was allowed", {both(id(1), kAllowed), id(1)}, 1, "deny", 0},
      {"not the end of another", {id(1), id(2), both(id(1), end)}, 2, "deny", 0},
      {"an end where there is no more", {both(id(1), end)}, 1, "deny", 0},
      {"the id again", {id(1), both(id(1), {{"src_port", 2}})}, 1, "deny", 1},
      {"no start", {id(1), {{"event_type", "start"}, {"flow_id", 2}}}, 1, "deny", 0},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    FlowCase which;
    for (const Json& one : row.records) add(which, one);
    CHECK(which.record().flow_id == row.flow);
    CHECK(which.record().action == row.action);
    CHECK(which.earlier() == row.earlier);
  }
  FlowCase none;
  CHECK_FALSE(none.found());
  add(none, {{"event_type", "gap"}});
  CHECK_FALSE(none.found());
}

TEST_CASE("a record is decided anew, with what its verdict implies, as the gateway decided it") {
  struct Row {
    const char* what;
    Json record;
  };
  const auto row = GENERATE(values<Row>({
      {"no rule", {}},
      {"a rule", decided("bad.test", "never", "rule")},
      {"unbound", decided("bound.test", "bound", "destination_binding")},
      {"a spent budget", decided("bound.test", "bound", "budget_exceeded")},
      {"no name in the hello", {{"tls", {{"sni", nullptr}, {"version", "TLS 1.3"}}}}},
      {"bytes that are nothing known", {{"app_proto", "unknown"}, {"tls", nullptr}}},
  }));
  CAPTURE(row.what);
  const std::vector<SourceFile> sources{{.name = "p.yaml", .text = kPolicy}};
  const PolicyModels models = load_policies(sources).value();
  const auto table = PolicyTable::load(compile_policy(sources)->image, 1).value();
  Explainer explainer(models, *table);
  FlowCase which;
  add(which, row.record);
  const auto finding = find_out(which, explainer);
  REQUIRE(finding);
  CHECK(finding->explanation.disagreement.empty());
  CHECK(finding->agrees);
  // The other way round it does not.
  FlowCase other;
  add(other, kAllowed);
  CHECK_FALSE(find_out(other, explainer)->agrees);
}

TEST_CASE("flows --explain: the facts, the rule and what would have allowed it") {
  const Fixture fixture(Json{
      {"event_type", "verdict"},
      {"app_proto", "http"},
      {"dest_port", 80},
      {"tls", nullptr},
      {"http", {{"hostname", "hub.test"}, {"http_method", "POST"}, {"url", "/v1/x\x1b[2J\n"}}}});
  const Finished got = fixture.explain({"--id", "281474976710657"});
  CHECK(got.status == 0);
  CHECK(got.err.empty());
  CHECK(got.out ==
        "Flow 281474976710657\n"
        "  time      2026-11-22T23:59:30.512345+0000\n"
        "  from      10.1.2.3:40001\n"
        "  to        203.0.113.9:80 TCP, http\n"
        "  name      hub.test\n"
        "  verdict   deny, reason default_deny\n"
        "  revision  " +
            revision() +
            "\n\n"
            "default_deny: no rule matches, or none that could would allow it.\n\n"
            "By the policy of revision " +
            revision() +
            ":\n"
            "denied: no rule matches (default_deny)\n"
            "  src=10.1.2.3 dst=203.0.113.9:80 http.host=hub.test http.method=POST "
            "http.path=\"/v1/x\\x1b[2J\\n\"\n\n"
            "What would have allowed it, the nearest rules first:\n"
            "  RULE         AT         LACKS           THE RULE WANTS  THE FLOW HAS\n"
            "  names/hub    p.yaml:7   http.methods    GET             POST\n"
            "  names/bound  p.yaml:11  to.domainNames  bound.test      hub.test\n");
}

TEST_CASE("flows --explain: a rule that denies, and what stands behind it") {
  const Fixture fixture(Json(decided("bad.test", "never", "rule")));
  const Finished got = fixture.explain();
  CHECK(got.status == 0);
  CHECK(got.out.contains("  verdict   deny by names/never, reason rule\n"));
  CHECK(got.out.contains("\ndenied by names/never (p.yaml:6)\n"));
  CHECK(got.out.contains("  names/hub *    p.yaml:7   to.domainNames  hub.test        bad.test\n"));
  CHECK(got.out.ends_with("  * behind names/never (p.yaml:6), which would have to let it pass\n"));
}

TEST_CASE("flows --explain: what the policy did not decide needs no policy") {
  const Fixture fixture(Json{{"policy", {{"reason", "malformed"}, {"revision", "000000000000"}}}});
  const Finished got = fixture.explain();
  CHECK(got.status == 0);
  CHECK(got.out.contains("\nmalformed: the client's first bytes break their protocol.\n"));
  CHECK(got.out.contains("no rule would have changed it"));
  CHECK_FALSE(got.out.contains("What would have allowed"));
}

TEST_CASE("flows --explain: a policy that is gone, and one in its place") {
  const Fixture fixture(Json{{"policy", {{"revision", "0123456789ab"}}}});
  const Finished gone = fixture.explain();
  CHECK(gone.status == 2);
  CHECK(gone.out.starts_with("Flow 281474976710657\n"));
  CHECK(gone.err == "sallyport: error: the policy of revision 0123456789ab is not in " +
                        (fixture.folder / "policies").string() +
                        ", where the agent keeps the last 16 that were in force; give the files of "
                        "that policy with --policy FILE\n");
  const Finished piped = fixture.explain_into_pipe();
  CHECK(piped.status == 2);
  CHECK(piped.err == gone.err);
  const Json facts = Json::parse(piped.out);
  CHECK(facts["record"]["flow_id"] == 281474976710657);
  CHECK(facts["by_policy"] == true);
  CHECK(gone.err == "sallyport: error: " + facts["error"].get<std::string>() + "\n");
  CHECK_FALSE(facts.contains("explanation"));
  const Finished given = fixture.explain({"--policy", fixture.folder / "p.yaml"});
  CHECK(given.status == 0);
  CHECK(given.err == "sallyport: note: this policy is revision " + revision() +
                         ", the flow was decided by 0123456789ab\n");
  CHECK(given.out.contains("denied: no rule matches (default_deny)"));
}

TEST_CASE("flows --explain: a verdict that the policy does not give is said") {
  const Fixture fixture(kAllowed);
  const Finished got = fixture.explain();
  CHECK(got.status == 0);
  CHECK(got.out.contains("\nThat is not what the log says."));
  CHECK_FALSE(got.out.contains("(truncated)"));
  Json cut = kAllowed;
  cut["truncated"] = {"url"};
  CHECK(Fixture(cut).explain().out.contains("(truncated)"));
}

TEST_CASE("flows --explain: statuses and JSON") {
  const Fixture fixture(Json::object());
  CHECK(fixture.explain({"--id", "5"}).status == 1);
  CHECK(fixture.explain({"--host", "nobody.test"}).status == 1);
  CHECK(fixture.explain({"--follow"}).status == 2);
  const Finished unreadable = fixture.explain_into_pipe({"--policy", "/nonexistent.yaml"});
  CHECK(unreadable.status == 2);
  CHECK(Json::parse(unreadable.out)["diagnostics"].size() == 1);
  CHECK(Json::parse(unreadable.out)["record"]["flow_id"] == 281474976710657);
  const Json json = Json::parse(fixture.explain_into_pipe().out);
  CHECK(json["record"]["flow_id"] == 281474976710657);
  CHECK(json["by_policy"] == true);
  CHECK(json["revision"] == revision());
  CHECK(json["agrees_with_record"] == true);
  CHECK(json["explanation"]["verdict"] == "deny");
  CHECK(json["near_rules"][0]["rule"] == "hub");
  CHECK(json["near_rules"][0]["lacks"][0]["condition"] == "to.domainNames");
}
