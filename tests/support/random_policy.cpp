#include "tests/support/random_policy.h"

#include <algorithm>
#include <memory>
#include <random>
#include <tuple>

namespace sallyport::test {
namespace {

constexpr const char* kAlpns[] = {"h2", "http/1.1", "h3"};
constexpr const char* kJa4s[] = {"t13d1516h2_8daaf6152771_e5627efa2ab1",
                                 "q13d0312h3_55b375c5d22e_06cda9e17597"};
constexpr int64_t kTimes[] = {1'000, 2'000, 3'000};

}  // namespace

std::string RandomPolicy::pick(std::initializer_list<const char*> pool) {
  return pool.begin()[below(static_cast<unsigned>(pool.size()))];
}

std::vector<std::string> RandomPolicy::some(std::initializer_list<const char*> pool) {
  std::vector<std::string> out;
  for (unsigned i = 1 + below(2); i > 0; --i) out.push_back(pick(pool));
  return out;
}

std::string RandomPolicy::name() {
  std::string out = pick({"a", "b", "aa", "c-1"});
  for (unsigned i = below(3); i > 0; --i) out.insert(0, pick({"a", "b", "aa", "c-1"}) + ".");
  return out;
}

IpAddress RandomPolicy::address() {
  IpAddress out;
  if (chance(60)) {
    const uint8_t four[] = {10, static_cast<uint8_t>(below(2)),
                            static_cast<uint8_t>(below(2) * 255), static_cast<uint8_t>(below(256))};
    return IpAddress::v4(four);
  }
  if (chance(50)) out.bytes[0] = 0x20;
  if (chance(20)) out.bytes.fill(0xff);
  out.bytes[7] = static_cast<uint8_t>(below(3));
  out.bytes[15] = static_cast<uint8_t>(below(4));
  return out;
}

IpPrefix RandomPolicy::prefix() {
  const IpAddress base = address();
  const unsigned longest = base.is_v4() ? 32 : 128;
  const unsigned bits = chance(20) ? 0 : chance(30) ? longest : below(longest + 1);
  return parse_ip_prefix_clearing(to_string(base) + "/" + std::to_string(bits)).value();
}

uint16_t RandomPolicy::port() {
  return static_cast<uint16_t>(chance(80) ? 440 + below(6) : 1 + below(65535));
}

Destinations RandomPolicy::destinations() {
  Destinations out;
  for (unsigned i = below(4); i > 0; --i) out.names.push_back({name(), chance(40)});
  for (unsigned i = chance(20) ? 1 + below(2) : 0; i > 0; --i) {
    out.regexes.push_back({pick({"a.*", "[ab]\\.c-1", "a|b", "(aa|b)(\\.a)?", "^b\\..+$"}), {}});
  }
  for (unsigned i = below(3); i > 0; --i) out.cidrs.push_back(prefix());
  return out;
}

void RandomPolicy::hello_conditions(ProtocolTerm& out) {
  if (chance(25)) out.alpns = some({kAlpns[0], kAlpns[1], kAlpns[2]});
  if (chance(10)) out.ja4s = some({kJa4s[0], kJa4s[1]});
  if (chance(15)) out.ech = chance(50) ? EchMatch::with : EchMatch::without;
}

void RandomPolicy::request_conditions(ProtocolTerm& out) {
  if (chance(30)) out.methods = some({"GET", "PUT", "HEAD"});
  if (chance(30)) out.paths = some({"/a/*", "/a/**", "**", "/*/b", "/a*b", "**/b"});
  if (!chance(30)) return;
  for (const char* header : {"accept", "user-agent", "x-id"}) {
    if (chance(50)) out.headers.push_back({header, pick({"a*", "*", "*b", "ab"})});
  }
}

ProtocolTerm RandomPolicy::term() {
  ProtocolTerm out;
  out.kind = static_cast<ProtocolKind>(below(static_cast<unsigned>(ProtocolKind::count_)));
  if (out.kind == ProtocolKind::icmp) return out;
  for (unsigned i = below(3); i > 0; --i) {
    const auto [first, last] = std::minmax({port(), port()});
    out.ports.push_back({first, last});
  }
  if (out.kind == ProtocolKind::tls || out.kind == ProtocolKind::quic) hello_conditions(out);
  if (out.kind == ProtocolKind::http) request_conditions(out);
  return out;
}

void RandomPolicy::terms(RuleModel& rule) {
  if (chance(10)) rule.not_before = kTimes[below(2)];
  if (chance(10)) rule.expires_at = kTimes[2];
  rule.terms.on_deny = chance(20) ? OnDeny::drop : OnDeny::reset;
  rule.terms.log = static_cast<LogLevel>(below(4));
  if (rule.terms.action != RuleAction::allow) return;
  if (chance(30)) rule.terms.binding = static_cast<DestinationBinding>(below(3));
  if (!chance(20)) return;
  rule.terms.budget = {.bytes_out = 1 + below(1000),
                       .window_seconds = 1 + below(1000),
                       .scope = static_cast<BudgetScope>(below(3)),
                       .on_exceed = static_cast<OnExceed>(below(2))};
}

RuleModel RandomPolicy::rule(unsigned index, const PolicyModel& policy,
                             const PolicyModels& models) {
  RuleModel out;
  out.name = "r" + std::to_string(index);
  out.terms.tier = policy.tier;
  out.terms.mode = policy.mode;
  const unsigned kind = below(100);
  out.terms.action = kind < 50   ? RuleAction::allow
                     : kind < 85 ? RuleAction::deny
                                 : RuleAction::pass;
  if (out.terms.action == RuleAction::pass && policy.tier == Tier::baseline) {
    out.terms.action = RuleAction::deny;
  }
  if (!chance(15)) out.destinations = destinations();
  if (!models.sets.empty() && chance(20)) {
    out.sets.push_back(models.sets[below(static_cast<unsigned>(models.sets.size()))].get());
  }
  out.any_destination =
      !out.destinations.has_names() && out.destinations.cidrs.empty() && out.sets.empty();
  for (unsigned i = below(4); i > 0; --i) out.protocols.push_back(term());
  terms(out);
  return out;
}

Labels RandomPolicy::labels() {
  Labels out;
  for (const char* key : {"job", "team"}) {
    if (chance(60)) out[key] = pick({"x", "y"});
  }
  return out;
}

PolicyModels RandomPolicy::models() {
  PolicyModels out;
  for (unsigned i = 0, sets = below(3); i < sets; ++i) {
    auto set = std::make_unique<DestinationSetModel>();
    set->name = "s" + std::to_string(i);
    while (!set->destinations.has_names() && set->destinations.cidrs.empty()) {
      set->destinations = destinations();
      if (set->destinations.cidrs.empty()) set->destinations.names.push_back({name(), false});
    }
    out.sets.push_back(std::move(set));
  }
  for (unsigned i = 0, policies = 1 + below(4); i < policies; ++i) {
    PolicyModel policy;
    policy.name = "p" + std::to_string(i);
    policy.tier = static_cast<Tier>(below(static_cast<unsigned>(Tier::count_)));
    policy.priority = below(2);
    policy.mode = chance(20) ? PolicyMode::audit : PolicyMode::enforce;
    for (unsigned k = chance(50) ? 0 : 1 + below(2); k > 0; --k) {
      policy.subjects.push_back(prefix());
    }
    if (chance(25)) policy.subject_labels = labels();
    const unsigned rules = chance(5) ? 80 : 1 + below(8);
    for (unsigned k = 0; k < rules; ++k) policy.rules.push_back(rule(k, policy, out));
    out.policies.push_back(std::move(policy));
  }
  std::ranges::sort(out.policies, [](const PolicyModel& a, const PolicyModel& b) {
    return std::tie(a.tier, a.priority, a.name) < std::tie(b.tier, b.priority, b.name);
  });
  return out;
}

std::optional<std::vector<Identity>> RandomPolicy::identities() {
  if (chance(25)) return {};
  std::vector<Identity> out;
  for (unsigned i = below(200); i > 0; --i) {
    const Labels chosen = labels();
    out.push_back({address(), {chosen.begin(), chosen.end()}});
  }
  return out;
}

RandomFlow::RandomFlow(RandomPolicy& random) : name(random.name()) {
  constexpr uint8_t kProtocols[] = {kIpProtocolTcp,
                                    kIpProtocolTcp,
                                    kIpProtocolTcp,
                                    kIpProtocolUdp,
                                    kIpProtocolIcmp,
                                    kIpProtocolIcmpV6,
                                    47};
  facts_.source = random.address();
  facts_.destination = random.address();
  facts_.ip_protocol = kProtocols[random.below(7)];
  const bool ports = facts_.ip_protocol == kIpProtocolTcp || facts_.ip_protocol == kIpProtocolUdp;
  facts_.destination_port = ports ? random.port() : uint16_t{0};
  facts_.unix_seconds = kTimes[random.below(3)] - random.below(2);
  facts_.app_known = known(random);
  facts_.app = static_cast<AppProtocol>(random.below(static_cast<unsigned>(AppProtocol::count_)));
  facts_.name_known = known(random);
  facts_.alpns_known = known(random);
  for (unsigned i = 1 + random.below(3); i > 0; --i) {
    alpns_.emplace_back(random.chance(80) ? kAlpns[random.below(3)] : "other");
  }
  facts_.ja4_known = known(random);
  ja4_ = kJa4s[random.below(2)];
  facts_.ech_known = random.chance(50) ? Known::present : Known::absent;
  facts_.method_known = known(random);
  constexpr const char* kMethods[] = {"GET", "PUT", "POST"};
  method_ = kMethods[random.below(3)];
  facts_.path_known = known(random);
  constexpr const char* kPaths[] = {"/a/b", "/a/b/c", "/b", "/", "/a/", "/ab", "/x/b"};
  path_ = kPaths[random.below(7)];
  facts_.headers_known = known(random);
  for (const char* header : {"accept", "user-agent", "x-id", "user-agent"}) {
    if (!random.chance(40)) continue;
    constexpr const char* kValues[] = {"a", "ab", "b", ""};
    headers_.push_back({header, kValues[random.below(4)]});
  }
  facts_.binding_known = random.chance(50) ? Known::present : Known::absent;
  facts_.budget_spent = random.chance(20);
}

FlowFacts RandomFlow::hiding(unsigned unknown) const {
  FlowFacts out = facts_;
  out.name = name;
  out.alpns = alpns_;
  out.ja4 = ja4_;
  out.method = method_;
  out.path = path_;
  out.headers = headers_;
  const auto hide = [unknown](unsigned bit, Known& known) {
    if ((unknown & bit) != 0) known = Known::unknown;
  };
  hide(kFactApp, out.app_known);
  hide(kFactName, out.name_known);
  hide(kFactAlpns, out.alpns_known);
  hide(kFactJa4, out.ja4_known);
  hide(kFactEch, out.ech_known);
  hide(kFactMethod, out.method_known);
  hide(kFactPath, out.path_known);
  hide(kFactHeaders, out.headers_known);
  hide(kFactBinding, out.binding_known);
  return out;
}

RandomPolicy seeded(unsigned seed) {
  auto engine = std::make_shared<std::mt19937>(seed);
  return RandomPolicy(
      [engine](unsigned limit) { return std::uniform_int_distribution(0u, limit - 1)(*engine); });
}

}  // namespace sallyport::test
