#include <catch2/catch.hpp>

#include "policy/compile/lint.h"
#include "tests/support/policy_builder.h"

using namespace sallyport;

namespace {

constexpr int64_t kNow = 1'800'000'000;  // 2027-01-15

PolicyModels load(const std::string& text) {
  auto models = load_policies(std::vector{SourceFile{"p.yaml", text}});
  if (!models) FAIL(to_string(models.error().front()));
  return std::move(*models);
}

/// "W002 later 'p/first' 'p/second'": the code, the rule's name and the rules that the message
/// names, a warning a line. W006 and W003 are left out unless asked for: most rules here are short.
std::string lint(const std::string& text, bool shape = false) {
  std::string out;
  for (const Diagnostic& one : lint_policies(load(text), kNow).warnings) {
    CHECK(one.severity == Diagnostic::Severity::warning);
    CHECK(one.file == "p.yaml");
    CHECK(one.line > 0);
    if (!shape && (one.code == "W003" || one.code == "W006")) continue;
    const size_t from = one.message.find('\'');
    const size_t to = one.message.find('\'', from + 1);
    out += one.code + " " + one.message.substr(from + 1, to - from - 1);
    for (size_t at = to + 1; (at = one.message.find('\'', at)) != std::string::npos;) {
      const size_t end = one.message.find('\'', at + 1);
      const std::string quoted = one.message.substr(at + 1, end - at - 1);
      if (quoted.find('/') != std::string::npos && one.code != "W009") out += " " + quoted;
      at = end + 1;
    }
    out += "\n";
  }
  return out;
}

std::string policy(const std::string& rules, const std::string& spec = "") {
  return test::policy_text(spec + "  egress:\n" + rules);
}

std::string rules(std::initializer_list<const char*> lines) {
  std::string out;
  for (const char* line : lines) out += "    - {" + std::string(line) + "}\n";
  return policy(out);
}

/// Every `letter` as `by`.
std::string replaced(std::string_view text, char letter, std::string_view by) {
  std::string out;
  for (const char c : text) {
    if (c == letter) {
      out += by;
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace

TEST_CASE("shadowed rules") {
  struct Row {
    const char* what;
    std::string text;
    const char* warnings;
  };
  const Row rows[] = {
      {"the same names, another effect",
       rules({"name: a, action: Deny, to: {domainNames: [x.org]}",
              "name: b, action: Allow, to: {domainNames: [x.org]}"}),
       "W002 b p/a\n"},
      {"a name under a wildcard",
       rules({"name: a, action: Deny, to: {domainNames: ['*.x.org']}",
              "name: b, action: Allow, to: {domainNames: [y.x.org]}"}),
       "W002 b p/a\n"},
      {"a wildcard does not hold its own name",
       rules({"name: a, action: Deny, to: {domainNames: ['*.x.org']}",
              "name: b, action: Allow, to: {domainNames: [x.org]}"}),
       ""},
      {"a wildcard is not used up by names under it",
       rules({"name: a, action: Deny, to: {domainNames: [y.x.org, z.x.org]}",
              "name: b, action: Allow, to: {domainNames: ['*.x.org']}"}),
       ""},
      {"two halves of a block",
       rules({"name: a, action: Deny, to: {cidrs: [10.0.0.0/9]}",
              "name: b, action: Deny, to: {cidrs: [10.128.0.0/9]}",
              "name: c, action: Allow, to: {cidrs: [10.0.0.0/8]}"}),
       "W002 c p/a p/b\n"},
      {"three parts of which one is not needed",
       rules({"name: a, action: Deny, to: {cidrs: [10.0.0.0/9]}",
              "name: b, action: Deny, to: {cidrs: [10.128.0.0/10]}",
              "name: c, action: Deny, to: {cidrs: [10.128.0.0/9]}",
              "name: d, action: Allow, to: {cidrs: [10.0.0.0/8]}"}),
       "W002 d p/a p/c\n"},
      {"one name by its ports, the other by itself",
       rules({"name: a, action: Deny, to: {domainNames: [x.org]}, protocols: [{tcp: {}}]",
              "name: b, action: Deny, to: {domainNames: [x.org]}, protocols: [{udp: {}}]",
              "name: c, action: Allow, to: {domainNames: [x.org]}"}),
       "W002 c p/a p/b\n"},
      {"half the ports are not all",
       rules({"name: a, action: Deny, protocols: [{tcp: {ports: ['1-442', '444-65535']}}]",
              "name: b, action: Allow, protocols: [{tls: {}}]"}),
       ""},
      {"every application that TCP can carry is not TCP",
       rules({"name: a, action: Deny, protocols: [{tls: {}}, {http: {}}, {dns: {}}]",
              "name: b, action: Allow, protocols: [{tcp: {}}]"}),
       ""},
      {"but with a name it is",
       rules({"name: a, action: Deny, protocols: [{tls: {}}, {http: {}}, {dns: {}}]",
              "name: b, action: Allow, to: {domainNames: [x.org]}, protocols: [{tcp: {}}]"}),
       "W002 b p/a\n"},
      {"a regex that matches a listed name",
       rules({"name: a, action: Deny, to: {domainRegexes: ['cdn-[0-9]+\\.x\\.org']}",
              "name: b, action: Allow, to: {domainNames: [cdn-7.x.org]}",
              "name: c, action: Allow, to: {domainNames: [cdn-y.x.org]}"}),
       "W002 b p/a\n"},
      {"a wider regex",
       rules({"name: a, action: Deny, to: {domainRegexes: ['cdn-.+']}",
              "name: b, action: Allow, to: {domainRegexes: ['cdn-[0-9]+']}"}),
       "W002 b p/a\n"},
      {"a path within another",
       rules({"name: a, action: Deny, protocols: [{http: {paths: ['/a/**']}}]",
              "name: b, action: Allow, protocols: [{http: {paths: ['/a/*/b']}}]",
              "name: c, action: Allow, protocols: [{http: {paths: ['/b/**', '/a/x']}}]"}),
       "W002 b p/a\n"},
      {"fewer methods",
       rules({"name: a, action: Deny, protocols: [{http: {methods: [GET, PUT]}}]",
              "name: b, action: Allow, protocols: [{http: {methods: [PUT]}}]",
              "name: c, action: Allow, protocols: [{http: {}}]"}),
       "W002 b p/a\n"},
      {"an offer that holds a denied protocol",
       rules({"name: a, action: Deny, protocols: [{tls: {alpns: [h2]}}]",
              "name: b, action: Allow, protocols: [{tls: {alpns: [h2]}}]",
              "name: c, action: Allow, protocols: [{tls: {alpns: [h2, h3]}}]"}),
       "W002 b p/a\n"},
      {"with and without ECH is all of TLS",
       rules({"name: a, action: Deny, protocols: [{tls: {ech: deny}}]",
              "name: b, action: Deny, protocols: [{tls: {ech: require}}]",
              "name: c, action: Allow, protocols: [{tls: {}}]"}),
       "W002 c p/a p/b\n"},
      {"one header more is narrower",
       rules({"name: a, action: Deny, protocols: [{http: {headers: {accept: '*'}}}]",
              "name: b, action: Allow, "
              "protocols: [{http: {headers: {accept: 'a*', x-id: '*'}}}]"}),
       "W002 b p/a\n"},
      {"one after the other in time",
       rules({"name: a, action: Deny, expiresAt: 2028-01-01T00:00:00Z",
              "name: b, action: Deny, notBefore: 2028-01-01T00:00:00Z", "name: c, action: Allow"}),
       "W002 c p/a p/b\n"},
      {"a day between them",
       rules({"name: a, action: Deny, expiresAt: 2028-01-01T00:00:00Z",
              "name: b, action: Deny, notBefore: 2028-01-02T00:00:00Z", "name: c, action: Allow"}),
       ""},
      {"a start in the past is no start",
       rules({"name: a, action: Deny, notBefore: 2020-01-01T00:00:00Z", "name: c, action: Allow"}),
       "W002 c p/a\n"},
      {"the same effect is redundant",
       rules({"name: a, action: Allow, to: {domainNames: ['*.x.org']}",
              "name: b, action: Allow, to: {domainNames: [y.x.org]}"}),
       "W007 b p/a\n"},
      {"redundant, whatever else stands before",
       rules({"name: a, action: Allow, to: {domainNames: [x.org]}, protocols: [{tls: {}}]",
              "name: b, action: Deny, to: {domainNames: [x.org]}",
              "name: c, action: Deny, to: {domainNames: [x.org, '*.x.org']}",
              "name: d, action: Deny, to: {domainNames: [x.org]}"}),
       "W007 d p/b\n"},
      {"half denied, half allowed",
       rules({"name: a, action: Allow, to: {cidrs: [10.0.0.0/9]}",
              "name: b, action: Deny, to: {cidrs: [10.128.0.0/9]}",
              "name: c, action: Allow, to: {cidrs: [10.0.0.0/8]}"}),
       "W002 c p/a p/b\n"},
      {"passed on before it",
       rules({"name: a, action: Pass, to: {domainNames: [x.org]}",
              "name: b, action: Allow, to: {domainNames: [x.org]}"}),
       "W002 b p/a\n"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    CHECK(lint(row.text) == row.warnings);
  }
}

TEST_CASE("tiers decide in their order, and a Pass lets the next one decide") {
  const auto two = [](const std::string& admin, const std::string& later) {
    return test::policy_text("  tier: Admin\n  egress:\n" + admin, "p") + "---\n" +
           test::policy_text("  egress:\n" + later, "q");
  };
  const std::string allow = "    - {name: b, action: Allow, to: {domainNames: [x.org]}}\n";
  CHECK(lint(two("    - {name: a, action: Deny}\n", allow)) == "W002 b p/a\n");
  CHECK(lint(two("    - {name: a, action: Pass, to: {domainNames: [x.org]}}\n"
                 "    - {name: c, action: Deny}\n",
                 allow))
            .empty());
  CHECK(lint(two("    - {name: a, action: Pass, to: {domainNames: [y.org]}}\n"
                 "    - {name: c, action: Deny}\n",
                 allow)) == "W002 b p/c\n");
  // What is passed on is decided where it goes to: 'c' alone does not cover all of 'b'.
  CHECK(lint(two("    - {name: a, action: Pass, to: {domainNames: [x.org]}}\n"
                 "    - {name: c, action: Deny}\n",
                 "    - {name: d, action: Deny, to: {domainNames: [x.org]}}\n"
                 "    - {name: b, action: Allow, to: {domainNames: [x.org, y.org]}}\n")) ==
        "W002 b p/c q/d\n");
}

TEST_CASE("subjects keep rules apart") {
  const auto two = [](const std::string& first, const std::string& second) {
    return test::policy_text("  subject: " + first + "\n  egress: [{name: a, action: Deny}]\n") +
           "---\n" +
           test::policy_text("  subject: " + second + "\n  egress: [{name: b, action: Allow}]\n",
                             "q");
  };
  CHECK(lint(two("{cidrs: [10.0.0.0/8]}", "{cidrs: [10.1.0.0/16]}")) == "W002 b p/a\n");
  CHECK(lint(two("{cidrs: [10.1.0.0/16]}", "{cidrs: [10.0.0.0/8]}")).empty());
  CHECK(lint(two("{labels: {job: a}}", "{labels: {job: a, team: x}}")) == "W002 b p/a\n");
  CHECK(lint(two("{labels: {job: a, team: x}}", "{labels: {job: a}}")).empty());
  CHECK(lint(two("{labels: {job: a}}", "{labels: {job: b}}")).empty());
}

TEST_CASE("rules that no flow meets") {
  struct Row {
    const char* what;
    std::string text;
  };
  const Row rows[] = {
      {"ICMP has no name",
       rules({"name: a, action: Deny, to: {domainNames: [x.org]}, protocols: [{icmp: {}}]"})},
      {"IPv4 does not talk to IPv6",
       policy("    - {name: a, action: Deny, to: {cidrs: ['2001:db8::/32']}}\n",
              "  subject: {cidrs: [10.0.0.0/8]}\n")},
      {"upper case in a regex", rules({"name: a, action: Deny, to: {domainRegexes: ['CDN\\.x']}"})},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    const std::string got = lint(row.text);
    CHECK(got.find("W001 a\n") != std::string::npos);
  }
}

TEST_CASE("a window that ends before it begins never matches") {
  PolicyModels models = load(rules({"name: a, action: Deny"}));
  models.policies[0].rules[0].not_before = kNow + 20;
  models.policies[0].rules[0].expires_at = kNow + 10;
  const auto report = lint_policies(models, kNow);
  REQUIRE(report.warnings.size() == 1);
  CHECK(report.warnings[0].code == "W001");
  CHECK(report.warnings[0].hint == "notBefore is not before expiresAt");
}

TEST_CASE("what a single rule shows") {
  struct Row {
    const char* rule;
    const char* warnings;
  };
  const Row rows[] = {
      {"name: a, action: Allow", "W003 a\n"},
      {"name: a, action: Allow, to: {cidrs: [0.0.0.0/0, '::/0']}", "W003 a\n"},
      {"name: a, action: Allow, to: {cidrs: [0.0.0.0/1, 128.0.0.0/1]}", ""},
      {"name: a, action: Allow, to: {cidrs: [0.0.0.0/1]}", ""},
      {"name: a, action: Allow, protocols: [{tcp: {}}, {udp: {}}]", ""},
      {"name: a, action: Allow, protocols: [{tcp: {ports: ['1-65535']}}, {udp: {}}]", ""},
      {"name: a, action: Allow, protocols: [{tcp: {}}]", ""},
      {"name: a, action: Deny", ""},
      {"name: a, action: Deny, expiresAt: 2027-01-15T08:00:00Z", "W004 a\n"},
      {"name: a, action: Deny, expiresAt: 2027-01-15T08:00:01Z", ""},
      {"name: a, action: Allow, to: {domainNames: [x.org]}", "W006 a\n"},
      {"name: a, action: Allow, to: {domainNames: [x.org]}, destinationBinding: audit", ""},
      {"name: a, action: Allow, to: {domainNames: [x.org]}, protocols: [{dns: {}}]", ""},
      {"name: a, action: Allow, to: {domainNames: [x.org]}, protocols: [{dns: {}}, {http: {}}]",
       "W006 a\n"},
      {"name: a, action: Deny, to: {domainNames: [x.org]}", ""},
      {"name: a, action: Deny, to: {domainRegexes: ['[a-z]Ax', x]}", "W009 A\n"},
      {"name: a, action: Deny, to: {domainRegexes: ['\\D\\S+\\x4A|\\x{4A}']}", ""},
  };
  for (const Row& row : rows) {
    CAPTURE(row.rule);
    CHECK(lint(rules({row.rule}), true) == row.warnings);
  }
}

TEST_CASE("sets that no rule uses") {
  const std::string set =
      "---\napiVersion: sallyport/v1\nkind: DestinationSet\nmetadata: {name: mirrors}\n"
      "spec: {domainNames: [x.org]}\n";
  CHECK(lint(rules({"name: a, action: Deny"}) + set) == "W005 mirrors\n");
  CHECK(lint(rules({"name: a, action: Deny, to: {sets: [mirrors]}"}) + set).empty());
  // A set counts as its rule's own destinations.
  CHECK(lint(rules({"name: a, action: Deny, to: {sets: [mirrors]}",
                    "name: b, action: Allow, to: {domainNames: [x.org]}"}) +
             set) == "W002 b p/a\n");
}

TEST_CASE("an audit Deny lets pass what a later rule denies") {
  const auto two = [](const std::string& later) {
    return test::policy_text(
               "  mode: audit\n  priority: 1\n  egress:\n"
               "    - {name: a, action: Deny, to: {domainNames: ['*.x.org']}}\n",
               "q") +
           "---\n" + test::policy_text("  egress:\n    - {" + later + "}\n");
  };
  CHECK(lint(two("name: b, action: Deny, to: {domainNames: [y.x.org, z.org]}")) == "W008 a p/b\n");
  CHECK(lint(two("name: b, action: Deny, to: {domainNames: [z.org]}")).empty());
  CHECK(lint(two("name: b, action: Allow, to: {domainNames: [y.x.org]}")) == "W002 b q/a\n");
}

TEST_CASE("among many rules, those that meet are found") {
  std::string others;
  for (int i = 0; i < 50; ++i) {
    others += replaced(
        "    - {name: o#, action: Allow, to: {domainNames: [n#.net, '*.m#.net'], "
        "cidrs: [10.#.0.0/16]}, protocols: [{tcp: {ports: [10#]}}]}\n",
        '#', std::to_string(i));
  }
  struct Row {
    const char* what;
    const char* before;
    const char* after;
    const char* warnings;
  };
  const Row rows[] = {
      {"a name below a wildcard", "to: {domainNames: ['*.x.org']}", "to: {domainNames: [y.x.org]}",
       "W008 a p/b\nW002 b q/a\n"},
      {"a name above", "to: {domainNames: [y.x.org]}", "to: {domainNames: ['*.org']}",
       "W008 a p/b\n"},
      {"a wildcard below a wildcard", "to: {domainNames: ['*.x.org']}",
       "to: {domainNames: ['*.y.x.org']}", "W008 a p/b\nW002 b q/a\n"},
      {"the same name", "to: {domainNames: [x.org]}", "to: {domainNames: [x.org]}",
       "W008 a p/b\nW002 b q/a\n"},
      {"another name", "to: {domainNames: [x.org]}", "to: {domainNames: [y.org]}", ""},
      {"a regex", "to: {domainRegexes: ['x.+']}", "to: {domainNames: [xy]}",
       "W008 a p/b\nW002 b q/a\n"},
      {"a regex behind", "to: {domainNames: [xy]}", "to: {domainRegexes: ['x.+']}", "W008 a p/b\n"},
      {"a block within", "to: {cidrs: [192.0.2.0/24]}", "to: {cidrs: [192.0.2.1]}",
       "W008 a p/b\nW002 b q/a\n"},
      {"a block around", "to: {cidrs: [192.0.2.1]}", "to: {cidrs: [192.0.0.0/8]}", "W008 a p/b\n"},
      {"another block", "to: {cidrs: [192.0.2.0/24]}", "to: {cidrs: [192.0.3.0/24]}", ""},
      {"a port of a range", "protocols: [{udp: {ports: ['50-60']}}]",
       "protocols: [{dns: {ports: [53]}}]", "W008 a p/b\n"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    const std::string text =
        test::policy_text(
            "  mode: audit\n  priority: 1\n  egress:\n    - {name: a, action: Deny, " +
                std::string(row.before) + "}\n",
            "q") +
        "---\n" +
        test::policy_text("  egress:\n" + others + "    - {name: b, action: Deny, " + row.after +
                          "}\n");
    CHECK(lint(text) == row.warnings);
  }
}

TEST_CASE("warnings stand in the order of their places") {
  const std::string got = lint(rules({"name: a, action: Allow", "name: b, action: Allow",
                                      "name: c, action: Deny, expiresAt: 2020-01-01T00:00:00Z"}),
                               true);
  CHECK(got == "W003 a\nW003 b\nW007 b p/a\nW004 c\n");
}

TEST_CASE("many labels, each of which may hold or not, are no trouble") {
  std::string text;
  for (int i = 0; i < 30; ++i) {
    const std::string n = std::to_string(100 + i);
    text +=
        test::policy_text("  subject: {labels: {k" + n + ": a}}\n  egress:\n    - {name: r, " +
                              "action: Deny, to: {cidrs: [10." + std::to_string(i) + ".0.0/16]}}\n",
                          "p" + n) +
        "---\n";
  }
  const std::string last = test::policy_text("  egress: [{name: all, action: Allow}]\n", "q");
  const auto report = lint_policies(load(text + last), kNow);
  CHECK(report.unproved_rules == 0);
  CHECK(report.warnings.size() == 1);  // W003
}

TEST_CASE("path globs that multiply are given up on, not waited for") {
  std::string text;
  for (int i = 0; i < 40; ++i) {
    const std::string n = std::to_string(i);
    text += "    - {name: r";
    text += n + ", action: ";
    text += i % 2 == 0 ? "Deny" : "Allow";
    text += ", to: {cidrs: [10.0.0.0/" + std::to_string(8 + i % 20);
    text += "]}, protocols: [http: {paths: ['/a" + n;
    text += "/**/b*', '/**/c" + n + "/*']}]}\n";
  }
  const auto models = load(policy(text));
  const LintReport first = lint_policies(models, kNow);
  CHECK(first.warnings.empty());
  CHECK(first.unproved_rules == lint_policies(models, kNow).unproved_rules);
}

TEST_CASE("what may match in lower case, or leaves something out, is not warned of") {
  for (const char* regex : {"(?i)A+\\.com", "[^A-Z]+\\.com"}) {
    CHECK(lint(rules({("name: a, action: Deny, to: {domainRegexes: ['" + std::string(regex) + "']}")
                          .c_str()}),
               true)
              .empty());
  }
  CHECK(lint(rules({"name: a, action: Allow, to: {cidrs: [0.0.0.0/0]}"}), true).empty());
}
