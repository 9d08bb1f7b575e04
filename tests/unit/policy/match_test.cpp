// One rule against one flow: what matches, what fails and what is waited for, condition by
// condition.
#include <catch2/catch.hpp>

#include "policy/compile/explain.h"
#include "policy/compile/match_parts.h"
#include "tests/support/policy_builder.h"

using namespace sallyport;

namespace {

constexpr int64_t kNow = 1'800'000'000;  // 2027-01-15T08:00:00Z
const std::string kEnds = "src=10.1.2.3 dst=203.0.113.9:443 ";

const std::string kSet = R"(
---
apiVersion: sallyport/v1
kind: DestinationSet
metadata: {name: mirrors}
spec: {domainNames: [pypi.org, "*.pythonhosted.org"], domainRegexes: ['m[0-9]+\.test'], cidrs: [192.0.2.0/24]}
)";

/// The models of one policy with the rule r, whose body is `rule`.
PolicyModels models_of(const std::string& rule, const std::string& spec = "") {
  const std::string body = spec + "  egress:\n    - {name: r, " + rule + "}\n";
  auto models = load_policies(std::vector{SourceFile{"p.yaml", test::policy_text(body) + kSet}});
  if (!models) FAIL(to_string(models.error().front()));
  return std::move(*models);
}

RuleMatch match(const PolicyModels& models, const std::string& flow_text) {
  const auto flow = parse_flow(flow_text, kNow);
  if (!flow) FAIL(flow.error().front().message);
  RuleMatcher matcher;
  const auto& labels = flow->values().labels;
  const PolicyModel& policy = models.policies.front();
  return matcher.match(policy, policy.rules.front(), flow->facts(), labels ? &*labels : nullptr);
}

/// "matched", "waiting for app, name", or "to.cidrs wants A, has B".
std::string say(const RuleMatch& match) {
  if (const Predicate* failed = match.failed()) {
    CHECK(match.state == MatchState::failed);
    return failed->what + " wants " + failed->wants + ", has " + failed->has;
  }
  uint16_t facts = 0;
  for (const Predicate& one : match.predicates) facts |= one.waits_for;
  return std::string(to_string(match.state)) +
         (match.state == MatchState::waiting ? " for " + facts_text(facts) : "");
}

struct Row {
  std::string rule, flow, said;
};

}  // namespace

TEST_CASE("a rule against a flow: destinations") {
  const auto row = GENERATE(values<Row>({
      {"action: Deny", "", "matched"},
      {"action: Deny, to: {cidrs: [203.0.113.0/24]}", "", "matched"},
      {"action: Deny, to: {cidrs: [203.0.113.0/32, 10.0.0.0/8]}", "",
       "to.cidrs wants 203.0.113.0/32, 10.0.0.0/8, has 203.0.113.9"},
      {"action: Deny, to: {domainNames: [pypi.org]}", "", "waiting for name"},
      {"action: Deny, to: {domainNames: [pypi.org]}", "tls.sni=pypi.org", "matched"},
      {"action: Deny, to: {domainNames: [pypi.org]}", "http.host=pypi.org", "matched"},
      {"action: Deny, to: {domainNames: [pypi.org]}", "dns.qname=pypi.org", "matched"},
      {"action: Deny, to: {domainNames: [pypi.org]}", "tls.sni=-",
       "to.domainNames wants pypi.org, has none"},
      {"action: Deny, to: {domainNames: [pypi.org]}", "tls.sni=a.pypi.org",
       "to.domainNames wants pypi.org, has a.pypi.org"},
      {"action: Deny, to: {domainNames: ['*.hf.co']}", "tls.sni=cdn.hf.co", "matched"},
      {"action: Deny, to: {domainNames: ['*.hf.co']}", "tls.sni=a.b.hf.co", "matched"},
      {"action: Deny, to: {domainNames: ['*.hf.co']}", "tls.sni=hf.co",
       "to.domainNames wants *.hf.co, has hf.co"},
      {"action: Deny, to: {domainNames: ['*.hf.co']}", "tls.sni=xhf.co",
       "to.domainNames wants *.hf.co, has xhf.co"},
      {"action: Deny, to: {domainRegexes: ['cdn-[a-z]+\\.test']}", "tls.sni=cdn-x.test", "matched"},
      {"action: Deny, to: {domainRegexes: ['cdn-[a-z]+\\.test']}", "tls.sni=cdn-x.test.evil",
       "to.domainRegexes wants cdn-[a-z]+\\.test, has cdn-x.test.evil"},
      {"action: Deny, to: {domainRegexes: ['a|b']}", "tls.sni=ba",
       "to.domainRegexes wants a|b, has ba"},
      {"action: Deny, to: {sets: [mirrors]}", "tls.sni=x.pythonhosted.org", "matched"},
      {"action: Deny, to: {sets: [mirrors]}", "tls.sni=m7.test", "matched"},
      {"action: Deny, to: {sets: [mirrors]}", "tls.sni=hf.co",
       "to wants set mirrors, has 203.0.113.9 and name hf.co"},
      {"action: Deny, to: {sets: [mirrors]}", "tls.sni=pipi.org",
       "to wants set mirrors; did you mean pypi.org?, has 203.0.113.9 and name pipi.org"},
      {"action: Deny, to: {cidrs: [10.0.0.0/8], domainNames: [a.b]}", "", "waiting for name"},
      {"action: Deny, to: {cidrs: [10.0.0.0/8], domainNames: [a.b]}", "tls.sni=-",
       "to wants 10.0.0.0/8, or a.b, has 203.0.113.9 and name none"},
      {"action: Deny, to: {cidrs: [203.0.113.9/32], domainNames: [a.b]}", "", "matched"},
      {"action: Deny, to: {domainNames: [a.b, c.d, e.f, g.h, i.j, k.l]}", "tls.sni=z.test",
       "to.domainNames wants a.b, c.d, e.f, g.h and 2 more, has z.test"},
  }));
  CAPTURE(row.rule, row.flow);
  CHECK(say(match(models_of(row.rule), kEnds + row.flow)) == row.said);
}

TEST_CASE("a rule against a flow: protocols, and what hellos and requests say") {
  const auto row = GENERATE(values<Row>({
      {"action: Deny, protocols: [{tcp: {}}]", "", "matched"},
      {"action: Deny, protocols: [{tcp: {ports: [80, '400-500']}}]", "", "matched"},
      {"action: Deny, protocols: [{tcp: {ports: [80, '444-500']}}]", "",
       "protocols wants tcp 80, 444-500, has tcp 443"},
      {"action: Deny, protocols: [{udp: {}}]", "", "protocols wants udp, has tcp 443"},
      {"action: Deny, protocols: [{udp: {}}, {icmp: {}}]", "",
       "protocols wants udp, or icmp, has tcp 443"},
      {"action: Deny, protocols: [{dns: {}}]", "proto=tcp dns.qname=a.b", "matched"},
      {"action: Deny, protocols: [{dns: {}}]", "dns.qname=a.b", "matched"},
      {"action: Deny, protocols: [{tls: {}}]", "", "waiting for app"},
      {"action: Deny, protocols: [{tls: {}}]", "app=tls", "matched"},
      {"action: Deny, protocols: [{tls: {}}]", "app=-", "app wants tls, has none"},
      {"action: Deny, protocols: [{tls: {}}, {http: {}}]", "app=-",
       "app wants tls, or http, has none"},
      {"action: Deny, protocols: [{udp: {}}, {tls: {ports: [443]}}]", "app=http",
       "app wants tls, has http"},
      {"action: Deny, protocols: [{quic: {}}]", "app=tls", "protocols wants quic, has tcp 443"},
      // alpns: every one for Allow, any one for Deny.
      {"action: Allow, protocols: [{tls: {alpns: [h2, x]}}]", "tls.alpn=h2", "matched"},
      {"action: Allow, protocols: [{tls: {alpns: [h2, x]}}]", "tls.alpn=h2,spdy",
       "tls.alpns wants only h2, x, has h2, spdy"},
      {"action: Deny, protocols: [{tls: {alpns: [h2]}}]", "tls.alpn=spdy,h2", "matched"},
      {"action: Deny, protocols: [{tls: {alpns: [h2]}}]", "tls.alpn=spdy",
       "tls.alpns wants any of h2, has spdy"},
      {"action: Allow, protocols: [{tls: {alpns: [h2]}}]", "tls.alpn=-",
       "tls.alpns wants only h2, has none"},
      {"action: Allow, protocols: [{tls: {alpns: [h2]}}]", "app=tls", "waiting for alpns"},
      {"action: Allow, protocols: [{tls: {alpns: [h2], ech: deny}}]", "",
       "waiting for app, alpns, ech"},
      {"action: Deny, protocols: [{tls: {ech: require}}]", "tls.ech=true", "matched"},
      {"action: Deny, protocols: [{tls: {ech: require}}]", "tls.ech=false",
       "tls.ech wants a hello with ECH, has no ECH"},
      {"action: Deny, protocols: [{quic: {ech: deny}}]", "quic.ech=true",
       "quic.ech wants a hello without ECH, has ECH"},
      {"action: Deny, protocols: [{tls: {ech: allow}}]", "app=tls", "matched"},
      {"action: Deny, protocols: [{http: {methods: [GET, HEAD]}}]", "http.method=GET", "matched"},
      {"action: Deny, protocols: [{http: {methods: [GET, HEAD]}}]", "http.method=get",
       "http.methods wants GET, HEAD, has get"},
      {"action: Deny, protocols: [{http: {methods: [GET]}}]", "app=http", "waiting for method"},
      {"action: Deny, protocols: [{http: {paths: ['/a/*', '/b/**']}}]", "http.path=/b/c/d",
       "matched"},
      {"action: Deny, protocols: [{http: {paths: ['/a/*', '/b/**']}}]", "http.path=/a/c/d",
       "http.paths wants /a/*, /b/**, has /a/c/d"},
      {"action: Deny, protocols: [{http: {paths: [/a]}}]", "http.path=-",
       "http.paths wants /a, has none"},
      {"action: Deny, protocols: [{http: {paths: [/a]}}]", "app=http", "waiting for path"},
      {"action: Deny, protocols: [{http: {headers: {user-agent: 'pip/*'}}}]",
       "http.header.User-Agent=pip/23", "matched"},
      {"action: Deny, protocols: [{http: {headers: {user-agent: 'pip/*'}}}]",
       "http.header.accept=x", "http.headers.user-agent wants pip/*, has none"},
      // Every line of a field has to match.
      {"action: Deny, protocols: [{http: {headers: {a: 'x*'}}}]",
       "http.header.a=x1 http.header.a=y", "http.headers.a wants x*, has x1, y"},
      {"action: Deny, protocols: [{http: {headers: {a: 'x*'}}}]",
       "http.header.a=x1 http.header.a=x2", "matched"},
      {"action: Deny, protocols: [{http: {headers: {a: 'x*'}}}]", "app=http",
       "waiting for headers"},
  }));
  CAPTURE(row.rule, row.flow);
  CHECK(say(match(models_of(row.rule), kEnds + row.flow)) == row.said);
}

TEST_CASE("a rule against a flow: JA4 is one of a list") {
  const std::string ja4 = "t13d1516h2_8daaf6152771_b186095e22b6";
  const auto models = models_of("action: Deny, protocols: [{tls: {ja4s: [" + ja4 + "]}}]");
  CHECK(say(match(models, kEnds + "tls.ja4=" + ja4)) == "matched");
  CHECK(say(match(models, kEnds + "app=tls")) == "waiting for ja4");
  CHECK(say(match(models, kEnds + "tls.ja4=x")) == "tls.ja4s wants " + ja4 + ", has x");
}

TEST_CASE("a rule against a flow: who and when") {
  const auto subject = GENERATE(values<Row>({
      {"  subject: {cidrs: [10.1.0.0/16]}\n", "", "matched"},
      {"  subject: {cidrs: [10.2.0.0/16, 10.3.0.0/16]}\n", "",
       "subject.cidrs wants 10.2.0.0/16, 10.3.0.0/16, has 10.1.2.3"},
      {"  subject: {labels: {job: train}}\n", "", "waiting for labels"},
      {"  subject: {labels: {job: train}}\n", "label.job=train label.x=y", "matched"},
      {"  subject: {labels: {job: train, team: a}}\n", "label.job=serve",
       "subject.labels wants job=train, team=a, has job=serve, no team"},
      {"  subject: {labels: {spiffeId: 'spiffe://c/a'}}\n", "spiffeId=spiffe://c/a", "matched"},
      {"  subject: {cidrs: [10.2.0.0/16], labels: {job: train}}\n", "label.job=train",
       "subject.cidrs wants 10.2.0.0/16, has 10.1.2.3"},
  }));
  CAPTURE(subject.rule, subject.flow);
  CHECK(say(match(models_of("action: Deny", subject.rule), kEnds + subject.flow)) == subject.said);

  const auto time = GENERATE(values<Row>({
      {"notBefore: 2027-01-15T08:00:00Z", "", "matched"},
      {"notBefore: 2027-01-15T08:00:01Z", "",
       "notBefore wants from 2027-01-15T08:00:01Z, has 2027-01-15T08:00:00Z"},
      {"expiresAt: 2027-01-15T08:00:01Z", "", "matched"},
      {"expiresAt: 2027-01-15T08:00:00Z", "",
       "expiresAt wants before 2027-01-15T08:00:00Z, has 2027-01-15T08:00:00Z"},
  }));
  CAPTURE(time.rule);
  CHECK(say(match(models_of("action: Deny, " + time.rule), kEnds)) == time.said);
}

TEST_CASE("a rule's conditions come in the order tried, and end with the first that fails") {
  const auto models = models_of(
      "action: Allow, to: {domainNames: [a.b]}, protocols: [{tls: {ports: [443], alpns: [h2]}}]",
      "  subject: {cidrs: [10.1.0.0/16]}\n");
  const auto conditions = [&](const std::string& flow) {
    std::string out;
    for (const Predicate& one : match(models, kEnds + flow).predicates) {
      out += one.what + " " + std::string(to_string(one.state)) + "; ";
    }
    return out;
  };
  CHECK(conditions("tls.sni=a.b tls.alpn=h2") ==
        "subject.cidrs matched; protocols matched; app matched; to.domainNames matched; "
        "tls.alpns matched; ");
  CHECK(conditions("") ==
        "subject.cidrs matched; protocols matched; app waiting; to.domainNames waiting; "
        "tls.alpns waiting; ");
  CHECK(conditions("tls.sni=c.d tls.alpn=x") ==
        "subject.cidrs matched; protocols matched; app matched; to.domainNames failed; ");
}

TEST_CASE("a rule has a way for each kind of destination and each protocol term") {
  const auto models = models_of(
      "action: Allow, to: {cidrs: [203.0.113.9/32], domainNames: [a.b]}, "
      "protocols: [{tls: {}}, {tcp: {}}]");
  const RuleMatch got = match(models, kEnds + "app=http");
  REQUIRE(got.ways.size() == 4);
  const auto way = [&](size_t i) {
    return std::string(to_string(got.ways[i].state)) + (got.ways[i].by_name ? " by name" : "");
  };
  CHECK(way(0) == "failed");
  CHECK(way(1) == "matched");
  CHECK(way(2) == "failed by name");
  CHECK(way(3) == "waiting by name");
  CHECK(got.state == MatchState::matched);
  CHECK(got.ways[3].waits_for == kFactName);
}

TEST_CASE("globs: one star, two stars, and values that only just differ") {
  struct Glob {
    std::string glob, text;
    bool path, value;
  };
  const auto row = GENERATE(values<Glob>({
      {"", "", true, true},
      {"", "a", false, false},
      {"*", "", true, true},
      {"*", "abc", true, true},
      {"*", "a/c", false, true},
      {"**", "a/c", true, true},
      {"/a/*/c", "/a/b/c", true, true},
      {"/a/*/c", "/a/b/b/c", false, true},
      {"/a/**/c", "/a/b/b/c", true, true},
      {"/a/**", "/a/", true, true},
      {"/a/**", "/a", false, false},
      {"/a*b*", "/axxbyy", true, true},
      {"/a*b*", "/ab/", false, true},
      {"a.c", "abc", false, false},
  }));
  CAPTURE(row.glob, row.text);
  CHECK(glob_matches(row.glob, row.text, true) == row.path);
  CHECK(glob_matches(row.glob, row.text, false) == row.value);
}
