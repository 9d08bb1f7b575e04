#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include <unistd.h>

#include "policy/compile/compile.h"
#include "policy/compile/punycode.h"
#include "tests/support/policy_builder.h"

using namespace sallyport;
using namespace std::string_literals;
using sallyport::test::policy_text;

namespace {

std::vector<Diagnostic> diagnose(const std::vector<SourceFile>& sources) {
  const auto compiled = compile_policy(sources);
  return compiled ? std::vector<Diagnostic>{} : compiled.error();
}

std::vector<Diagnostic> diagnose(const std::string& text) {
  return diagnose(std::vector{SourceFile{"p.yaml", text}});
}

/// "6:12 E016" of each, one a line.
std::string places(const std::vector<Diagnostic>& diagnostics) {
  std::string out;
  for (const Diagnostic& d : diagnostics) {
    if (!out.empty()) out += ", ";
    out += std::to_string(d.line) + ":" + std::to_string(d.column) + " " + d.code;
  }
  return out;
}

struct Row {
  const char* text;
  const char* places;
  const char* hint = "";  ///< Of the first diagnostic.
};

/// A rule whose name, action and so on are fine: `rest` follows on line 8.
std::string with_rule(std::string_view rest) {
  return policy_text("  egress:\n    - name: r\n      action: Allow\n" + std::string(rest));
}

void check_rules(std::initializer_list<Row> rows) {
  for (const Row& row : rows) {
    INFO(row.text);
    const auto found = diagnose(with_rule(row.text));
    CHECK(places(found) == row.places);
    if (!found.empty()) CHECK(found.front().hint == row.hint);
  }
}

void check_documents(std::initializer_list<Row> rows) {
  for (const Row& row : rows) {
    INFO(row.text);
    const auto found = diagnose(row.text);
    if (!found.empty()) INFO(to_string(found.front()));
    CHECK(places(found) == row.places);
    if (!found.empty()) CHECK(found.front().hint == row.hint);
  }
}

}  // namespace

TEST_CASE("what the language accepts") {
  check_rules({
      {"", ""},
      {"      to: {domainNames: [a.b, \"*.a.b\", a.b., _srv.a.b, xn--bcher-kva.de]}\n", ""},
      {"      to: {cidrs: [10.0.0.0/8, 10.1.2.3, \"::/0\", \"2001:db8::1\"]}\n", ""},
      {"      protocols: [tls: {ports: [443, \"8000-8099\", 9000-9001, 1, 65535]}]\n", ""},
      {"      protocols:\n        - tls: {}\n        - http: {}\n        - tcp: {}\n        - udp: "
       "{}\n",
       ""},
  });
  CHECK(places(diagnose(policy_text("  subject: {}\n  egress: [{name: A_1.b-c, action: Deny}]\n")))
            .empty());
  CHECK(places(diagnose("# only a comment\n---\n" +
                        policy_text("  egress: [{name: r, action: Deny}]\n")))
            .empty());
  CHECK(places(diagnose("\xef\xbb\xbf" + policy_text("  egress: [{name: r, action: Deny}]\n")))
            .empty());
}

TEST_CASE("the whole language in one policy") {
  const auto models = load_policies(std::vector{SourceFile{"p.yaml", R"(
apiVersion: sallyport/v1
kind: EgressPolicy
metadata:
  name: hf-pull
  labels: {owner: ml-infra}
spec:
  tier: Application
  priority: 7
  mode: audit
  subject:
    cidrs: [10.1.0.0/16, "fd00:1::/64"]
    labels: {job: train}
  egress:
    - name: hub
      action: Allow
      to:
        domainNames: ["huggingface.co", "*.hf.co"]
        domainRegexes: ['^cdn-[a-z0-9]+\.example\.net$']
        cidrs: [203.0.113.0/24]
        sets: [package-mirrors]
      protocols:
        - tls:  {ports: [443], alpns: [h2, http/1.1], ja4s: [], ech: deny}
        - quic: {ports: [443]}
        - http: {ports: [80, "8000-8099"], methods: [GET, HEAD], paths: ["/models/**"], headers: {User-Agent: "pip/*"}}
        - dns:  {ports: [53]}
        - tcp:  {ports: [22]}
        - udp:  {ports: [123]}
        - icmp: {}
      destinationBinding: enforce
      budget: {bytesOut: 20GiB, window: 24h, scope: source, onExceed: audit}
      notBefore: 2026-12-01T00:00:00Z
      expiresAt: 2026-12-02T00:00:00+02:00
      onDeny: drop
      log: all
---
apiVersion: sallyport/v1
kind: DestinationSet
metadata: {name: package-mirrors}
spec: {domainNames: [pypi.org, "*.pythonhosted.org"], cidrs: []}
)"}});
  REQUIRE(models);
  const PolicyModel& policy = models->policies.at(0);
  CHECK(policy.tier == Tier::application);
  CHECK(policy.priority == 7);
  CHECK(policy.metadata_labels == Labels{{"owner", "ml-infra"}});
  CHECK(policy.subject_labels == Labels{{"job", "train"}});
  CHECK(policy.subjects.size() == 2);
  const RuleModel& rule = policy.rules.at(0);
  CHECK(rule.place.line == 15);
  CHECK(rule.terms == RuleTerms{.action = RuleAction::allow,
                                .tier = Tier::application,
                                .mode = PolicyMode::audit,
                                .on_deny = OnDeny::drop,
                                .log = LogLevel::all,
                                .binding = DestinationBinding::enforce,
                                .budget = {.bytes_out = uint64_t{20} << 30,
                                           .window_seconds = 86400,
                                           .scope = BudgetScope::source,
                                           .on_exceed = OnExceed::audit}});
  CHECK(rule.not_before == 1'796'083'200);
  CHECK(rule.expires_at == rule.not_before + 79'200);
  CHECK(rule.destinations.names ==
        std::vector<DomainPattern>{{"huggingface.co", false}, {"hf.co", true}});
  CHECK(rule.destinations.regexes.at(0).place.line == 19);
  CHECK(rule.sets.at(0)->destinations.names.size() == 2);
  REQUIRE(rule.protocols.size() == 7);
  CHECK(rule.protocols[0].alpns == std::vector<std::string>{"h2", "http/1.1"});
  CHECK(rule.protocols[0].ech == EchMatch::without);
  CHECK(rule.protocols[2].ports == std::vector<PortRange>{{80, 80}, {8000, 8099}});
  CHECK(rule.protocols[2].methods == std::vector<std::string>{"GET", "HEAD"});
  CHECK(rule.protocols[2].headers == std::vector<HeaderMatch>{{"user-agent", "pip/*"}});
}

TEST_CASE("tests and feeds may lie beside policies") {
  const std::string others =
      "---\napiVersion: sallyport/v1\nkind: PolicyTest\nmetadata: {name: t}\ntests: []\n"
      "---\napiVersion: sallyport/v1\nkind: IdentityFeed\nidentities: []\n";
  CHECK(places(diagnose(policy_text("  egress: [{name: r, action: Deny}]\n") + others)).empty());
  CHECK(places(diagnose(others)) == "0:0 E024");
}

TEST_CASE("policies are tried by tier, priority and name") {
  const auto policy = [](std::string_view name, std::string_view keys) {
    return policy_text(std::string(keys) + "  egress: [{name: r, action: Deny}]\n", name) + "---\n";
  };
  const auto models = load_policies(std::vector{
      SourceFile{"p.yaml", policy("f", "  tier: Baseline\n  priority: 0\n") + policy("e", "") +
                               policy("d", "  priority: 100\n") + policy("c", "  priority: 20\n") +
                               policy("b", "  tier: Admin\n  priority: 1000000\n") +
                               policy("a", "  tier: Application\n  priority: 101\n")}});
  REQUIRE(models);
  std::string order;
  for (const PolicyModel& one : models->policies) order += one.name;
  CHECK(order == "bcdeaf");
}

TEST_CASE("YAML that is refused") {
  check_documents({
      {"a: [1", "1:1 E001"},
      {"a: [1\nb: 2", "2:2 E001"},
      {"a: \"x", "1:6 E001"},
      {"a: 1\n b: 2\n", "2:3 E001"},
      {"a: b\nb: c\na: d\n", "3:1 E002", "first on line 1"},
      {"a: &x 1\nb: *x\n", "1:4 E003, 2:4 E003", "write the value out wherever it is needed"},
      {"a: !!str 1\nb: ! x\nc: !mine {}\n", "1:4 E004, 2:4 E004, 3:4 E004",
       "remove 'tag:yaml.org,2002:str'"},
      {"? [a]\n: b\n", "1:3 E005"},
      {"<<: {a: b}\n", "1:1 E009, 1:1 E009, 1:1 E009, 1:1 E009, 1:1 E008"},
  });
  const std::string deep = std::string(33, '[') + std::string(33, ']');
  CHECK(places(diagnose(deep)) == "1:33 E006");
  CHECK(places(diagnose(std::string(100'000, '['))).ends_with(" E006"));
  CHECK(places(diagnose("a: b\0c"s)) == "0:0 E001");
  CHECK(places(diagnose(std::string(kMaxYamlBytes + 1, ' '))) == "0:0 E007");
}

TEST_CASE("documents that are refused") {
  check_documents({
      {"", "0:0 E024"},
      {"just text\n", "1:1 E010"},
      {"{}\n", "1:1 E009, 1:1 E009, 1:1 E009, 1:1 E009"},
      {"apiVersion: v1\nkind: EgressPolicy\nmetadata: {name: p}\nspec: {egress: [{name: r, action: "
       "Deny}]}\n",
       "1:13 E011", "one of sallyport/v1"},
      {"apiVersion: sallyport/v1\nkind: NetworkPolicy\n", "2:7 E011",
       "one of EgressPolicy, DestinationSet, PolicyTest, IdentityFeed"},
      {"apiVersion: sallyport/v1\nkind: DestinationSet\nmetadata: {name: s}\n", "1:1 E009"},
      {"apiVersion: sallyport/v1\nkind: DestinationSet\nmetadata: {name: s}\nspec: {cidrs: []}\n",
       "4:7 E015"},
      {"apiVersion: sallyport/v1\nkind: DestinationSet\nmetadata: {name: s}\n"
       "spec: {cidrs: [x], names: [a.b]}\n",
       "4:16 E019, 4:20 E008", "write it like 203.0.113.0/24 or \"2001:db8::/32\""},
      {"apiVersion: sallyport/v1\nkind: DestinationSet\nmetadata: {name: s}\n"
       "spec: {cidrs: [10.0.0.0/8]}\n",
       "0:0 E024"},
      {"apiVersion: sallyport/v1\nkind: EgressPolicy\nmetadata: {name: My-Policy, labels: {a: "
       "[b]}}\n"
       "spec: {egress: [{name: r, action: Deny}]}\n",
       "3:18 E013, 3:41 E010", "write 'my-policy'"},
      {"apiVersion: sallyport/v1\nkind: EgressPolicy\nmetadata: {name: a.b}\nspec: {egres: "
       "[]}\nextra: 1\n",
       "3:18 E013, 4:7 E009, 4:8 E008, 5:1 E008",
       "1 to 63 of a-z, 0-9 and '-', with a letter or digit at both ends"},
      {"apiVersion: sallyport/v1\nkind: EgressPolicy\nmetadata:\nspec:\n", "3:1 E010, 4:1 E010"},
  });
  CHECK(places(diagnose(policy_text(
            "  tier: admin\n  priority: 01\n  mode: off\n  subject: {labels: {}}\n"
            "  egress: []\n"))) == "5:9 E011, 6:13 E033, 7:9 E011, 8:21 E015, 9:11 E015");
  CHECK(places(diagnose(policy_text("  subject: {cidrs: []}\n  egress: {a: b}\n"))) ==
        "5:20 E015, 6:11 E010");
}

TEST_CASE("rules that are refused") {
  check_rules({
      {"      action: Deny\n", "8:7 E002", "first on line 7"},
      {"      to: {}\n", "8:11 E015", "leave it out to match any destination"},
      {"      to:\n", "8:7 E010"},
      {"      to: {domainNames: []}\n", "8:11 E015", "leave it out to match any destination"},
      {"      to: {cidrs: [], domainNames: []}\n", "8:11 E015",
       "leave it out to match any destination"},
      {"      to: {domainNames: a.b}\n", "8:25 E010"},
      {"      to: {domainNames: [[a.b]]}\n", "8:26 E010"},
      {"      to: {domainName: [a.b]}\n", "8:12 E008", "did you mean 'domainNames'?"},
      {"      to: {domainRegexes: [a], sets: [b]}\n", "8:39 E028"},
      {"      to: {domainRegexes: [\"a)|(b\", \"(?=a)b\", \"\"]}\n",
       "8:28 E029, 8:37 E029, 8:47 E029", "PCRE syntax without look-around and back-references"},
      {"      protocols: []\n", "8:18 E015", "leave it out, or list something"},
      {"      protocols: [tls]\n", "8:19 E023", "write '- tls: {ports: [443]}' or '- tls: {}'"},
      {"      protocols:\n        - {tls: {}, tcp: {}}\n", "9:11 E023",
       "write '- tls: {ports: [443]}' or '- tls: {}'"},
      {"      protocols: [tsl: {}]\n", "8:19 E008", "did you mean 'tls'?"},
      {"      protocols: [icmp: {ports: [1]}]\n", "8:26 E008"},
      {"      protocols: [tcp: {alpns: [h2]}, dns: {methods: [GET]}]\n", "8:25 E008, 8:45 E008",
       "one of ports"},
      {"      protocols: [tls: {alpns: [], ja4s: [x], ech: never}]\n",
       "8:32 E015, 8:43 E031, 8:52 E011", "leave it out, or list something"},
      {"      protocols: [http: {methods: [get, \"G T\"], paths: [a, \"/a?b\", \"/***\"]}]\n",
       "8:36 E031, 8:41 E031, 8:57 E030, 8:60 E030, 8:68 E030", "write GET"},
      {"      protocols: [http: {headers: {}}]\n", "8:35 E015", "leave it out, or list something"},
      {"      protocols: [http: {headers: {A: x, a: y, \"b c\": z}}]\n", "8:35 E031, 8:35 E002"},
      {"      protocols: [http: {headers: {a: 1, b: 2, c: 3, d: 4, e: 5}}]\n", "8:35 E035",
       "write the rest as a Deny rule in front"},
      {"      protocols: [tls: {ports: []}]\n", "8:32 E015", "leave it out, or list something"},
      {"      destinationBinding: on\n      budget: {}\n      notBefore: x\n      expiresAt: x\n"
       "      onDeny: rst\n      log: every\n",
       "8:27 E011, 9:15 E009, 9:15 E009, 10:18 E032, 11:18 E032, 12:15 E011, 13:12 E011",
       "one of off, audit, enforce"},
      {"      budget: {bytesOut: 1.5GiB, window: 367d, scope: node, onExceed: drop}\n",
       "8:26 E033, 8:42 E033, 8:55 E011, 8:71 E011",
       "a whole number of bytes, KB, MB, GB, TB, KiB, MiB, GiB or TiB, like 20GiB"},
      {"      notBefore: 2026-12-01T00:00:00Z\n      expiresAt: 2026-12-01T01:00:00+01:00\n",
       "9:18 E032", "the rule would never match"},
      {"      expiresAt: 2026-02-29T00:00:00Z\n", "8:18 E032",
       "write it as in RFC 3339, like 2026-12-01T00:00:00Z"},
  });
  CHECK(places(diagnose(
            policy_text("  egress: [{name: r, action: Deny, destinationBinding: audit,\n"
                        "    budget: {bytesOut: 1, window: 1s}}]\n"))) == "5:56 E034, 6:13 E034");
  CHECK(places(diagnose(policy_text("  tier: Baseline\n  egress: [{name: r, action: Pass}]\n"))) ==
        "6:30 E027");
  CHECK(places(diagnose(
            policy_text("  egress:\n    - {name: r, action: Pass}\n    - {name: r, action: allow}\n"
                        "    - {name: a b, action: Deny}\n    - {}\n    - x\n"))) ==
        "7:14 E014, 7:25 E011, 8:14 E013, 9:7 E009, 9:7 E009, 10:7 E010");
  const std::string longest(63, 'a');
  CHECK(
      places(diagnose(policy_text("  egress: [{name: " + longest + ", action: Deny}]\n"))).empty());
  CHECK(places(diagnose(policy_text("  egress: [{name: a" + longest + ", action: Deny}]\n"))) ==
        "5:19 E013");
}

TEST_CASE("domain names that are refused") {
  check_rules({
      {"      to: {domainNames: [\"*\"]}\n", "8:26 E018",
       "leave out 'to' to match any destination"},
      {"      to: {domainNames: [\"a.*.b\"]}\n", "8:26 E018",
       "write '*.' and the name under which everything matches"},
      {"      to: {domainNames: [\"*a.b\"]}\n", "8:26 E018",
       "write '*.' and the name under which everything matches"},
      {"      to: {domainNames: [\"*.*.b\"]}\n", "8:26 E018",
       "write '*.' and the name under which everything matches"},
      {"      to: {domainNames: [Example.COM]}\n", "8:26 E016", "write 'example.com'"},
      {"      to: {domainNames: [\"*.Hf.co\"]}\n", "8:26 E016", "write '*.hf.co'"},
      {"      to: {domainNames: [bücher.example]}\n", "8:26 E016", "write 'xn--bcher-kva.example'"},
      {"      to: {domainNames: [\"*.münchen.de\"]}\n", "8:26 E016", "write '*.xn--mnchen-3ya.de'"},
      {"      to: {domainNames: [192.0.2.1]}\n", "8:26 E017", "list it under cidrs"},
      {"      to: {domainNames: [\"2001:db8::1\"]}\n", "8:26 E017", "list it under cidrs"},
      {"      to: {domainNames: [10.0.0.0/8]}\n", "8:26 E017", "list it under cidrs"},
      {"      to: {domainNames: [\"a..b\"]}\n", "8:26 E016"},
      {"      to: {domainNames: [\"a b\"]}\n", "8:26 E016"},
      {"      to: {domainNames: [\"https://a.b\"]}\n", "8:26 E016"},
      {"      to: {domainNames: [\".a.b\"]}\n", "8:26 E016"},
      {"      to: {domainNames: [\"\"]}\n", "8:26 E016"},
      {"      to: {domainNames: [\"*.\"]}\n", "8:26 E016"},
  });
}

TEST_CASE("blocks and ports that are refused") {
  check_rules({
      {"      to: {cidrs: [10.1.2.3/8]}\n", "8:20 E020", "write 10.0.0.0/8"},
      {"      to: {cidrs: [\"2001:db8::1/32\"]}\n", "8:20 E020", "write 2001:db8::/32"},
      {"      to: {cidrs: [10.0.0.0/33]}\n", "8:20 E019", "0 to 32 for IPv4, 0 to 128 for IPv6"},
      {"      to: {cidrs: [\"::/129\"]}\n", "8:20 E019", "0 to 32 for IPv4, 0 to 128 for IPv6"},
      {"      to: {cidrs: [10.0.0.0/]}\n", "8:20 E019", "0 to 32 for IPv4, 0 to 128 for IPv6"},
      {"      to: {cidrs: [10.0.0/8]}\n", "8:20 E019",
       "write it like 203.0.113.0/24 or \"2001:db8::/32\""},
      {"      to: {cidrs: [example.com]}\n", "8:20 E019",
       "write it like 203.0.113.0/24 or \"2001:db8::/32\""},
      {"      protocols: [tcp: {ports: [0]}]\n", "8:33 E021",
       "a number from 1 to 65535, or a range like \"8000-8099\""},
      {"      protocols: [tcp: {ports: [65536]}]\n", "8:33 E021",
       "a number from 1 to 65535, or a range like \"8000-8099\""},
      {"      protocols: [tcp: {ports: [022]}]\n", "8:33 E021",
       "a number from 1 to 65535, or a range like \"8000-8099\""},
      {"      protocols: [tcp: {ports: [1-2-3]}]\n", "8:33 E021",
       "a number from 1 to 65535, or a range like \"8000-8099\""},
      {"      protocols: [tcp: {ports: [https]}]\n", "8:33 E021",
       "a number from 1 to 65535, or a range like \"8000-8099\""},
      {"      protocols: [tcp: {ports: [\"90-80\"]}]\n", "8:33 E022", "write \"80-90\""},
  });
}

TEST_CASE("all errors of all files at once, by file and line") {
  const auto found = diagnose({
      {"b.yaml", policy_text("  egress: [{name: r, action: Allows}]\n", "same")},
      {"a.yaml", policy_text("  egress: [{name: r, action: Allow, to: {}}]\n", "same")},
      {"c.yaml", "a: [\n"},
  });
  REQUIRE(found.size() == 4);
  CHECK(to_string(found[0]) ==
        "a.yaml:3:18: error[E014]: EgressPolicy 'same' is defined twice (first at b.yaml:3:18)");
  CHECK(
      to_string(found[1]) ==
      "a.yaml:5:41: error[E015]: 'to' is empty and would match nothing (leave it out to match any "
      "destination)");
  CHECK(to_string(found[2]) ==
        "b.yaml:5:30: error[E011]: action 'Allows' is not known (did you mean 'Allow'?)");
  CHECK(found[3].file == "c.yaml");
  CHECK(found[3].code == "E001");
}

TEST_CASE("punycode") {
  CHECK(to_punycode("bücher") == "xn--bcher-kva");
  CHECK(to_punycode("例え.テスト") == "xn--r8jz45g.xn--zckzah");
  CHECK(to_punycode("a.é.b") == "a.xn--9ca.b");
  CHECK(to_punycode("\xff").has_value() == false);
  CHECK(to_punycode("\xc3").has_value() == false);
}

TEST_CASE("sources are read from files and folders") {
  namespace fs = std::filesystem;
  const fs::path folder =
      fs::temp_directory_path() / ("sallyport-sources-" + std::to_string(getpid()));
  fs::create_directories(folder / "empty");
  for (const char* name : {"b.yml", "a.yaml", "c.txt"}) std::ofstream(folder / name) << name;

  const auto sources = read_sources(std::vector<fs::path>{folder, folder / "c.txt"});
  REQUIRE(sources.has_value());
  REQUIRE(sources->size() == 3);
  CHECK(sources->at(0).name == (folder / "a.yaml").string());
  CHECK(sources->at(0).text == "a.yaml");
  CHECK(sources->at(1).text == "b.yml");
  CHECK(sources->at(2).text == "c.txt");

  const auto missing =
      read_sources(std::vector<fs::path>{folder / "x", folder / "empty", folder / "y"});
  REQUIRE(!missing.has_value());
  CHECK(missing.error().size() == 3);
  CHECK(missing.error()[0].code == "E025");
  CHECK(missing.error()[0].file == (folder / "x").string());
  fs::remove_all(folder);
}
