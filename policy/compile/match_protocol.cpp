#include <algorithm>
#include <array>
#include <optional>

#include "policy/compile/flow_text.h"
#include "policy/compile/match_parts.h"

namespace sallyport {
namespace {

constexpr std::array<const char*, static_cast<size_t>(ProtocolKind::count_)> kKindNames{
    "tls", "quic", "http", "dns", "tcp", "udp", "icmp"};

std::string name_of(ProtocolKind kind) {
  return kKindNames[static_cast<size_t>(kind)];
}

bool carries(ProtocolKind kind, uint8_t ip_protocol) {
  switch (kind) {
    case ProtocolKind::tls:
    case ProtocolKind::http:
    case ProtocolKind::tcp:
      return ip_protocol == kIpProtocolTcp;
    case ProtocolKind::quic:
    case ProtocolKind::udp:
      return ip_protocol == kIpProtocolUdp;
    case ProtocolKind::dns:
      return ip_protocol == kIpProtocolTcp || ip_protocol == kIpProtocolUdp;
    case ProtocolKind::icmp:
      return ip_protocol == kIpProtocolIcmp || ip_protocol == kIpProtocolIcmpV6;
    case ProtocolKind::count_:
      break;
  }
  return false;
}

std::string range_text(PortRange range) {
  const std::string first = std::to_string(range.first);
  return range.first == range.last ? first : first + "-" + std::to_string(range.last);
}

std::string port_text(const FlowFacts& facts) {
  const std::string name = ip_protocol_text(facts.ip_protocol);
  const bool ports = facts.ip_protocol == kIpProtocolTcp || facts.ip_protocol == kIpProtocolUdp;
  return ports ? name + " " + std::to_string(facts.destination_port) : name;
}

/// A condition on one text: any of `wanted`, which is not empty.
Predicate match_text(std::string what, const std::vector<std::string>& wanted, Known known,
                     std::string_view value, FactBit fact) {
  std::string wants = listed(wanted);
  if (known == Known::unknown) return awaited(std::move(what), std::move(wants), fact);
  const bool present = known == Known::present;
  return settled(std::move(what), std::move(wants), present ? std::string(value) : "none",
                 present && std::ranges::find(wanted, value) != wanted.end());
}

Predicate match_alpns(const ProtocolTerm& term, RuleAction action, const FlowFacts& facts) {
  const std::string what = name_of(term.kind) + ".alpns";
  const bool deny = action == RuleAction::deny;
  const std::string wants = (deny ? "any of " : "only ") + listed(term.alpns);
  if (facts.alpns_known == Known::unknown) return awaited(what, wants, kFactAlpns);
  if (facts.alpns_known == Known::absent || facts.alpns.empty()) {
    return settled(what, wants, "none", false);
  }
  const auto is_listed = [&term](std::string_view alpn) {
    return std::ranges::find(term.alpns, alpn) != term.alpns.end();
  };
  const bool matches = deny ? std::ranges::any_of(facts.alpns, is_listed)
                            : std::ranges::all_of(facts.alpns, is_listed);
  const std::vector<std::string> offered(facts.alpns.begin(), facts.alpns.end());
  return settled(what, wants, listed(offered), matches);
}

Predicate match_ech(const ProtocolTerm& term, const FlowFacts& facts) {
  const std::string what = name_of(term.kind) + ".ech";
  const bool with = term.ech == EchMatch::with;
  const std::string wants = with ? "a hello with ECH" : "a hello without ECH";
  if (facts.ech_known == Known::unknown) return awaited(what, wants, kFactEch);
  const bool has = facts.ech_known == Known::present;
  return settled(what, wants, has ? "ECH" : "no ECH", has == with);
}

Predicate match_paths(const ProtocolTerm& term, const FlowFacts& facts) {
  const std::string wants = listed(term.paths);
  if (facts.path_known == Known::unknown) return awaited("http.paths", wants, kFactPath);
  if (facts.path_known == Known::absent) return settled("http.paths", wants, "none", false);
  const bool matches = std::ranges::any_of(term.paths, [&facts](const std::string& glob) {
    return glob_matches(glob, facts.path, true);
  });
  return settled("http.paths", wants, std::string(facts.path), matches);
}

Predicate match_header(const HeaderMatch& wanted, const FlowFacts& facts) {
  const std::string what = "http.headers." + wanted.name;
  if (facts.headers_known == Known::unknown) return awaited(what, wanted.glob, kFactHeaders);
  std::vector<std::string> lines;
  bool all = true;
  for (const HttpHeader& header : facts.headers) {
    if (facts.headers_known == Known::absent || header.name != wanted.name) continue;
    lines.emplace_back(header.value);
    all = all && glob_matches(wanted.glob, header.value, false);
  }
  return settled(what, wanted.glob, lines.empty() ? "none" : listed(lines), all && !lines.empty());
}

}  // namespace

Predicate settled(std::string what, std::string wants, std::string has, bool matches) {
  return {.what = std::move(what),
          .wants = std::move(wants),
          .has = std::move(has),
          .state = matches ? MatchState::matched : MatchState::failed};
}

Predicate awaited(std::string what, std::string wants, FactBit fact) {
  return {.what = std::move(what),
          .wants = std::move(wants),
          .has = "not known yet",
          .state = MatchState::waiting,
          .waits_for = fact};
}

std::string listed(std::span<const std::string> items) {
  constexpr size_t kShown = 4;
  std::string out;
  for (size_t i = 0; i < std::min(items.size(), kShown); ++i) {
    out += (i == 0 ? "" : ", ") + items[i];
  }
  if (items.size() > kShown) out += " and " + std::to_string(items.size() - kShown) + " more";
  return out;
}

bool glob_matches(std::string_view glob, std::string_view text, bool segments) {
  // Which prefixes of the text the glob so far matches, by their length.
  std::vector<bool> reached(text.size() + 1);
  reached[0] = true;
  for (size_t at = 0; at < glob.size(); ++at) {
    if (glob[at] != '*') {
      for (size_t i = text.size(); i > 0; --i)
        reached[i] = reached[i - 1] && text[i - 1] == glob[at];
      reached[0] = false;
      continue;
    }
    const bool two = glob.substr(at).starts_with("**");
    for (size_t i = 1; i <= text.size(); ++i) {
      const bool longer = reached[i - 1] && (two || !segments || text[i - 1] != '/');
      reached[i] = reached[i] || longer;
    }
    if (two) ++at;
  }
  return reached.back();
}

std::string term_text(const ProtocolTerm& term) {
  std::vector<std::string> ports;
  for (const PortRange range : term.ports) ports.push_back(range_text(range));
  return name_of(term.kind) + (ports.empty() ? "" : " " + listed(ports));
}

Predicate match_carrier(const ProtocolTerm& term, const FlowFacts& facts) {
  const bool port =
      term.ports.empty() || std::ranges::any_of(term.ports, [&facts](PortRange range) {
        return facts.destination_port >= range.first && facts.destination_port <= range.last;
      });
  return settled(kCarrierCondition, term_text(term), port_text(facts),
                 port && carries(term.kind, facts.ip_protocol));
}

std::vector<Predicate> match_app(const ProtocolTerm& term, const FlowFacts& facts) {
  const auto app = app_of(term.kind);
  if (!app) return {};
  const std::string wants = name_of(term.kind);
  if (facts.app_known == Known::unknown) return {awaited(kAppCondition, wants, kFactApp)};
  const bool present = facts.app_known == Known::present;
  return {settled(kAppCondition, wants, present ? std::string(to_string(facts.app)) : "none",
                  present && facts.app == *app)};
}

std::vector<Predicate> match_details(const ProtocolTerm& term, RuleAction action,
                                     const FlowFacts& facts) {
  std::vector<Predicate> out;
  if (!term.alpns.empty()) out.push_back(match_alpns(term, action, facts));
  if (!term.ja4s.empty()) {
    out.push_back(
        match_text(name_of(term.kind) + ".ja4s", term.ja4s, facts.ja4_known, facts.ja4, kFactJa4));
  }
  if (term.ech != EchMatch::any) out.push_back(match_ech(term, facts));
  if (!term.methods.empty()) {
    out.push_back(
        match_text("http.methods", term.methods, facts.method_known, facts.method, kFactMethod));
  }
  if (!term.paths.empty()) out.push_back(match_paths(term, facts));
  for (const HeaderMatch& one : term.headers) out.push_back(match_header(one, facts));
  return out;
}

}  // namespace sallyport
