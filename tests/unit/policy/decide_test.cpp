#include <catch2/catch.hpp>

#include "tests/support/policy_builder.h"

using namespace sallyport;
using sallyport::test::load_table;
using sallyport::test::policy_text;
using sallyport::test::say;

namespace {

struct Row {
  const char* flow;
  const char* says;
};

void check_all(const std::vector<SourceFile>& sources, std::initializer_list<Row> rows) {
  const auto table = load_table(sources);
  for (const Row& row : rows) {
    INFO(row.flow);
    CHECK(say(*table, row.flow) == row.says);
  }
}

void check_all(const std::string& policy, std::initializer_list<Row> rows) {
  check_all(std::vector{SourceFile{"p.yaml", policy}}, rows);
}

}  // namespace

TEST_CASE("the first rule that matches decides") {
  check_all(policy_text(R"(
  egress:
    - {name: block, action: Deny, to: {domainNames: [bad.example.com]}}
    - {name: hub, action: Allow, to: {domainNames: ["*.example.com"]}, protocols: [tls: {ports: [443]}]}
    - {name: ssh, action: Allow, to: {cidrs: [203.0.113.0/24]}, protocols: [tcp: {ports: [22]}]}
)"),
            {
                {"app=tls name=a.example.com", "allow p/hub"},
                {"app=tls name=a.b.example.com", "allow p/hub"},
                {"app=tls name=bad.example.com", "deny p/block"},
                {"app=http name=a.example.com", "deny default_deny"},
                {"app=- name=- dst=203.0.113.9 tcp/22", "allow p/ssh"},
                {"dst=203.0.113.9 tcp/22 app=- name=bad.example.com", "deny p/block"},
                {"tcp/8443 app=tls name=a.example.com", "deny default_deny"},
            });
}

TEST_CASE("documents are tried in the order of their names, whatever file they are in") {
  const auto rule = [](std::string_view action, std::string_view name) {
    return SourceFile{
        std::string(name),
        policy_text("  egress: [{name: r, action: " + std::string(action) + "}]\n", name)};
  };
  check_all({rule("Allow", "b"), rule("Deny", "a")}, {{"", "deny a/r"}});
  check_all({rule("Deny", "b"), rule("Allow", "a")}, {{"", "allow a/r"}});
}

TEST_CASE("a wildcard is one or more labels under the name, not the name") {
  check_all(policy_text(R"(
  egress: [{name: r, action: Allow, to: {domainNames: ["*.x.org", y.org]}}]
)"),
            {
                {"app=- name=a.x.org", "allow p/r"},
                {"app=- name=a.b.c.x.org", "allow p/r"},
                {"app=- name=x.org", "deny default_deny"},
                {"app=- name=yx.org", "deny default_deny"},
                {"app=- name=a.x.org.evil", "deny default_deny"},
                {"app=- name=x.org.a", "deny default_deny"},
                {"app=- name=y.org", "allow p/r"},
                {"app=- name=a.y.org", "deny default_deny"},
                {"app=- name=ay.org", "deny default_deny"},
                {"app=- name=y.orga", "deny default_deny"},
                {"app=- name=-", "deny default_deny"},
            });
}

TEST_CASE("addresses of both families") {
  check_all(policy_text(R"(
  subject: {cidrs: [10.1.0.0/16, "fd00:1::/64"]}
  egress:
    - {name: hole, action: Deny, to: {cidrs: [192.0.2.128/25]}}
    - {name: v4, action: Allow, to: {cidrs: [192.0.2.0/24]}}
    - {name: v6, action: Allow, to: {cidrs: ["2001:db8::/32"]}}
    - {name: all6, action: Deny, to: {cidrs: ["::/0"]}}
    - {name: all4, action: Deny, to: {cidrs: [0.0.0.0/0]}}
)"),
            {
                {"dst=192.0.2.0", "allow p/v4"},
                {"dst=192.0.2.127", "allow p/v4"},
                {"dst=192.0.2.128", "deny p/hole"},
                {"dst=192.0.2.255", "deny p/hole"},
                {"dst=192.0.3.0", "deny p/all4"},
                {"dst=192.0.1.255", "deny p/all4"},
                {"dst=0.0.0.0", "deny p/all4"},
                {"dst=255.255.255.255", "deny p/all4"},
                {"dst=2001:db8::1", "allow p/v6"},
                {"dst=2001:db9::", "deny p/all6"},
                {"dst=::", "deny p/all6"},
                {"dst=ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "deny p/all6"},
                {"src=fd00:1::5 dst=2001:db8::1", "allow p/v6"},
                {"src=fd00:1:0:1::5 dst=2001:db8::1", "deny default_deny"},
                {"src=10.2.0.1 dst=192.0.2.1", "deny default_deny"},
                {"src=10.1.255.255 dst=192.0.2.1", "allow p/v4"},
            });
}

TEST_CASE("ports and protocols") {
  check_all(policy_text(R"(
  egress:
    - {name: low, action: Allow, protocols: [tcp: {ports: [1, 80, "8000-8099"]}, udp: {ports: [53]}]}
    - {name: http, action: Allow, protocols: [http: {ports: [8100]}]}
    - {name: top, action: Allow, protocols: [udp: {ports: ["65000-65535"]}]}
)"),
            {
                {"tcp/1", "allow p/low"},
                {"tcp/2", "deny default_deny"},
                {"tcp/80", "allow p/low"},
                {"tcp/7999", "deny default_deny"},
                {"tcp/8000", "allow p/low"},
                {"tcp/8099", "allow p/low"},
                {"tcp/8100", "pending app"},
                {"tcp/8100 app=http", "allow p/http"},
                {"tcp/8100 app=tls", "deny default_deny"},
                {"tcp/8100 app=-", "deny default_deny"},
                {"udp/8100", "deny default_deny"},
                {"tcp/53", "deny default_deny"},
                {"udp/53", "allow p/low"},
                {"udp/64999", "deny default_deny"},
                {"udp/65535", "allow p/top"},
                {"icmp", "deny default_deny"},
            });
  check_all(policy_text("  egress: [{name: any, action: Allow}]\n"),
            {{"icmp", "allow p/any"}, {"tcp/1", "allow p/any"}, {"udp/0", "allow p/any"}});
  check_all(
      policy_text("  egress: [{name: t, action: Allow, protocols: [tcp: {}]}]\n"),
      {{"tcp/1", "allow p/t"}, {"tcp/65535 app=tls", "allow p/t"}, {"udp/1", "deny default_deny"}});
}

TEST_CASE("pending only where a missing fact could still allow") {
  check_all(policy_text(R"(
  egress:
    - {name: bad, action: Deny, to: {domainNames: [bad.org]}}
    - {name: hub, action: Allow, to: {domainNames: [hub.org]}, protocols: [tls: {ports: [443]}]}
    - {name: ssh, action: Allow, protocols: [tcp: {ports: [22]}]}
    - {name: no-dns, action: Deny, protocols: [udp: {ports: [53]}]}
)"),
            {
                // Only the name can turn port 22 to deny, only both facts port 443 to allow.
                {"tcp/22", "pending name"},
                {"tcp/22 name=hub.org", "allow p/ssh"},
                {"tcp/22 name=-", "allow p/ssh"},
                {"tcp/22 name=bad.org", "deny p/bad"},
                {"tcp/443", "pending app name"},
                {"tcp/443 app=tls", "pending name"},
                {"tcp/443 name=hub.org", "pending app"},
                {"tcp/443 app=tls name=hub.org", "allow p/hub"},
                // Nothing that is left can allow.
                {"tcp/443 name=-", "deny default_deny"},
                {"tcp/443 app=-", "deny default_deny"},
                {"tcp/443 name=other.org", "deny default_deny"},
                {"tcp/443 name=bad.org", "deny p/bad"},
                {"tcp/80", "deny default_deny"},
                // Two rules could still be the one that denies: neither is named.
                {"udp/53", "deny default_deny"},
                {"udp/53 name=-", "deny p/no-dns"},
                {"udp/53 name=bad.org", "deny p/bad"},
            });
}

TEST_CASE("a rule that matches either way decides at once") {
  check_all(policy_text(R"(
  egress:
    - {name: r, action: Allow, to: {domainNames: [a.org], cidrs: [192.0.2.0/24]},
       protocols: [tls: {ports: [443]}, tcp: {ports: ["440-450"]}]}
)"),
            {
                {"dst=192.0.2.1 tcp/443", "allow p/r"},
                {"tcp/443", "pending app name"},
                {"tcp/443 name=a.org", "allow p/r"},
            });
}

TEST_CASE("an Allow that two rules could give waits for the one that does") {
  check_all(policy_text(R"(
  egress:
    - {name: named, action: Allow, to: {domainNames: [a.org]}}
    - {name: rest, action: Allow}
)"),
            {{"", "pending name"}, {"name=a.org", "allow p/named"}, {"name=-", "allow p/rest"}});
}

TEST_CASE("a name that no inspector may pass is denied as a fault") {
  const auto table = load_table(policy_text(R"(
  egress: [{name: r, action: Allow, to: {domainNames: [a.org, "*.b.org"]}}]
)"));
  FlowFacts facts = test::Flow("app=- name=a.org").facts();
  using namespace std::string_view_literals;
  const std::string long_name(254, 'a');
  for (const std::string_view name : {"x\x01"
                                      "a.org"sv,
                                      "a.org\x02"
                                      "x"sv,
                                      "x.b.org\x02x"sv, "a\x80.b.org"sv, "a\xff.b.org"sv,
                                      "a b.org"sv, std::string_view(long_name)}) {
    facts.name = name;
    CHECK(decide(*table, facts, 0) ==
          Decision{.verdict = Verdict::deny, .reason = Reason::scan_error});
  }
  facts.name = "a.org";
  CHECK(decide(*table, facts, 0).verdict == Verdict::allow);
  CHECK(decide(*table, facts, 1).reason == Reason::scan_error);  // No such worker.
  facts.name = "";
  CHECK(decide(*table, facts, 0).reason == Reason::default_deny);
}

TEST_CASE("as many matches as a name can have") {
  std::string names;
  std::string name = "a";
  for (int i = 0; i < 126; ++i) {
    names += "\"*." + name + "\", ";
    name += ".a";
  }
  names += name;
  const auto table = load_table(
      policy_text("  egress: [{name: r, action: Allow, to: {domainNames: [" + names + "]}}]\n"));
  CHECK(say(*table, test::Flow("app=- name=" + name)) == "allow p/r");
}

TEST_CASE(
    "what is remembered of a SYN holds for its own addresses, protocol, port and time alone") {
  const auto table = load_table({
      {"a.yaml", policy_text(R"(
  subject: {cidrs: [10.9.0.0/16]}
  egress: [{name: none, action: Deny}]
)",
                             "a")},
      {"p.yaml", policy_text(R"(
  egress:
    - {name: ssh, action: Allow, to: {cidrs: [203.0.113.0/24]}, protocols: [tcp: {ports: [22]}],
       expiresAt: 2027-01-01T00:00:00Z}
    - {name: web, action: Allow, to: {domainNames: [x.org]}, protocols: [tcp: {ports: [443]}]}
)")},
  });
  const std::initializer_list<Row> rows{
      {"dst=203.0.113.9 tcp/22 time=1798761599", "allow p/ssh"},
      {"dst=203.0.113.9 tcp/22 time=1798761600", "deny default_deny"},
      {"dst=203.0.113.9 tcp/23 time=1798761599", "deny default_deny"},
      {"dst=203.0.113.9 udp/22 time=1798761599", "deny default_deny"},
      {"dst=203.0.114.9 tcp/22 time=1798761599", "deny default_deny"},
      {"src=10.9.0.1 dst=203.0.113.9 tcp/22 time=1798761599", "deny a/none"},
      {"tcp/443", "pending name"},
      {"tcp/443 name=x.org", "allow p/web"},
      {"tcp/443 name=y.org", "deny default_deny"},
  };
  for (int round = 0; round < 2; ++round) {
    for (const Row& row : rows) {
      INFO(row.flow);
      CHECK(say(*table, row.flow) == row.says);
    }
  }
}

TEST_CASE("each worker has scratch of its own") {
  const auto table = load_table(
      {{"p", policy_text("  egress: [{name: r, action: Allow, to: {domainNames: [a.org]}}]\n")}},
      4);
  const test::Flow flow("app=- name=a.org");
  for (unsigned worker = 0; worker < 4; ++worker) {
    CHECK(decide(*table, flow.facts(), worker).verdict == Verdict::allow);
  }
}

TEST_CASE("rules are named from the table") {
  const auto table = load_table(policy_text("  egress: [{name: r, action: Allow}]\n", "doc"));
  REQUIRE(table->rule_count() == 1);
  CHECK(table->rule(0).policy == "doc");
  CHECK(table->rule(0).name == "r");
  CHECK(table->rule(0).terms.action == RuleAction::allow);
  CHECK(table->rule(1).name.empty());
  CHECK(table->rule(kNoRule).policy.empty());
  CHECK(table->revision() != 0);
}

TEST_CASE("a name is bound where a rule that asks for binding names it") {
  const auto table = load_table(policy_text(R"(
  egress:
    - {name: never, action: Deny, to: {domainNames: [deep.bound.test]}}
    - {name: bound, action: Allow, to: {domainNames: ["*.bound.test"]}, destinationBinding: enforce}
    - {name: tried, action: Allow, to: {domainNames: [tried.test]}, protocols: [{tls: {}}], destinationBinding: audit,
       expiresAt: 2020-01-01T00:00:00Z}
    - {name: free, action: Allow, to: {domainNames: [free.test]}}
)"));
  const auto bound = [&](std::string_view name) { return is_bound_name(*table, name, 0); };
  CHECK(bound("a.bound.test"));
  CHECK(bound("deep.bound.test"));  // whoever decides first
  CHECK(bound("tried.test"));       // whenever its time is
  CHECK_FALSE(bound("bound.test"));
  CHECK_FALSE(bound("free.test"));
  CHECK_FALSE(bound("other.test"));
  CHECK_FALSE(bound(""));
  CHECK_FALSE(is_bound_name(*table, "tried.test", 1'000));  // no such worker

  const auto none = load_table(policy_text("  egress: [{name: all, action: Allow}]\n"));
  CHECK_FALSE(is_bound_name(*none, "a.bound.test", 0));
}
