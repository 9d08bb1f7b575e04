#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "policy/compile/domain_name.h"
#include "policy/compile/model.h"
#include "policy/runtime/rule_name.h"

namespace sallyport {
namespace {

using Keys = std::span<const std::string_view>;

constexpr std::array<std::string_view, 4> kProtocols{"tls", "http", "tcp", "udp"};
constexpr std::array<std::string_view, 3> kFutureProtocols{"quic", "dns", "icmp"};
constexpr std::array<std::string_view, 3> kFutureTlsKeys{"alpns", "ja4s", "ech"};
constexpr std::array<std::string_view, 3> kFutureHttpKeys{"methods", "paths", "headers"};
constexpr std::array<std::string_view, 2> kFutureToKeys{"domainRegexes", "sets"};
constexpr std::array<std::string_view, 6> kFutureRuleKeys{
    "destinationBinding", "budget", "notBefore", "expiresAt", "onDeny", "log"};

bool contains_key(Keys keys, std::string_view key) {
  return std::ranges::find(keys, key) != keys.end();
}

std::string did_you_mean(std::string_view text, Keys known) {
  const std::string_view nearest = nearest_key(text, known);
  return nearest.empty() ? "" : "did you mean '" + std::string(nearest) + "'?";
}

std::optional<uint16_t> parse_port(std::string_view text) {
  uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  const bool whole = error == std::errc{} && end == text.data() + text.size();
  if (!whole || port == 0 || text.front() == '0') return {};
  return port;
}

std::optional<PortRange> read_port(const YamlNode& node, const std::string& what, Report& report) {
  const std::string text = read_text(node, what, report);
  if (node.kind != YamlNode::Kind::scalar) return {};
  const size_t dash = text.find('-');
  const auto first = parse_port(std::string_view(text).substr(0, dash));
  const auto last =
      dash == std::string::npos ? first : parse_port(std::string_view(text).substr(dash + 1));
  if (!first || !last) {
    report.error(node, "E021", "'" + text + "' is not a port",
                 "a number from 1 to 65535, or a range like \"8000-8099\"");
    return {};
  }
  if (*first > *last) {
    report.error(node, "E022", "port range '" + text + "' ends before it starts",
                 "write \"" + std::to_string(*last) + "-" + std::to_string(*first) + "\"");
    return {};
  }
  return PortRange{*first, *last};
}

class RuleReader {
 public:
  RuleReader(const YamlNode& node, Report& report)
      : map_(node, "spec.egress[]", report), report_(report) {}

  RuleModel read() {
    if (map_.node().kind != YamlNode::Kind::map) return {};
    if (const YamlNode* name = map_.require("name")) read_name(*name);
    if (const YamlNode* action = map_.require("action")) read_action(*action);
    const YamlNode* to = map_.find("to");
    rule_.any_destination = to == nullptr;
    if (to != nullptr) read_to(*to);
    if (const YamlNode* protocols = map_.find("protocols")) read_protocols(*protocols);
    refuse_unsupported(map_, "spec.egress[]", kFutureRuleKeys, report_);
    map_.finish();
    return std::move(rule_);
  }

 private:
  void read_name(const YamlNode& node) {
    rule_.name = read_text(node, "name", report_);
    if (node.kind == YamlNode::Kind::scalar && !is_rule_name(rule_.name)) {
      report_.error(
          node, "E013", "'" + rule_.name + "' is not a rule name",
          "1 to 63 of letters, digits, '-', '_' and '.', starting with a letter or digit");
      rule_.name.clear();
    }
  }

  void read_action(const YamlNode& node) {
    constexpr std::array<std::string_view, 2> kActions{"Allow", "Deny"};
    const std::string action = read_text(node, "action", report_);
    if (node.kind != YamlNode::Kind::scalar) return;
    if (action == "Allow") {
      rule_.action = Verdict::allow;
    } else if (action == "Deny") {
      rule_.action = Verdict::deny;
    } else if (action == "Pass") {
      report_.error(node, "E012", "action Pass is not supported by this version",
                    "write Allow or Deny");
    } else {
      const std::string hint = did_you_mean(action, kActions);
      report_.error(node, "E011", "action '" + action + "' is not known",
                    hint.empty() ? "write Allow or Deny" : hint);
    }
  }

  void read_to(const YamlNode& node) {
    MapReader to(node, "to", report_);
    if (node.kind == YamlNode::Kind::map && node.entries.empty()) {
      report_.error(node, "E015", "'to' is empty and would match nothing",
                    "leave it out to match any destination");
    }
    if (const YamlNode* names = to.find("domainNames")) read_names(*names);
    if (const YamlNode* cidrs = to.find("cidrs")) {
      rule_.cidrs = read_cidrs(*cidrs, "to.cidrs", report_);
    }
    refuse_unsupported(to, "to", kFutureToKeys, report_);
    to.finish();
  }

  void read_names(const YamlNode& node) {
    if (!is_filled_list(node, "to.domainNames", report_)) return;
    for (const YamlNode& item : node.items) {
      const std::string text = read_text(item, "a domain name", report_);
      if (item.kind != YamlNode::Kind::scalar) continue;
      auto pattern = parse_domain_pattern(text);
      if (pattern) {
        rule_.names.push_back(std::move(*pattern));
      } else {
        report_.error(item, pattern.error().code, pattern.error().message, pattern.error().hint);
      }
    }
  }

  void read_protocols(const YamlNode& node) {
    if (!is_filled_list(node, "protocols", report_)) return;
    for (const YamlNode& item : node.items) {
      if (item.kind != YamlNode::Kind::map || item.entries.size() != 1) {
        report_.error(item, "E023", "a protocol must be a map with one key",
                      "write '- tls: {ports: [443]}' or '- tls: {}'");
        continue;
      }
      read_protocol(item.entries.front());
    }
  }

  void read_protocol(const YamlNode::Entry& entry) {
    if (contains_key(kFutureProtocols, entry.key)) {
      report_.error(entry.line, entry.column, "E012",
                    "protocol " + entry.key + " is not supported by this version");
      return;
    }
    const auto known = std::ranges::find(kProtocols, entry.key);
    if (known == kProtocols.end()) {
      report_.error(entry.line, entry.column, "E008", "unknown protocol '" + entry.key + "'",
                    did_you_mean(entry.key, kProtocols));
      return;
    }
    ProtocolTerm term{static_cast<ProtocolKind>(known - kProtocols.begin()), {}};
    MapReader map(entry.value, entry.key, report_);
    if (const YamlNode* ports = map.find("ports")) read_ports(*ports, entry.key, term);
    if (term.kind == ProtocolKind::tls) refuse_unsupported(map, "tls", kFutureTlsKeys, report_);
    if (term.kind == ProtocolKind::http) refuse_unsupported(map, "http", kFutureHttpKeys, report_);
    map.finish();
    rule_.protocols.push_back(std::move(term));
  }

  void read_ports(const YamlNode& node, const std::string& protocol, ProtocolTerm& term) {
    if (!is_filled_list(node, protocol + ".ports", report_)) return;
    for (const YamlNode& item : node.items) {
      if (const auto range = read_port(item, "a port", report_)) term.ports.push_back(*range);
    }
  }

  MapReader map_;
  Report& report_;
  RuleModel rule_;
};

void report_cidr(const YamlNode& node, const std::string& text, IpParseError error,
                 Report& report) {
  switch (error) {
    case IpParseError::bad_address:
      report.error(node, "E019", "'" + text + "' is not an IPv4 or IPv6 block",
                   "write it like 203.0.113.0/24 or \"2001:db8::/32\"");
      break;
    case IpParseError::bad_prefix_length:
      report.error(node, "E019", "'" + text + "' has a bad prefix length",
                   "0 to 32 for IPv4, 0 to 128 for IPv6");
      break;
    case IpParseError::host_bits_set: {
      const auto cleared = parse_ip_prefix_clearing(text);
      report.error(node, "E020", "'" + text + "' has bits set right of its prefix length",
                   cleared ? "write " + to_string(*cleared) : "");
      break;
    }
  }
}

}  // namespace

RuleModel read_rule(const YamlNode& node, Report& report) {
  return RuleReader(node, report).read();
}

std::vector<IpPrefix> read_cidrs(const YamlNode& node, const std::string& what, Report& report) {
  std::vector<IpPrefix> out;
  if (!is_filled_list(node, what, report)) return out;
  for (const YamlNode& item : node.items) {
    const std::string text = read_text(item, "an address block", report);
    if (item.kind != YamlNode::Kind::scalar) continue;
    if (const auto prefix = parse_ip_prefix(text)) {
      out.push_back(*prefix);
    } else {
      report_cidr(item, text, prefix.error(), report);
    }
  }
  return out;
}

std::string read_text(const YamlNode& node, const std::string& what, Report& report) {
  if (node.kind == YamlNode::Kind::scalar) return node.scalar;
  report.error(node, "E010", what + " must be a single value");
  return "";
}

bool is_filled_list(const YamlNode& node, const std::string& what, Report& report) {
  if (node.kind != YamlNode::Kind::sequence) {
    report.error(node, "E010", what + " must be a list");
    return false;
  }
  if (node.items.empty()) {
    report.error(node, "E015", what + " is an empty list", "leave it out, or list something");
    return false;
  }
  return true;
}

void refuse_unsupported(MapReader& map, const std::string& what,
                        std::span<const std::string_view> keys, Report& report) {
  for (const std::string_view key : keys) {
    if (map.find(key) == nullptr) continue;
    const auto entry = std::ranges::find(map.node().entries, key, &YamlNode::Entry::key);
    report.error(entry->line, entry->column, "E012",
                 "'" + std::string(key) + "' in " + what + " is not supported by this version");
  }
}

}  // namespace sallyport
