// `sallyport policy explain` and `sallyport policy test`, as a user runs them.
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <pugixml.hpp>

#include "control/common/json_text.h"
#include "tests/unit/control/support.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

constexpr std::string_view kPolicy = R"(apiVersion: sallyport/v1
kind: EgressPolicy
metadata: {name: hub}
spec:
  subject: {cidrs: [10.1.0.0/16]}
  egress:
    - name: bad
      action: Deny
      to: {domainNames: [bad.test]}
    - name: models
      action: Allow
      to: {domainNames: ["*.hf.co"]}
      protocols: [{tls: {ports: [443]}}]
      destinationBinding: enforce
      budget: {bytesOut: 20GiB, window: 24h}
)";

constexpr std::string_view kTests = R"(apiVersion: sallyport/v1
kind: PolicyTest
metadata: {name: hub & co}
tests:
  - name: nobody else's names
    flow: src=10.1.2.3 dst=203.0.113.9:443 tls.sni=pypi.org
    expect: {action: Deny, rule: default_deny}
  - name: models
    flow: src=10.1.2.3 dst=203.0.113.9:443 tls.sni=hf.co
    expect: {action: Allow, rule: hub/models}
)";

constexpr const char* kEnds = "src=10.1.2.3 dst=203.0.113.9:443 ";

/// A folder with the policy and its tests in it, which is where commands run.
struct Fixture {
  TempDir folder;

  Fixture() {
    write("hub.yaml", kPolicy);
    write("hub_test.yaml", kTests);
  }
  void write(std::string_view name, std::string_view text) const {
    write_text(folder / name, text);
  }
  Finished run_here(std::vector<std::string> command) const {
    command.insert(command.begin(), {"/bin/sh", "-c", "cd \"$0\" && exec \"$@\"", folder.path()});
    return run(command);
  }
  Finished cli(const std::string& command, std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {program("sallyport"), "policy", command});
    return run_here(std::move(arguments));
  }
  Finished explain(const std::string& words, std::vector<std::string> more = {}) const {
    more.insert(more.begin(), {"hub.yaml", "--flow", kEnds + words});
    return cli("explain", more);
  }
  Finished test(std::vector<std::string> more = {}) const {
    more.insert(more.begin(), {"hub.yaml", "hub_test.yaml"});
    return cli("test", more);
  }
};

std::string first_line(const Finished& finished) {
  return finished.out.substr(0, finished.out.find('\n'));
}

}  // namespace

TEST_CASE("policy explain: an allowed flow, and what came before") {
  const Fixture fixture;
  const Finished got = fixture.explain("tls.sni=cdn.hf.co binding=bound");
  CHECK(got.status == 0);
  CHECK(got.err.empty());
  CHECK(got.out ==
        "allowed by hub/models (hub.yaml:10)\n"
        "  src=10.1.2.3 dst=203.0.113.9:443 tls.sni=cdn.hf.co binding=bound\n"
        "\n"
        "Why it decides: Allow in tier Application, priority 100, mode enforce; log decisions; "
        "destinationBinding enforce; budget 20.0 GiB in 1 d 0 h by subject, then deny\n"
        "  CONDITION           THE RULE WANTS                           THE FLOW HAS\n"
        "  subject.cidrs       10.1.0.0/16                              10.1.2.3\n"
        "  protocols           tls 443                                  tcp 443\n"
        "  app                 tls                                      tls\n"
        "  to.domainNames      *.hf.co                                  cdn.hf.co\n"
        "  destinationBinding  an address that a trusted resolver gave  bound\n"
        "\n"
        "Rules that come before it and do not match:\n"
        "  RULE     AT          ACTION  FAILS ON        THE RULE WANTS  THE FLOW HAS\n"
        "  hub/bad  hub.yaml:7  Deny    to.domainNames  bad.test        cdn.hf.co\n");
}

TEST_CASE("policy explain: the first line says what happens, the status whether it may pass") {
  struct Row {
    std::string words, said;
    int status;
  };
  const auto row = GENERATE(values<Row>({
      {"tls.sni=cdn.hf.co binding=bound", "allowed by hub/models (hub.yaml:10)", 0},
      {"tls.sni=bad.test", "denied by hub/bad (hub.yaml:7)", 1},
      {"tls.sni=pypi.org", "denied: no rule matches (default_deny)", 1},
      {"tls.sni=cdn.hf.co binding=unbound",
       "denied by hub/models (hub.yaml:10): no trusted resolver gave 203.0.113.9 for cdn.hf.co", 1},
      {"tls.sni=cdn.hf.co binding=bound budget=spent",
       "denied by hub/models (hub.yaml:10): its budget is spent", 1},
      {"tls.sni=cdn.hf.co", "pending: it depends on what is not known yet: binding", 1},
      {"app=tls", "pending: it depends on what is not known yet: name", 1},
      {"app=http", "denied: no rule that could still match lets it pass (default_deny)", 1},
  }));
  CAPTURE(row.words);
  const Fixture fixture;
  const Finished got = fixture.explain(row.words);
  CHECK(got.status == row.status);
  CHECK(first_line(got) == row.said);
}

TEST_CASE("policy explain: a pending flow, and which rules wait for what") {
  const Fixture fixture;
  const auto open_rules = [&](const std::string& words) {
    const std::string out = fixture.explain(words).out;
    return out.substr(std::min(out.find("Rules that match, or could:"), out.size()));
  };
  CHECK(open_rules("") ==
        "Rules that match, or could:\n"
        "  RULE        AT           ACTION  STATE        WAITS FOR\n"
        "  hub/bad     hub.yaml:7   Deny    could match  name\n"
        "  hub/models  hub.yaml:10  Allow   could match  app, name\n");
  CHECK(open_rules("tls.sni=a.hf.co") ==
        "Rules that match, or could:\n"
        "  RULE        AT           ACTION  STATE    WAITS FOR\n"
        "  hub/models  hub.yaml:10  Allow   matches  binding\n"
        "\n"
        "Rules that do not match:\n"
        "  RULE     AT          ACTION  FAILS ON        THE RULE WANTS  THE FLOW HAS\n"
        "  hub/bad  hub.yaml:7  Deny    to.domainNames  bad.test        a.hf.co\n");
}

TEST_CASE("policy explain: audit lets pass and says so") {
  const Fixture fixture;
  fixture.write("hub.yaml", replaced(std::string(kPolicy), "spec:\n", "spec:\n  mode: audit\n"));
  const Finished denied = fixture.explain("tls.sni=bad.test");
  CHECK(denied.status == 0);
  CHECK(first_line(denied) ==
        "allowed by hub/bad (hub.yaml:8), but would be denied were it not for audit: policy mode "
        "audit");
  const Finished unbound = fixture.explain("tls.sni=a.hf.co binding=unbound");
  CHECK(unbound.status == 0);
  CHECK(first_line(unbound) ==
        "allowed by hub/models (hub.yaml:11), but would be denied were it not for audit: no "
        "trusted resolver gave 203.0.113.9 for a.hf.co");
}

TEST_CASE("policy explain --format json") {
  const Fixture fixture;
  const Finished got = fixture.explain("tls.sni=pypi.org", {"--format", "json"});
  CHECK(got.status == 1);
  const Json json = Json::parse(got.out);
  CHECK(json["verdict"] == "deny");
  CHECK(json["reason"] == "default_deny");
  CHECK(json["decided_by"].is_null());
  CHECK(json["flow"] == std::string(kEnds) + "tls.sni=pypi.org");
  REQUIRE(json["rules"].size() == 2);
  CHECK(json["rules"][1]["rule"] == "models");
  CHECK(json["rules"][1]["line"] == 10);
  CHECK(json["rules"][1]["role"] == "failed");
  CHECK(json["rules"][1]["conditions"][3] == Json{{"condition", "to.domainNames"},
                                                  {"state", "failed"},
                                                  {"wants", "*.hf.co"},
                                                  {"has", "pypi.org"}});
  const Json pending = Json::parse(fixture.explain("app=tls", {"--format", "json"}).out);
  CHECK(pending["waits_for"] == Json::array({"name"}));
}

TEST_CASE("policy explain: of many rules the nearest are shown, and --all shows the rest") {
  const Fixture fixture;
  std::string text(kPolicy);
  for (int i = 0; i < 60; ++i) {
    text += "    - {name: r" + std::to_string(i) + ", action: Deny, protocols: [{udp: {}}]}\n";
  }
  fixture.write("hub.yaml", text);
  const Finished some = fixture.explain("tls.sni=pypi.org");
  CHECK(some.out.contains("hub/models"));
  CHECK(some.out.contains("hub/r47 "));
  CHECK_FALSE(some.out.contains("hub/r48 "));
  CHECK(some.out.ends_with("  and 12 rules that came less near; --all lists them\n"));
  CHECK(fixture.explain("tls.sni=pypi.org", {"--all"}).out.contains("hub/r59 "));
  const Json json = Json::parse(fixture.explain("tls.sni=pypi.org", {"--format", "json"}).out);
  CHECK(json["rules"].size() == 50);
  CHECK(json["rules_left_out"] == 12);
}

TEST_CASE("policy explain: labels come from --identities") {
  const Fixture fixture;
  fixture.write("hub.yaml",
                replaced(std::string(kPolicy), "cidrs: [10.1.0.0/16]", "labels: {job: train}"));
  fixture.write("feed.json", R"({"apiVersion": "sallyport/v1", "kind": "IdentityFeed", "identities":
                       [{"addresses": ["10.1.2.3"], "labels": {"job": "train"}}]})");
  const std::string words = "tls.sni=bad.test";
  CHECK(fixture.explain(words).out.starts_with("denied: no rule that could still match"));
  CHECK(fixture.explain(words, {"--identities", "feed.json"}).out.starts_with("denied by hub/bad"));
  fixture.write("feed.json", "kind: IdentityFeed\n");
  const Finished bad = fixture.explain(words, {"--identities", "feed.json"});
  CHECK(bad.status == 2);
  CHECK(bad.err.starts_with("feed.json:1:1: error[E009]: the document needs the key"));
}

TEST_CASE("policy explain: what is wrong with the question is an input error") {
  const Fixture fixture;
  const Finished flow = fixture.explain("tls.sin=x proto=udp");
  CHECK(flow.status == 2);
  CHECK(flow.out.empty());
  CHECK(
      flow.err ==
      "--flow: error[E036]: unknown key 'tls.sin'\n    help: did you mean 'tls.sni'?\n\n1 error\n");
  const Finished json = fixture.explain("tls.sin=x", {"--format", "json"});
  CHECK(json.status == 2);
  CHECK(Json::parse(json.out)["diagnostics"][0]["code"] == "E036");
  fixture.write("hub.yaml", replaced(std::string(kPolicy), "Allow", "Alow"));
  const Finished policy = fixture.explain("tls.sni=x");
  CHECK(policy.status == 2);
  CHECK(policy.err.starts_with("hub.yaml:11:15: error[E011]"));
  CHECK(fixture.cli("explain", {"hub.yaml"}).status == 2);
  CHECK(fixture.cli("explain", {"nowhere.yaml", "--flow", kEnds}).status == 2);
}

TEST_CASE("policy test: lines like a test runner's") {
  const Fixture fixture;
  const Finished got = fixture.test();
  CHECK(got.status == 1);
  CHECK(got.err.empty());
  CHECK(got.out ==
        "ok    hub & co: nobody else's names\n"
        "FAIL  hub & co: models (hub_test.yaml:8)\n"
        "        expected  allow by hub/models\n"
        "        got       deny by default_deny\n"
        "        flow      src=10.1.2.3 dst=203.0.113.9:443 tls.sni=hf.co\n"
        "        why       hub/models (hub.yaml:10) does not match: to.domainNames wants *.hf.co, "
        "the flow has hf.co\n"
        "1 passed, 1 failed\n");
  fixture.write("hub_test.yaml",
                replaced(std::string(kTests), "tls.sni=hf.co", "tls.sni=a.hf.co binding=bound"));
  // The folder holds both.
  const Finished good = fixture.cli("test", {"."});
  CHECK(good.status == 0);
  CHECK(good.out ==
        "ok    hub & co: nobody else's names\nok    hub & co: models\n"
        "2 passed, 0 failed\n");
}

TEST_CASE("policy test: results as JSON and as JUnit XML") {
  const Fixture fixture;
  const Finished got = fixture.test({"--format", "json", "--junit", "results.xml"});
  CHECK(got.status == 1);
  const Json json = Json::parse(got.out);
  CHECK(json["ok"] == false);
  CHECK(json["passed"] == 1);
  CHECK(json["tests"][0]["ok"] == true);
  CHECK(json["tests"][1]["test"] == "models");
  CHECK(json["tests"][1]["line"] == 8);
  CHECK(json["tests"][1]["got"] == "deny by default_deny");

  pugi::xml_document document;
  REQUIRE(document.load_file((fixture.folder / "results.xml").c_str()));
  const auto suite = document.child("testsuites").child("testsuite");
  CHECK(std::string(suite.attribute("name").value()) == "hub & co");
  CHECK(suite.attribute("tests").as_int() == 2);
  CHECK(suite.attribute("failures").as_int() == 1);
  const auto failed = suite.find_child_by_attribute("testcase", "name", "models");
  CHECK(std::string(failed.child("failure").attribute("message").value()) ==
        "expected allow by hub/models, got deny by default_deny");
  CHECK(std::string(failed.child("failure").text().get()).contains("to.domainNames"));
  const Finished unwritable = fixture.test({"--junit", "no/x.xml"});
  CHECK(unwritable.status == 2);
}

TEST_CASE("policy test: identities are the suite's, or else those of --identities") {
  const Fixture fixture;
  fixture.write("hub.yaml",
                replaced(std::string(kPolicy), "cidrs: [10.1.0.0/16]", "labels: {job: train}"));
  fixture.write("feed.json", R"({apiVersion: sallyport/v1, kind: IdentityFeed, identities:
                       [{addresses: [10.1.2.3], labels: {job: train}}]})");
  const auto tests = [](const std::string& name, const std::string& more) {
    return "---\napiVersion: sallyport/v1\nkind: PolicyTest\nmetadata: {name: " + name + "}\n" +
           more +
           "tests: [{name: t, flow: src=10.1.2.3 dst=203.0.113.9:443 tls.sni=bad.test, "
           "expect: {rule: hub/bad}}]\n";
  };
  fixture.write("hub_test.yaml", tests("none", "identities: []\n") + tests("feed", ""));
  const Finished got = fixture.test({"--identities", "feed.json"});
  CHECK(got.out.contains("FAIL  none: t"));
  CHECK(got.out.contains("ok    feed: t"));
  CHECK(fixture.test().out.contains("FAIL  feed: t"));
}

TEST_CASE("policy test: a mistake in any file is an input error") {
  const Fixture fixture;
  const Finished none = fixture.cli("test", {"hub.yaml"});
  CHECK(none.status == 2);
  CHECK(none.err ==
        "hub.yaml: error[E024]: there is no PolicyTest in the given files\n"
        "    help: name the policy and its tests\n\n1 error\n");
  CHECK(fixture.cli("test", {"hub_test.yaml"}).status == 2);
  fixture.write("hub_test.yaml", replaced(std::string(kTests), "expect", "expects"));
  const Finished bad = fixture.test();
  CHECK(bad.status == 2);
  CHECK(bad.err.contains(":7:5: error[E008]: unknown key 'expects' in a test\n  7 | "));
  CHECK(bad.err.contains("    help: did you mean 'expect'?\n"));
  fixture.write("hub_test.yaml", kTests);
  fixture.write("hub.yaml", replaced(std::string(kPolicy), "Allow", "Alow"));
  const Finished policy = fixture.test();
  CHECK(policy.status == 2);
  CHECK(policy.err.contains("    help: did you mean 'Allow'?\n"));
  CHECK(policy.err.contains("^~~~\n"));
}

TEST_CASE("policy test: captures go through the data plane beside it") {
  const Fixture fixture;
  // A copy in a folder of its own, so that what stands beside it is ours.
  std::filesystem::copy_file(program("sallyport"), fixture.folder / "sallyport");
  const std::string fake = fixture.folder / "sallyport-dataplane";
  write_text(fake, R"(#!/bin/sh
echo "$@" >> "$(dirname "$0")/calls"
[ -s /proc/self/fd/$3 ] || exit 9
echo '{"event_type":"flow","src_ip":"10.1.2.3","dest_ip":"203.0.113.9","dest_port":443,"proto":"TCP","app":"tls","host":"a.hf.co","verdict":{"action":"allow"},"policy":{"name":"hub","rule":"models","reason":"rule"}}'
)");
  REQUIRE(::chmod(fake.c_str(), 0755) == 0);
  fixture.write("hub_test.yaml",
                "apiVersion: sallyport/v1\nkind: PolicyTest\nmetadata: {name: c}\ntests:\n"
                "  - {name: a, capture: {file: x.pcap}, expect: {rule: hub/models}}\n"
                "  - {name: b, capture: {file: x.pcap, filter: {host: b.hf.co}}, expect: {action: "
                "Deny}}\n");
  const std::vector<std::string> command{"./sallyport", "policy", "test", "hub.yaml",
                                         "hub_test.yaml"};
  const Finished got = fixture.run_here(command);
  CAPTURE(got.out, got.err);
  CHECK(got.status == 1);
  CHECK(got.out.contains("ok    c: a\n"));
  CHECK(got.out.contains("got       no flow: the filter selects none of the 1 in "));
  const std::string calls = read_text(fixture.folder / "calls");
  CHECK(calls.contains("--pcap x.pcap --out -\n"));
  CHECK(std::count(calls.begin(), calls.end(), '\n') == 1);

  write_text(fake, "#!/bin/sh\necho 'first' >&2\necho 'x.pcap: it is no capture' >&2\nexit 2\n");
  CHECK(fixture.run_here(command).out.contains(
      "got       the capture cannot be replayed: x.pcap: it is no capture\n"));
}
