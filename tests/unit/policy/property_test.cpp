#include <algorithm>
#include <catch2/catch.hpp>
#include <random>

#include "policy/compile/model.h"
#include "tests/support/policy_builder.h"
#include "tests/support/reference_policy.h"

using namespace sallyport;

namespace {

/// Small pools, so that random rules and random flows meet often.
class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}

  unsigned below(unsigned limit) { return std::uniform_int_distribution(0u, limit - 1)(engine_); }
  bool chance(unsigned percent) { return below(100) < percent; }

  std::string name() {
    constexpr const char* kLabels[] = {"a", "b", "aa", "c-1"};
    std::string out = kLabels[below(4)];
    for (unsigned i = below(3); i > 0; --i) out.insert(0, std::string(kLabels[below(4)]) + ".");
    return out;
  }

  IpAddress address() {
    IpAddress out;
    if (chance(60)) {
      const uint8_t four[] = {10, static_cast<uint8_t>(below(2)),
                              static_cast<uint8_t>(below(2) * 255),
                              static_cast<uint8_t>(below(256))};
      return IpAddress::v4(four);
    }
    if (chance(50)) out.bytes[0] = 0x20;
    if (chance(20)) out.bytes.fill(0xff);
    out.bytes[7] = static_cast<uint8_t>(below(3));
    out.bytes[15] = static_cast<uint8_t>(below(4));
    return out;
  }

  IpPrefix prefix() {
    const IpAddress base = address();
    const unsigned longest = base.is_v4() ? 32 : 128;
    const unsigned bits = chance(20) ? 0 : chance(30) ? longest : below(longest + 1);
    return parse_ip_prefix_clearing(to_string(base) + "/" + std::to_string(bits)).value();
  }

  uint16_t port() { return static_cast<uint16_t>(chance(80) ? 440 + below(6) : 1 + below(65535)); }

  RuleModel rule(unsigned index) {
    RuleModel out;
    out.name = "r" + std::to_string(index);
    out.action = chance(55) ? Verdict::allow : Verdict::deny;
    out.any_destination = chance(15);
    for (unsigned i = out.any_destination ? 0 : below(4); i > 0; --i) {
      out.names.push_back({name(), chance(40)});
    }
    for (unsigned i = out.any_destination ? 0 : below(3); i > 0; --i) out.cidrs.push_back(prefix());
    if (out.names.empty() && out.cidrs.empty()) out.any_destination = true;
    for (unsigned i = below(4); i > 0; --i) out.protocols.push_back(term());
    return out;
  }

  ProtocolTerm term() {
    ProtocolTerm out{static_cast<ProtocolKind>(below(4)), {}};
    for (unsigned i = below(3); i > 0; --i) {
      const auto [first, last] = std::minmax({port(), port()});
      out.ports.push_back({first, last});
    }
    return out;
  }

  std::vector<PolicyModel> policies() {
    std::vector<PolicyModel> out(1 + below(3));
    for (unsigned i = 0; i < out.size(); ++i) {
      out[i].name = "p" + std::to_string(i);
      for (unsigned k = chance(50) ? 0 : 1 + below(2); k > 0; --k)
        out[i].subjects.push_back(prefix());
      const unsigned rules = chance(5) ? 80 : 1 + below(8);
      for (unsigned k = 0; k < rules; ++k) out[i].rules.push_back(rule(k));
    }
    return out;
  }

 private:
  std::mt19937 engine_;
};

/// A flow with every fact settled, and the name's bytes.
struct FullFlow {
  std::string name;
  FlowFacts facts;

  explicit FullFlow(Random& random) : name(random.name()) {
    facts.source = random.address();
    facts.destination = random.address();
    constexpr uint8_t kProtocols[] = {kIpProtocolTcp, kIpProtocolTcp, kIpProtocolTcp,
                                      kIpProtocolUdp, kIpProtocolIcmp};
    facts.ip_protocol = kProtocols[random.below(5)];
    facts.destination_port = facts.ip_protocol == kIpProtocolIcmp ? uint16_t{0} : random.port();
    facts.app_known = random.chance(80) ? Known::present : Known::absent;
    facts.app = random.chance(60) ? AppProtocol::tls : AppProtocol::http;
    facts.name_known = random.chance(85) ? Known::present : Known::absent;
  }
  FullFlow(const FullFlow&) = delete;
  FullFlow& operator=(const FullFlow&) = delete;

  /// With the facts in `unknown` (FactBit) hidden.
  FlowFacts hiding(unsigned unknown) const {
    FlowFacts out = facts;
    out.name = name;
    if ((unknown & kFactApp) != 0) out.app_known = Known::unknown;
    if ((unknown & kFactName) != 0) out.name_known = Known::unknown;
    return out;
  }
};

std::string yaml_of(const std::vector<PolicyModel>& policies) {
  std::string text;
  for (auto it = policies.rbegin(); it != policies.rend(); ++it) text += test::to_yaml(*it);
  return text;
}

/// decide() equals the reference for every set of unknown facts, and a final answer stays.
void check_flow(const PolicyTable& table, const std::vector<PolicyModel>& policies,
                const FullFlow& flow) {
  constexpr unsigned kAllUnknown = kFactApp | kFactName;
  for (unsigned unknown = 0; unknown <= kAllUnknown; ++unknown) {
    const FlowFacts facts = flow.hiding(unknown);
    const Decision got = decide(table, facts, 0);
    const Decision want = test::reference_decide(policies, facts);
    CAPTURE(unknown, flow.name, to_string(facts.source), to_string(facts.destination),
            facts.destination_port, static_cast<int>(facts.app_known), static_cast<int>(facts.app));
    CAPTURE(test::say(table, got), test::say(table, want));
    REQUIRE(got == want);
    for (unsigned fewer = 0; fewer < unknown; ++fewer) {
      const bool reveals = (fewer & ~unknown) == 0;
      if (!reveals || got.verdict == Verdict::pending) continue;
      REQUIRE(decide(table, flow.hiding(fewer), 0).verdict == got.verdict);
    }
    if (got.verdict == Verdict::pending) {
      REQUIRE((got.waits_for & ~unknown) == 0);
      REQUIRE(got.waits_for != 0);
    }
  }
}

}  // namespace

TEST_CASE("decide() agrees with a walk over every rule, whatever is unknown") {
  for (unsigned seed = 1; seed <= 400; ++seed) {
    Random random(seed);
    const auto policies = random.policies();
    const std::string text = yaml_of(policies);
    CAPTURE(seed, text);
    const auto table = test::load_table(text);
    for (int i = 0; i < 60; ++i) check_flow(*table, policies, FullFlow(random));
  }
}

TEST_CASE("decide() agrees where clauses span many words and summaries") {
  Random random(7);
  std::vector<PolicyModel> policies(1);
  policies[0].name = "p0";
  for (unsigned i = 0; i < 6000; ++i) {
    RuleModel rule = random.rule(i);
    // Mostly rules that nothing meets, so that the first match is deep inside.
    if (!random.chance(1)) {
      rule.any_destination = false;
      rule.cidrs.clear();
      rule.names = {{"n" + std::to_string(i) + ".example", random.chance(30)}};
    }
    policies[0].rules.push_back(std::move(rule));
  }
  const auto table = test::load_table(yaml_of(policies));
  for (int i = 0; i < 300; ++i) {
    FullFlow flow(random);
    if (random.chance(60)) flow.name = "n" + std::to_string(random.below(6000)) + ".example";
    if (random.chance(20)) flow.name = "x." + flow.name;
    check_flow(*table, policies, flow);
  }
}

TEST_CASE("the order of files and documents does not change the image") {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    Random random(seed);
    const auto policies = random.policies();
    std::vector<SourceFile> sources;
    sources.reserve(policies.size());
    for (const auto& policy : policies) sources.push_back({policy.name, test::to_yaml(policy)});
    const auto forward = compile_policy(sources);
    std::ranges::reverse(sources);
    const auto backward = compile_policy(sources);
    const auto joined = compile_policy(std::vector{SourceFile{"all", yaml_of(policies)}});
    REQUIRE((forward && backward && joined));
    CHECK(forward->image == backward->image);
    CHECK(forward->image == joined->image);
    CHECK(forward->revision == joined->revision);
    CHECK(PolicyTable::load(forward->image, 1).value()->revision() == forward->revision);
  }
}
