#include <catch2/catch.hpp>

#include "policy/compile/diff.h"
#include "tests/support/policy_builder.h"

using namespace sallyport;

namespace {

constexpr int64_t kNow = 1'800'000'000;  // 2027-01-15

PolicyModels load(const std::string& text) {
  auto models = load_policies(std::vector{SourceFile{"p.yaml", text}});
  if (!models) FAIL(to_string(models.error().front()));
  return std::move(*models);
}

std::string join(const std::vector<std::string>& items) {
  std::string out;
  for (const std::string& item : items) out += (out.empty() ? "" : ",") + item;
  return out;
}

/// "newly allowed: any -> x.org tls:443 | default_deny -> p/a", a change a line.
std::string diff(const std::string& before, const std::string& after, DiffOptions options = {}) {
  if (options.now == INT64_MIN) options.now = kNow;
  const PolicyModels old_models = load(before);
  const PolicyModels new_models = load(after);
  std::string out;
  for (const PolicyChange& one : diff_policies(old_models, new_models, options).changes) {
    out += std::string(to_string(one.kind)) + ": " + join(one.subjects) + " -> " + one.destination +
           " " + one.protocol + " | " + join(one.old_rules) + " -> " + join(one.new_rules);
    if (!one.condition.empty()) out += " | " + one.condition;
    if (!one.note.empty()) out += " | " + one.note;
    out += "\n";
  }
  return out;
}

std::string rules(std::initializer_list<const char*> lines, const std::string& spec = "") {
  std::string out = spec + "  egress:\n";
  for (const char* line : lines) out += "    - {" + std::string(line) + "}\n";
  return test::policy_text(out);
}

constexpr const char* kNames =
    "name: a, action: Allow, to: {domainNames: [x.org]}, "
    "protocols: [{tls: {ports: [443]}}]";

}  // namespace

TEST_CASE("a change is stated by the flows that it is about") {
  struct Row {
    const char* what;
    std::string before;
    std::string after;
    const char* changes;
  };
  const Row rows[] = {
      {"nothing", rules({kNames}), rules({kNames}), ""},
      {"one name more", rules({kNames}),
       rules({"name: a, action: Allow, to: {domainNames: [x.org, '*.y.org']}, "
              "protocols: [{tls: {ports: [443]}}]"}),
       "newly allowed: any -> *.y.org tls:443 | default_deny -> p/a\n"},
      {"one port more", rules({kNames}),
       rules({"name: a, action: Allow, to: {domainNames: [x.org]}, "
              "protocols: [{tls: {ports: [443, 8443]}}]"}),
       "newly allowed: any -> x.org tls:8443 | default_deny -> p/a\n"},
      {"a rule less",
       rules(
           {kNames, "name: b, action: Allow, to: {cidrs: [10.0.0.0/8]}, protocols: [{icmp: {}}]"}),
       rules({kNames}), "newly denied: any -> 10.0.0.0/8 icmp | p/b -> default_deny\n"},
      {"another name of a rule is no change", rules({kNames}),
       rules({"name: other, action: Allow, to: {domainNames: [x.org]}, "
              "protocols: [{tls: {ports: [443]}}]"}),
       ""},
      {"the same in other words",
       rules({"name: a, action: Allow, to: {cidrs: [10.0.0.0/8]}, protocols: [{tcp: {}}]"}),
       rules({"name: a, action: Allow, to: {cidrs: [10.0.0.0/9]}, protocols: [{tcp: {}}]",
              "name: b, action: Allow, to: {cidrs: [10.128.0.0/9]}, protocols: [{tcp: {}}, {tls: "
              "{}}]"}),
       ""},
      {"rules that do not meet may change places",
       rules({kNames, "name: b, action: Deny, to: {domainNames: [y.org]}"}),
       rules({"name: b, action: Deny, to: {domainNames: [y.org]}", kNames}), ""},
      {"rules that meet may not",
       rules({kNames, "name: b, action: Deny, to: {domainNames: ['*.org', x.org]}"}),
       rules({"name: b, action: Deny, to: {domainNames: ['*.org', x.org]}", kNames}),
       "newly denied: any -> x.org tls:443 | p/a -> p/b\n"},
      {"a wider path",
       rules({"name: a, action: Allow, protocols: [{http: {ports: [80], paths: ['/a/*']}}]"}),
       rules({"name: a, action: Allow, protocols: [{http: {ports: [80], paths: ['/a/**']}}]"}),
       "newly allowed: any -> any http:80 path /a/** not path /a/* | default_deny -> p/a\n"},
      {"another path", rules({"name: a, action: Allow, protocols: [{http: {paths: ['/a/*']}}]"}),
       rules({"name: a, action: Allow, protocols: [{http: {paths: ['/a/*', '/b']}}]"}),
       "newly allowed: any -> any http path /b | default_deny -> p/a\n"},
      {"one method more", rules({"name: a, action: Allow, protocols: [{http: {methods: [GET]}}]"}),
       rules({"name: a, action: Allow, protocols: [{http: {methods: [GET, PUT]}}]"}),
       "newly allowed: any -> any http PUT | default_deny -> p/a\n"},
      {"no header asked for any more",
       rules({"name: a, action: Allow, protocols: [{http: {headers: {x-id: 'a*'}}}]"}),
       rules({"name: a, action: Allow, protocols: [{http: {}}]"}),
       "newly allowed: any -> any http not {x-id: a*} | default_deny -> p/a\n"},
      {"ECH", rules({"name: a, action: Allow, protocols: [{tls: {ech: deny}}]"}),
       rules({"name: a, action: Allow, protocols: [{tls: {}}]"}),
       "newly allowed: any -> any tls with ech | default_deny -> p/a\n"},
      {"offers", rules({"name: a, action: Allow, protocols: [{tls: {alpns: [h2]}}]"}),
       rules({"name: a, action: Allow, protocols: [{tls: {alpns: [h2, http/1.1]}}]"}),
       "newly allowed: any -> any tls offering only h2/http/1.1 not offering only h2 "
       "| default_deny -> p/a\n"},
      {"a narrower regex",
       rules({"name: a, action: Allow, to: {domainRegexes: ['cdn-.+']}, protocols: [{tls: {}}]"}),
       rules({"name: a, action: Allow, to: {domainRegexes: ['cdn-[0-9]+']}, "
              "protocols: [{tls: {}}]"}),
       "newly denied: any -> /cdn-.+/ and not /cdn-[0-9]+/ tls | p/a -> default_deny\n"},
      {"a hole in a block", rules({"name: a, action: Allow, to: {cidrs: [10.0.0.0/8]}"}),
       rules({"name: b, action: Deny, to: {cidrs: [10.64.0.0/10]}, protocols: [{udp: {}}]",
              "name: a, action: Allow, to: {cidrs: [10.0.0.0/8]}"}),
       "newly denied: any -> 10.64.0.0/10 udp | p/a -> p/b\n"},
      {"a later end", rules({"name: a, action: Allow, expiresAt: 2027-02-01T00:00:00Z"}),
       rules({"name: a, action: Allow, expiresAt: 2027-03-01T00:00:00Z"}),
       "newly allowed: any -> any any | default_deny -> p/a "
       "| from 2027-02-01T00:00:00Z until 2027-03-01T00:00:00Z\n"},
      {"what expired long ago is gone",
       rules({"name: b, action: Allow, expiresAt: 2020-01-01T00:00:00Z", kNames}), rules({kNames}),
       ""},
      {"audit lets pass", rules({"name: a, action: Deny"}),
       rules({"name: a, action: Deny"}, "  mode: audit\n"),
       "newly allowed: any -> any any | p/a -> p/a | would_deny\n"},
      {"an Allow in place of an audit Deny", rules({"name: a, action: Deny"}, "  mode: audit\n"),
       rules({"name: a, action: Allow"}, "  mode: audit\n"),
       "other change: any -> any any | p/a -> p/a | would_deny yes -> no\n"},
      {"binding is asked for",
       rules({"name: a, action: Allow, to: {domainNames: [x.org], cidrs: [10.0.0.0/8]}"}),
       rules({"name: a, action: Allow, to: {domainNames: [x.org], cidrs: [10.0.0.0/8]}, "
              "destinationBinding: enforce"}),
       "newly denied: any -> x.org at any IPv4 except 10.0.0.0/8, any IPv6 any | p/a -> p/a "
       "| address not from a trusted resolver\n"},
      {"binding is asked for no more",
       rules({"name: a, action: Allow, to: {domainNames: [x.org]}, protocols: [{tls: {}}], "
              "destinationBinding: enforce"}),
       rules({"name: a, action: Allow, protocols: [{tls: {}}], destinationBinding: enforce"}),
       "newly allowed: any -> other names or none tls | default_deny -> p/a\n"
       "newly allowed: any -> x.org tls | p/a -> p/a | address not from a trusted resolver\n"},
      {"less is logged", rules({kNames}), rules({(std::string(kNames) + ", log: denies").c_str()}),
       "no longer logged: any -> x.org tls:443 | p/a -> p/a | log decisions -> denies\n"},
      {"no less is logged of a denial", rules({"name: a, action: Deny"}),
       rules({"name: a, action: Deny, log: denies"}), ""},
      {"more is logged", rules({"name: a, action: Deny"}),
       rules({"name: a, action: Deny, log: all"}),
       "other change: any -> any any | p/a -> p/a | log decisions -> all\n"},
      {"told otherwise", rules({"name: a, action: Deny"}),
       rules({"name: a, action: Deny, onDeny: drop"}),
       "other change: any -> any any | p/a -> p/a | onDeny reset -> drop\n"},
      {"onDeny of what is allowed is no matter", rules({"name: a, action: Allow"}),
       rules({"name: a, action: Allow, onDeny: drop"}), ""},
      {"a budget that is gone",
       rules({"name: a, action: Allow, budget: {bytesOut: 1KB, window: 1m}"}),
       rules({"name: a, action: Allow"}),
       "newly allowed: any -> any any | p/a -> p/a | budget 1000 B in 60 s per subject -> none\n"},
      {"a budget that is larger",
       rules({"name: a, action: Allow, budget: {bytesOut: 1KB, window: 1m}"}),
       rules({"name: a, action: Allow, budget: {bytesOut: 2KB, window: 1m}"}),
       "newly allowed: any -> any any | p/a -> p/a | budget 1000 B in 60 s per subject -> 2000 B "
       "in "
       "60 s per subject\n"},
      {"a budget that only audits",
       rules({"name: a, action: Allow, budget: {bytesOut: 1KB, window: 1m}"}),
       rules({"name: a, action: Allow, budget: {bytesOut: 1KB, window: 1m, onExceed: audit}"}),
       "newly allowed: any -> any any | p/a -> p/a | budget 1000 B in 60 s per subject -> 1000 B "
       "in "
       "60 s per subject (audit)\n"},
      {"a budget", rules({"name: a, action: Allow"}),
       rules({"name: a, action: Allow, budget: {bytesOut: 1KB, window: 1m}"}),
       "other change: any -> any any | p/a -> p/a | budget none -> 1000 B in 60 s per subject\n"},
      {"an open door", rules({"name: a, action: Deny"}), rules({"name: a, action: Allow"}),
       "newly allowed: any -> any any | p/a -> p/a\n"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    CHECK(diff(row.before, row.after) == row.changes);
  }
}

TEST_CASE("subjects") {
  const auto of = [](const std::string& subject) {
    return rules({"name: a, action: Allow, to: {domainNames: [x.org]}, protocols: [{tls: {}}]"},
                 "  subject: " + subject + "\n");
  };
  struct Row {
    const char* before;
    const char* after;
    const char* changes;
  };
  const Row rows[] = {
      {"{cidrs: [10.0.0.0/8]}", "{cidrs: [10.0.0.0/8, 'fd00::/64']}",
       "newly allowed: fd00::/64 -> x.org tls | default_deny -> p/a\n"},
      {"{cidrs: [10.0.0.0/8]}", "{cidrs: [10.0.0.0/9]}",
       "newly denied: 10.128.0.0/9 -> x.org tls | p/a -> default_deny\n"},
      {"{labels: {job: train}}", "{labels: {job: eval}}",
       "newly allowed: any {job: eval} -> x.org tls | default_deny -> p/a\n"
       "newly denied: any {job: train} -> x.org tls | p/a -> default_deny\n"},
      {"{labels: {job: train, team: a}}", "{labels: {job: train}}",
       "newly allowed: any {job: train} not {job: train, team: a} -> x.org tls "
       "| default_deny -> p/a\n"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.before, row.after);
    CHECK(diff(of(row.before), of(row.after)) == row.changes);
  }
}

TEST_CASE("a set is the destinations of each rule that uses it") {
  const auto with_set = [](const char* names) {
    return rules({"name: a, action: Allow, to: {sets: [s]}, protocols: [{tls: {}}]"}) +
           "---\napiVersion: sallyport/v1\nkind: DestinationSet\nmetadata: {name: s}\n"
           "spec: {domainNames: [" +
           names + "]}\n";
  };
  CHECK(diff(with_set("x.org"), with_set("x.org, y.org")) ==
        "newly allowed: any -> y.org tls | default_deny -> p/a\n");
  // No matter whether a name is the rule's own or of its set.
  CHECK(diff(with_set("x.org"), rules({"name: a, action: Allow, to: {domainNames: [x.org]}, "
                                       "protocols: [{tls: {}}]"}))
            .empty());
}

TEST_CASE("a Pass opens the next tier") {
  const auto tiers = [](const std::string& admin) {
    return test::policy_text("  tier: Admin\n  egress:\n" + admin, "adm") + "---\n" +
           rules({"name: a, action: Allow, to: {domainNames: ['*.x.org']}, "
                  "protocols: [{tls: {}}]"});
  };
  const std::string deny = "    - {name: no, action: Deny}\n";
  CHECK(diff(tiers(deny), tiers("    - {name: go, action: Pass, to: {domainNames: [y.x.org]}}\n" +
                                deny)) == "newly allowed: any -> y.x.org tls | adm/no -> p/a\n");
}

TEST_CASE("many names of one fate make one line") {
  std::string names;
  for (int i = 0; i < 3000; ++i) names += (i == 0 ? "" : ", ") + ("n" + std::to_string(i)) + ".org";
  const auto policy = [&](const char* action) {
    return test::policy_text("  egress:\n    - {name: a, action: " + std::string(action) +
                             ", to: {domainNames: [" + names + "]}}\n");
  };
  CHECK(diff(policy("Deny"), policy("Allow")) ==
        "newly allowed: any -> n0.org, n1.org, n10.org, n100.org, n1000.org, n1001.org "
        "and 2994 more any | p/a -> p/a\n");
}

TEST_CASE("each of many policies with a change of its own shares a line with its likes") {
  const auto policies = [](bool allow) {
    std::string out;
    for (int i = 0; i < 30; ++i) {
      out += "---\n" +
             test::policy_text("  subject: {labels: {job: j" + std::to_string(i) +
                                   "}}\n  egress:\n    - {name: a, action: " +
                                   (allow ? "Allow" : "Deny") + ", to: {domainNames: [x.org]}}\n",
                               "p" + std::to_string(i));
    }
    return out;
  };
  const auto before = load(policies(false));
  const auto after = load(policies(true));
  const PolicyDiff out = diff_policies(before, after, {.now = kNow});
  REQUIRE(out.changes.size() == 1);
  CHECK(out.changes[0].destination == "x.org");
  CHECK(out.changes[0].old_rules.size() == 30);
  CHECK(out.changes[0].subjects.size() == 30);
}

TEST_CASE("a comparison that takes too long says so") {
  const auto before = load(rules({kNames}));
  const auto after = load(rules({"name: a, action: Allow, to: {domainNames: [x.org, y.org]}"}));
  CHECK(diff_policies(before, after, {.now = kNow}).complete);
  CHECK_FALSE(diff_policies(before, after, {.now = kNow, .max_steps = 10}).complete);
}

TEST_CASE("changes past the limit are counted") {
  const auto before = load(rules({"name: z, action: Deny, to: {domainNames: [z.org]}"}));
  const auto after =
      load(rules({"name: a, action: Allow, to: {domainNames: [x.org]}, protocols: [{tls: {}}]",
                  "name: b, action: Allow, to: {domainNames: [y.org]}, protocols: [{http: {}}]"}));
  const PolicyDiff out = diff_policies(before, after, {.now = kNow, .max_changes = 1});
  CHECK(out.changes.size() == 1);
  CHECK(out.left_out == 1);
}

TEST_CASE("an example is a flow of its change") {
  const std::string before = rules({"name: z, action: Deny"});
  const std::string after =
      rules({"name: a, action: Allow, to: {domainRegexes: ['cdn-[0-9]{2}\\.x\\.org']}, "
             "protocols: [{http: {ports: [8080], methods: [PUT], paths: ['/a/*/b']}}]"});
  const auto old_models = load(before);
  const auto new_models = load(after);
  const PolicyDiff out = diff_policies(old_models, new_models, {.now = kNow});
  REQUIRE(out.has(ChangeKind::newly_allowed));
  const auto change =
      std::ranges::find(out.changes, ChangeKind::newly_allowed, &PolicyChange::kind);
  const auto old_table = test::load_table(before);
  const auto new_table = test::load_table(after);
  CHECK(decide(*old_table, change->example.facts(), 0).verdict == Verdict::deny);
  CHECK(decide(*new_table, change->example.facts(), 0).verdict == Verdict::allow);
  CHECK(change->example.values().path.value == "/a//b");
}
