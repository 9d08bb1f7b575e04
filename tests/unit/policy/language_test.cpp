// What each part of the language means, by what decide() says of flows.
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

void check_all(const PolicyTable& table, std::initializer_list<Row> rows) {
  for (const Row& row : rows) {
    INFO(row.flow);
    CHECK(say(table, row.flow) == row.says);
  }
}

/// One rule that allows, with the keys given, in front of nothing.
void check_rule(const std::string& keys, std::initializer_list<Row> rows) {
  INFO(keys);
  check_all(*load_table(policy_text("  egress: [{name: r, action: Allow, " + keys + "}]\n")), rows);
}

std::string document(const std::string& name, const std::string& spec) {
  return policy_text(spec, name) + "\n---\n";
}

}  // namespace

TEST_CASE("tiers and Pass") {
  const auto table = load_table(
      document("base", "  tier: Baseline\n  egress: [{name: web, action: Allow}]") +
      document("app", "  egress: [{name: no, action: Deny, to: {cidrs: [203.0.113.0/24]}}]") +
      document("admin",
               "  tier: Admin\n  egress:\n"
               "    - {name: skip, action: Pass, to: {cidrs: [203.0.113.9/32]}}\n"
               "    - {name: bad, action: Deny, to: {domainNames: [bad.test]}}\n"
               "    - {name: ok, action: Allow, to: {cidrs: [203.0.113.0/24]}}"));
  check_all(*table, {
                        {"dst=203.0.113.9 name=bad.test", "deny app/no"},
                        {"dst=203.0.113.8 name=bad.test", "deny admin/bad"},
                        {"dst=203.0.113.8 name=good.test", "allow admin/ok"},
                        {"dst=203.0.113.8", "pending name"},
                        {"dst=198.51.100.1 name=good.test", "allow base/web"},
                        {"dst=198.51.100.1", "pending name"},
                    });
}

TEST_CASE("a Pass that may still match keeps the next tier open") {
  const auto table = load_table(
      document("admin",
               "  tier: Admin\n  egress:\n"
               "    - {name: skip, action: Pass, to: {domainNames: [a.test]}}\n"
               "    - {name: no, action: Deny}") +
      document("app", "  egress: [{name: yes, action: Allow, protocols: [tcp: {ports: [443]}]}]"));
  check_all(*table, {
                        {"tcp/443", "pending name"},
                        {"tcp/443 name=a.test", "allow app/yes"},
                        {"tcp/443 name=b.test", "deny admin/no"},
                        {"tcp/80", "deny default_deny"},  // No tier would let it pass.
                        {"tcp/80 name=a.test", "deny default_deny"},
                    });
}

TEST_CASE("a document in audit lets pass what it would deny") {
  check_all(*load_table(document("p",
                                 "  mode: audit\n  egress:\n"
                                 "    - {name: no, action: Deny, to: {domainNames: [a.test]}}\n"
                                 "    - {name: yes, action: Allow, to: {domainNames: [b.test]}}")),
            {
                {"name=a.test", "allow p/no would_deny"},
                {"name=b.test", "allow p/yes"},
                {"name=c.test", "deny default_deny"},
                {"", "pending name"},
            });
}

TEST_CASE("regexes match a whole name") {
  check_rule("to: {domainRegexes: ['cdn-[a-z0-9]+\\.example\\.net', '^x$', 'y|z']}",
             {
                 {"name=cdn-1a.example.net", "allow p/r"},
                 {"name=cdn-1a.example.net.evil.test", "deny default_deny"},
                 {"name=evil-cdn-1a.example.net", "deny default_deny"},
                 {"name=cdn-1aXexample.net", "deny default_deny"},
                 {"name=x", "allow p/r"},
                 {"name=xx", "deny default_deny"},
                 {"name=yx", "deny default_deny"},
                 {"name=xz", "deny default_deny"},
                 {"name=z", "allow p/r"},
                 {"name=-", "deny default_deny"},
                 {"", "pending name"},
             });
}

TEST_CASE("a name that many patterns match leaves nothing behind for the next one") {
  std::string rules = "  egress:\n";
  for (int i = 0; i < 24; ++i) {
    rules += "    - {name: r" + std::to_string(i) + ", action: Allow, to: {domainRegexes: ['" +
             (i < 12 ? "a" : "b") + "{1," + std::to_string(i + 2) + "}']}}\n";
  }
  check_all(*load_table(policy_text(rules)), {
                                                 {"name=aa", "allow p/r0"},
                                                 {"name=bb", "allow p/r12"},
                                                 {"name=aa", "allow p/r0"},
                                                 {"name=c", "deny default_deny"},
                                             });
}

TEST_CASE("a set counts as if its entries stood in the rule") {
  const std::string sets =
      "apiVersion: sallyport/v1\nkind: DestinationSet\nmetadata: {name: mirrors}\n"
      "spec: {domainNames: [pypi.org], domainRegexes: ['m[0-9]\\.test'], cidrs: [192.0.2.0/24]}\n";
  check_all(*load_table(policy_text("  egress: [{name: r, action: Allow, to: {sets: [mirrors], "
                                    "domainNames: [own.test]}}]\n") +
                        "---\n" + sets),
            {
                {"name=pypi.org", "allow p/r"},
                {"name=m7.test", "allow p/r"},
                {"name=own.test", "allow p/r"},
                {"dst=192.0.2.1", "allow p/r"},
                {"name=other.test", "deny default_deny"},
            });
}

TEST_CASE("protocols are found by bytes, ports and layer 4") {
  check_rule("protocols: [tls: {ports: [443]}, quic: {ports: [443]}, dns: {}]",
             {
                 {"tcp/443 app=tls", "allow p/r"},
                 {"tcp/443", "pending app"},
                 {"udp/443 app=tls", "deny default_deny"},
                 {"udp/443 app=quic", "allow p/r"},
                 {"tcp/443 app=quic", "deny default_deny"},
                 {"udp/5353 app=dns", "allow p/r"},
                 {"tcp/53 app=dns", "allow p/r"},
                 {"udp/53 app=-", "deny default_deny"},
                 {"icmp", "deny default_deny"},
             });
  check_rule("protocols: [icmp: {}, udp: {ports: [123]}]", {
                                                               {"icmp", "allow p/r"},
                                                               {"icmpv6", "allow p/r"},
                                                               {"udp/123", "allow p/r"},
                                                               {"tcp/123", "deny default_deny"},
                                                               {"gre", "deny default_deny"},
                                                           });
  check_rule("to: {cidrs: [198.51.100.1]}", {{"gre", "allow p/r"}, {"icmp", "allow p/r"}});
}

TEST_CASE("whoever allows ALPN protocols allows no other one beside them") {
  check_rule("protocols: [tls: {alpns: [h2, http/1.1]}]",
             {
                 {"app=tls alpn=h2", "allow p/r"},
                 {"app=tls alpn=h2,http/1.1", "allow p/r"},
                 {"app=tls alpn=h2,evil", "deny default_deny"},
                 {"app=tls alpn=evil", "deny default_deny"},
                 {"app=tls alpn=-", "deny default_deny"},
                 {"app=tls", "pending alpns"},
                 {"app=tls alpn=h2,h2,h2,h2,h2,h2,h2,h2", "allow p/r"},
                 {"app=tls alpn=h2,h2,h2,h2,h2,h2,h2,h2,h2", "deny default_deny"},  // Over 8.
             });
}

TEST_CASE("whoever denies an ALPN protocol is not evaded by another one beside it") {
  check_all(*load_table(policy_text(
                "  egress:\n    - {name: no, action: Deny, protocols: [tls: {alpns: [dot, doq]}]}\n"
                "    - {name: yes, action: Allow}\n")),
            {
                {"app=tls alpn=dot", "deny p/no"},
                {"app=tls alpn=h2,dot", "deny p/no"},
                {"app=tls alpn=a,b,c,d,e,f,g,h,i,j,doq", "deny p/no"},
                {"app=tls alpn=h2", "allow p/yes"},
                {"app=tls alpn=-", "allow p/yes"},
            });
}

TEST_CASE("JA4 and encrypted client hello") {
  const char* ja4 = "t13d1516h2_8daaf6152771_e5627efa2ab1";
  check_rule(std::string("protocols: [quic: {ja4s: [") + ja4 + "]}]",
             {
                 {"udp/443 app=quic ja4=t13d1516h2_8daaf6152771_e5627efa2ab1", "allow p/r"},
                 {"udp/443 app=quic ja4=t13d1516h2_8daaf6152771_e5627efa2ab2", "deny default_deny"},
                 {"udp/443 app=quic", "pending ja4"},
             });
  check_rule("protocols: [tls: {ech: deny}]", {{"app=tls ech=no", "allow p/r"},
                                               {"app=tls ech=yes", "deny default_deny"},
                                               {"app=tls", "pending ech"}});
  check_rule("protocols: [tls: {ech: require}]",
             {{"app=tls ech=yes", "allow p/r"}, {"app=tls ech=no", "deny default_deny"}});
  check_rule("protocols: [tls: {ech: allow}]",
             {{"app=tls ech=yes", "allow p/r"}, {"app=tls", "allow p/r"}});
}

TEST_CASE("methods and paths") {
  check_rule(
      "protocols: [http: {methods: [GET, HEAD], paths: ['/models/**', '/v*/x', '**.whl', '/a.b']}]",
      {
          {"app=http method=GET path=/models/", "allow p/r"},
          {"app=http method=GET path=/models/a/b", "allow p/r"},
          {"app=http method=GET path=/models", "deny default_deny"},
          {"app=http method=PUT path=/models/a", "deny default_deny"},
          {"app=http method=get path=/models/a", "deny default_deny"},
          {"app=http method=HEAD path=/v12/x", "allow p/r"},
          {"app=http method=HEAD path=/v1/2/x", "deny default_deny"},
          {"app=http method=HEAD path=/any/where.whl", "allow p/r"},
          {"app=http method=HEAD path=/aXb", "deny default_deny"},
          {"app=http method=HEAD path=/a.bc", "deny default_deny"},
          {"app=http", "pending method path"},
          {"app=http method=PUT", "deny default_deny"},
          {"app=http method=GET", "pending path"},
          {"", "pending app method path"},
          {"app=tls", "deny default_deny"},
      });
}

TEST_CASE("headers: all conditions, on every line of that name") {
  check_rule("protocols: [http: {headers: {User-Agent: 'pip/*', accept: '*json*'}}]",
             {
                 {"app=http header.user-agent=pip/23 header.accept=a,json", "allow p/r"},
                 {"app=http header.user-agent=pip/23", "deny default_deny"},
                 {"app=http header.user-agent=curl header.accept=json", "deny default_deny"},
                 {"app=http header.user-agent=pip/1 header.user-agent=curl header.accept=json",
                  "deny default_deny"},
                 {"app=http header.user-agent=json header.accept=pip/1", "deny default_deny"},
                 {"app=http headers=-", "deny default_deny"},
                 {"app=http", "pending headers"},
             });
}

TEST_CASE("a rule holds from notBefore up to, and not at, expiresAt") {
  check_rule("notBefore: 1970-01-01T00:01:40Z, expiresAt: 1970-01-01T00:03:20Z",
             {
                 {"time=99", "deny default_deny"},
                 {"time=100", "allow p/r"},
                 {"time=199", "allow p/r"},
                 {"time=200", "deny default_deny"},
             });
  check_rule("notBefore: 1970-01-01T00:01:40Z",
             {{"time=99", "deny default_deny"}, {"time=9223372036854775807", "allow p/r"}});
  check_rule("expiresAt: 1970-01-01T00:01:40Z",
             {{"time=-9223372036854775808", "allow p/r"}, {"time=100", "deny default_deny"}});
}

TEST_CASE("destination binding is about flows that a name let through") {
  const std::string to = "to: {domainNames: [a.test], cidrs: [192.0.2.0/24]}, ";
  check_rule(to + "destinationBinding: enforce",
             {
                 {"name=a.test binding=bound", "allow p/r"},
                 {"name=a.test binding=unbound", "deny p/r destination_binding"},
                 {"name=a.test", "pending binding"},
                 {"dst=192.0.2.1 name=a.test binding=unbound", "allow p/r"},
                 {"binding=unbound", "deny default_deny"},  // No name could help.
             });
  check_rule(to + "destinationBinding: audit",
             {
                 {"name=a.test binding=bound", "allow p/r"},
                 {"name=a.test binding=unbound", "allow p/r destination_binding would_deny"},
                 {"name=a.test", "allow p/r"},
             });
}

TEST_CASE("a document in audit denies for no binding and no budget") {
  check_all(
      *load_table(policy_text(
          "  mode: audit\n  egress:\n    - {name: r, action: Allow, to: {domainNames: [a.test]},"
          " destinationBinding: enforce, budget: {bytesOut: 1, window: 1s}}\n")),
      {
          {"name=a.test binding=bound", "allow p/r"},
          {"name=a.test", "allow p/r"},  // It passes, whatever the binding turns out to be.
          {"name=a.test binding=unbound", "allow p/r destination_binding would_deny"},
          {"name=a.test binding=bound budget=spent", "allow p/r budget_exceeded would_deny"},
      });
}

TEST_CASE("a spent budget") {
  check_rule("budget: {bytesOut: 1GiB, window: 1h}",
             {{"budget=spent", "deny p/r budget_exceeded"}, {"", "allow p/r"}});
  check_rule("budget: {bytesOut: 1GiB, window: 1h, onExceed: audit}",
             {{"budget=spent", "allow p/r budget_exceeded would_deny"}});
  check_rule("log: all", {{"budget=spent", "allow p/r"}});
}

TEST_CASE("labels come from the identity feed") {
  const auto table = load_table(
      document("train",
               "  subject: {labels: {job: train, team: a}}\n  egress: [{name: r, action: Allow}]") +
      document("zzz",
               "  subject: {labels: {spiffeId: 'spiffe://x/y'}, cidrs: [10.0.0.0/8]}\n"
               "  egress: [{name: r, action: Allow}]"));
  CHECK(say(*table, "src=10.0.0.1") == "pending labels");
  const auto address = [](std::string_view text) { return parse_ip_address(text).value(); };
  const std::vector<Identity> feed{
      {address("10.0.0.1"), {{"job", "train"}, {"team", "a"}, {"more", "x"}}},
      {address("10.0.0.2"), {{"job", "train"}}},
      {address("10.0.0.3"), {{"spiffeId", "spiffe://x/y"}}},
      {address("fd00::3"), {{"spiffeId", "spiffe://x/y"}}},
      {address("10.0.0.4"), {}},
      {address("10.0.0.4"), {{"spiffeId", "spiffe://x/y"}}},  // The last mention holds.
      {address("10.0.0.5"), {{"spiffeId", "spiffe://x/y"}}},
      {address("10.0.0.5"), {}},
  };
  const auto with_feed = table->with_identities(feed).value();
  check_all(*with_feed, {
                            {"src=10.0.0.1", "allow train/r"},
                            {"src=10.0.0.2", "deny default_deny"},
                            {"src=10.0.0.3", "allow zzz/r"},
                            {"src=fd00::3", "deny default_deny"},
                            {"src=10.0.0.4", "allow zzz/r"},
                            {"src=10.0.0.5", "deny default_deny"},
                            {"src=10.0.0.9", "deny default_deny"},
                        });
  CHECK(with_feed->revision() == table->revision());
  CHECK(say(*with_feed->with_identities({}).value(), "src=10.0.0.1") == "deny default_deny");
  CHECK(say(*table, "src=10.0.0.1") == "pending labels");
}

TEST_CASE("what a rule wants done is read from the table") {
  const auto table = load_table(
      policy_text("  tier: Baseline\n  mode: audit\n  egress:\n"
                  "    - {name: r, action: Allow, onDeny: drop, log: denies,\n"
                  "       budget: {bytesOut: 5KB, window: 2m, scope: rule, onExceed: audit},\n"
                  "       protocols: [http: {headers: {b: x, a: y}}]}\n"));
  CHECK(table->rule(0).terms == RuleTerms{.action = RuleAction::allow,
                                          .tier = Tier::baseline,
                                          .mode = PolicyMode::audit,
                                          .on_deny = OnDeny::drop,
                                          .log = LogLevel::denies,
                                          .budget = {.bytes_out = 5000,
                                                     .window_seconds = 120,
                                                     .scope = BudgetScope::rule,
                                                     .on_exceed = OnExceed::audit}});
  const auto names = table->header_names();
  CHECK(std::vector<std::string_view>(names.begin(), names.end()) ==
        std::vector<std::string_view>{"a", "b"});
}
