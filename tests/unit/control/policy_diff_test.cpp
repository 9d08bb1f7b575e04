// `sallyport policy diff` and the warnings of `sallyport policy check`, as a user runs them.
#include <catch2/catch.hpp>

#include "control/common/json_text.h"
#include "tests/unit/control/support.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

constexpr std::string_view kOld = R"(apiVersion: sallyport/v1
kind: EgressPolicy
metadata: {name: hf-pull}
spec:
  subject: {cidrs: [10.1.0.0/16]}
  egress:
    - name: hub
      action: Allow
      to: {domainNames: [huggingface.co]}
      protocols: [{tls: {ports: [443]}}]
      destinationBinding: audit
)";

/// A folder with two policies, where commands run.
struct Fixture {
  TempDir folder;

  Fixture() {
    write_text(folder / "old.yaml", kOld);
    write_text(folder / "new.yaml",
               replaced(std::string(kOld), "[huggingface.co]", "[huggingface.co, \"*.hf.co\"]"));
  }
  Finished cli(std::vector<std::string> arguments, const std::string& input = "") const {
    write_text(folder / "input", input);
    arguments.insert(arguments.begin(), {"/bin/sh", "-c", "cd \"$0\" && exec \"$@\" < input",
                                         folder.path(), program("sallyport"), "policy"});
    return run(arguments);
  }
};

std::string record(const std::string& name, const std::string& more = "") {
  return R"({"src_ip":"10.1.2.3","dest_ip":"203.0.113.9","dest_port":443,"proto":"TCP",)"
         R"("app":"tls","host":")" +
         name + "\"" + more + "}\n";
}

}  // namespace

TEST_CASE("policy diff: something is newly allowed") {
  const Fixture fixture;
  const Finished got = fixture.cli({"diff", "old.yaml", "new.yaml"});
  CHECK(got.status == 1);
  CHECK(got.err.empty());
  CHECK(got.out ==
        "CHANGE         FLOWS                   PROTOCOL  BEFORE                NOW                "
        "   REMARK\n"
        "newly allowed  10.1.0.0/16 -> *.hf.co  tls:443   denied: default_deny  allowed: "
        "hf-pull/hub  address not from a trusted resolver; would_deny\n"
        "newly allowed  10.1.0.0/16 -> *.hf.co  tls:443   denied: default_deny  allowed: "
        "hf-pull/hub  address from a trusted resolver\n"
        "\n"
        "2 newly allowed, 0 newly denied, 0 no longer logged, 0 other changes\n");
}

TEST_CASE("policy diff: nothing is newly allowed") {
  const Fixture fixture;
  const Finished less = fixture.cli({"diff", "new.yaml", "old.yaml"});
  CHECK(less.status == 0);
  CHECK(less.out.find("newly denied  10.1.0.0/16 -> *.hf.co") != std::string::npos);
  const Finished same = fixture.cli({"diff", "old.yaml", "old.yaml"});
  CHECK(same.status == 0);
  CHECK(same.out == "no change\n");
}

TEST_CASE("policy diff: folders, and input that is no policy") {
  const Fixture fixture;
  std::filesystem::create_directory(fixture.folder / "before");
  write_text(fixture.folder / "before" / "p.yaml", kOld);
  CHECK(fixture.cli({"diff", "before", "old.yaml"}).out == "no change\n");
  CHECK(fixture.cli({"diff", "none.yaml", "old.yaml"}).status == 2);
  write_text(fixture.folder / "bad.yaml", "kind: x\n");
  const Finished bad = fixture.cli({"diff", "old.yaml", "bad.yaml"});
  CHECK(bad.status == 2);
  CHECK(bad.err.find("bad.yaml:1") != std::string::npos);
  CHECK(fixture.cli({"diff", "old.yaml"}).status == 2);
}

TEST_CASE("policy diff --format json") {
  const Fixture fixture;
  const Finished got = fixture.cli({"diff", "--format", "json", "old.yaml", "new.yaml"});
  CHECK(got.status == 1);
  const Json json = Json::parse(got.out);
  CHECK(json["newly_allowed"] == 2);
  CHECK(json["complete"] == true);
  CHECK(json["left_out"] == 0);
  REQUIRE(json["changes"].size() == 2);
  const Json& change = json["changes"][0];
  CHECK(change["change"] == "newly_allowed");
  CHECK(change["subjects"] == Json::array({"10.1.0.0/16"}));
  CHECK(change["destination"] == "*.hf.co");
  CHECK(change["protocol"] == "tls:443");
  CHECK(change["was"] == "deny");
  CHECK(change["old_rules"] == Json::array({"default_deny"}));
  CHECK(change["is"] == "allow");
  CHECK(change["new_rules"] == Json::array({"hf-pull/hub"}));
  // What explain takes.
  const Finished explained =
      fixture.cli({"explain", "new.yaml", "--flow", change["example"].get<std::string>()});
  CHECK(explained.status == 0);
}

TEST_CASE("policy diff --flows: which recorded flows would change") {
  const Fixture fixture;
  const std::string flows =
      record("huggingface.co") + "\n" + record("cdn.hf.co") + record("pypi.org");
  write_text(fixture.folder / "flows.ndjson", flows);
  const Finished got = fixture.cli({"diff", "old.yaml", "new.yaml", "--flows", "flows.ndjson"});
  CHECK(got.status == 1);
  const std::string tail = got.out.substr(got.out.find("LINE"));
  CHECK(tail ==
        "LINE  FLOW                                                BEFORE              NOW\n"
        "   3  src=10.1.2.3 dst=203.0.113.9:443 tls.sni=cdn.hf.co  deny: default_deny  allow: "
        "hf-pull/hub\n"
        "\n"
        "1 of 3 recorded flows would change: 1 newly allowed, 0 newly denied\n");
  const Finished piped =
      fixture.cli({"diff", "new.yaml", "old.yaml", "--flows", "-", "--format", "json"}, flows);
  CHECK(piped.status == 0);
  const Json json = Json::parse(piped.out);
  CHECK(json["flows"]["read"] == 3);
  CHECK(json["flows"]["newly_denied"] == 1);
  CHECK(json["flows"]["flows"][0]["line"] == 3);
  CHECK(json["flows"]["flows"][0]["before"]["verdict"] == "allow");
  CHECK(json["flows"]["flows"][0]["after"]["decided_by"] == "default_deny");
}

TEST_CASE("policy diff --flows: records that cannot be read") {
  const Fixture fixture;
  const auto with = [&](const std::string& flows) {
    return fixture.cli({"diff", "old.yaml", "old.yaml", "--flows", flows}, "{\n");
  };
  CHECK(with("none").status == 2);
  const Finished bad = with("-");
  CHECK(bad.status == 2);
  CHECK(bad.err.find("line 1: not a JSON object") != std::string::npos);
}

TEST_CASE("policy diff --flows: a line that is no record hides no other") {
  const Fixture fixture;
  const std::string lines = record("huggingface.co") + "not json\n" + record("huggingface.co");
  const auto got =
      fixture.cli({"diff", "old.yaml", "new.yaml", "--flows", "-", "--format", "json"}, lines);
  const auto json = Json::parse(got.out);
  CHECK(json["flows"]["read"] == 2);
  CHECK(json["flows"]["unreadable"] == 1);
  CHECK(json["flows"]["unreadable_lines"][0].get<std::string>().starts_with("line 2: "));
  CHECK(got.err.find("1 line was passed over") != std::string::npos);
}

TEST_CASE("policy diff --identities: labels decide recorded flows") {
  const Fixture fixture;
  const std::string labelled =
      replaced(std::string(kOld), "cidrs: [10.1.0.0/16]", "labels: {job: train}");
  write_text(fixture.folder / "labelled.yaml", labelled);
  write_text(fixture.folder / "feed.yaml",
             "apiVersion: sallyport/v1\nkind: IdentityFeed\nidentities:\n"
             "  - {addresses: [10.1.2.3], labels: {job: train}}\n");
  write_text(fixture.folder / "flows", record("huggingface.co"));
  const auto changes = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"diff", "old.yaml", "labelled.yaml", "--flows", "flows"});
    const std::string out = fixture.cli(more).out;
    return out.substr(out.rfind('\n', out.size() - 2) + 1);
  };
  CHECK(changes({}) == "1 of 1 recorded flow would change: 0 newly allowed, 0 newly denied\n");
  CHECK(changes({"--identities", "feed.yaml"}) ==
        "0 of 1 recorded flow would change: 0 newly allowed, 0 newly denied\n");
}

TEST_CASE("policy check: warnings") {
  const Fixture fixture;
  write_text(fixture.folder / "warned.yaml",
             std::string(kOld) + "    - {name: again, action: Deny, to: {domainNames: " +
                 "[huggingface.co]}, protocols: [{tls: {ports: [443]}}]}\n");
  const Finished got = fixture.cli({"check", "warned.yaml"});
  CHECK(got.status == 0);
  CHECK(got.out.starts_with("ok: 1 policy, 2 rules"));
  CHECK(got.out.find(", 1 warning\n") != std::string::npos);
  CHECK(got.err.find("warned.yaml:12:14: warning[W002]: rule 'again' (Deny) decides nothing: "
                     "'hf-pull/hub' (Allow)") != std::string::npos);
  CHECK(fixture.cli({"check", "--strict", "warned.yaml"}).status == 1);
  CHECK(fixture.cli({"check", "--strict", "old.yaml"}).status == 0);
  const Json json = Json::parse(fixture.cli({"check", "--format", "json", "warned.yaml"}).out);
  CHECK(json["ok"] == true);
  CHECK(json["unproved_rules"] == 0);
  REQUIRE(json["diagnostics"].size() == 1);
  CHECK(json["diagnostics"][0]["code"] == "W002");
  CHECK(json["diagnostics"][0]["severity"] == "warning");
}
