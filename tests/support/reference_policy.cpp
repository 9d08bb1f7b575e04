#include "tests/support/reference_policy.h"

#include <algorithm>

namespace sallyport::test {
namespace {

enum class Match : uint8_t { no, maybe, yes };

/// One way a rule can match, and the unknown facts it hangs on.
struct Way {
  Match match = Match::no;
  uint8_t waits_for = 0;
};

bool name_matches(const DomainPattern& pattern, std::string_view name) {
  if (!pattern.wildcard) return name == pattern.name;
  const std::string suffix = "." + pattern.name;
  return name.size() > suffix.size() && name.ends_with(suffix);
}

bool in_any(std::span<const IpPrefix> prefixes, const IpAddress& address) {
  return std::ranges::any_of(prefixes, [&](const IpPrefix& p) { return contains(p, address); });
}

Way match_name(const RuleModel& rule, const FlowFacts& facts) {
  if (facts.name_known == Known::unknown) return {Match::maybe, kFactName};
  const bool matches =
      facts.name_known == Known::present &&
      std::ranges::any_of(rule.names, [&](const auto& p) { return name_matches(p, facts.name); });
  return {matches ? Match::yes : Match::no, 0};
}

Way match_protocol(const ProtocolTerm& term, const FlowFacts& facts) {
  const uint8_t l4 = term.kind == ProtocolKind::udp ? kIpProtocolUdp : kIpProtocolTcp;
  if (facts.ip_protocol != l4) return {};
  const bool port =
      term.ports.empty() || std::ranges::any_of(term.ports, [&](PortRange range) {
        return facts.destination_port >= range.first && facts.destination_port <= range.last;
      });
  if (!port) return {};
  if (term.kind != ProtocolKind::tls && term.kind != ProtocolKind::http) return {Match::yes, 0};
  if (facts.app_known == Known::unknown) return {Match::maybe, kFactApp};
  const AppProtocol app = term.kind == ProtocolKind::tls ? AppProtocol::tls : AppProtocol::http;
  return {facts.app_known == Known::present && facts.app == app ? Match::yes : Match::no, 0};
}

Way both(Way a, Way b) {
  if (a.match == Match::no || b.match == Match::no) return {};
  return {std::min(a.match, b.match), static_cast<uint8_t>(a.waits_for | b.waits_for)};
}

/// Every pair of a destination and a protocol.
std::vector<Way> ways_of(const RuleModel& rule, const FlowFacts& facts) {
  std::vector<Way> destinations;
  if (rule.any_destination) destinations.push_back({Match::yes, 0});
  if (in_any(rule.cidrs, facts.destination)) destinations.push_back({Match::yes, 0});
  if (!rule.names.empty()) destinations.push_back(match_name(rule, facts));
  std::vector<Way> protocols;
  if (rule.protocols.empty()) protocols.push_back({Match::yes, 0});
  for (const ProtocolTerm& term : rule.protocols) protocols.push_back(match_protocol(term, facts));
  std::vector<Way> ways;
  for (const Way destination : destinations) {
    for (const Way protocol : protocols) ways.push_back(both(destination, protocol));
  }
  return ways;
}

struct Candidate {
  uint32_t rule = 0;
  Verdict action{};
};

/// Nothing later than the certain rule matters; with no certain rule the default deny is the end.
Decision conclude(const std::vector<Candidate>& possible, bool certain, uint8_t waits_for) {
  if (possible.empty()) return {Verdict::deny, Reason::default_deny, 0, kNoRule};
  if (certain && possible.size() == 1) {
    return {possible[0].action, Reason::rule, 0, possible[0].rule};
  }
  const bool can_allow =
      std::ranges::any_of(possible, [](const Candidate& c) { return c.action == Verdict::allow; });
  if (!can_allow) return {Verdict::deny, Reason::default_deny, 0, kNoRule};
  return {Verdict::pending, Reason::default_deny, waits_for, kNoRule};
}

std::string join_ports(const ProtocolTerm& term) {
  if (term.ports.empty()) return "";
  std::string out = "ports: [";
  for (const PortRange range : term.ports) {
    out += std::to_string(range.first) + "-" + std::to_string(range.last) + ", ";
  }
  return out + "]";
}

std::string rule_yaml(const RuleModel& rule) {
  constexpr const char* kKinds[] = {"tls", "http", "tcp", "udp"};
  std::string out = "    - name: " + rule.name + "\n      action: ";
  out += rule.action == Verdict::allow ? "Allow\n" : "Deny\n";
  if (!rule.any_destination) out += "      to:\n";
  if (!rule.names.empty()) out += "        domainNames:\n";
  for (const auto& name : rule.names) {
    out += "          - \"" + std::string(name.wildcard ? "*." : "") + name.name + "\"\n";
  }
  if (!rule.cidrs.empty()) out += "        cidrs:\n";
  for (const auto& cidr : rule.cidrs) out += "          - \"" + to_string(cidr) + "\"\n";
  if (!rule.protocols.empty()) out += "      protocols:\n";
  for (const auto& term : rule.protocols) {
    out += std::string("        - ") + kKinds[static_cast<size_t>(term.kind)] + ": {" +
           join_ports(term) + "}\n";
  }
  return out;
}

}  // namespace

std::string to_yaml(const PolicyModel& policy) {
  std::string out =
      "---\napiVersion: sallyport/v1\nkind: EgressPolicy\nmetadata: {name: " + policy.name +
      "}\nspec:\n";
  if (!policy.subjects.empty()) out += "  subject:\n    cidrs:\n";
  for (const auto& cidr : policy.subjects) out += "      - \"" + to_string(cidr) + "\"\n";
  out += "  egress:\n";
  for (const RuleModel& rule : policy.rules) out += rule_yaml(rule);
  return out;
}

Decision reference_decide(std::span<const PolicyModel> policies, const FlowFacts& facts) {
  std::vector<Candidate> possible;
  uint8_t waits_for = 0;
  uint32_t index = 0;
  for (const PolicyModel& policy : policies) {
    const bool subject = policy.subjects.empty() || in_any(policy.subjects, facts.source);
    for (const RuleModel& rule : policy.rules) {
      const uint32_t id = index++;
      if (!subject) continue;
      Match best = Match::no;
      for (const Way way : ways_of(rule, facts)) {
        if (way.match != Match::yes) waits_for |= way.waits_for;
        best = std::max(best, way.match);
        if (best == Match::yes) break;  // The rule's other ways do not matter.
      }
      if (best == Match::no) continue;
      possible.push_back({id, rule.action});
      if (best == Match::yes) return conclude(possible, true, waits_for);
    }
  }
  return conclude(possible, false, waits_for);
}

}  // namespace sallyport::test
