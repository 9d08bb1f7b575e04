#include "policy/compile/reading.h"
#include "tests/support/reference_policy.h"

namespace sallyport::test {
namespace {

std::string quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("''") : std::string(1, c);
  return out + "'";
}

template <typename List, typename Text>
std::string flow_list(const List& list, Text text_of) {
  std::string out = "[";
  for (const auto& one : list) out += (out.size() > 1 ? ", " : "") + text_of(one);
  return out + "]";
}

std::string list_of(const std::vector<std::string>& texts) {
  return flow_list(texts, [](const std::string& text) { return quoted(text); });
}

std::string braced(std::string list) {
  list.front() = '{';
  list.back() = '}';
  return list;
}

std::string cidr_list(const std::vector<IpPrefix>& cidrs) {
  return flow_list(cidrs, [](const IpPrefix& cidr) { return quoted(to_string(cidr)); });
}

std::string destination_lines(const Destinations& to, const std::string& indent) {
  std::string out;
  if (!to.names.empty()) {
    out += indent + "domainNames: " +
           flow_list(to.names,
                     [](const DomainPattern& name) {
                       return quoted((name.wildcard ? "*." : "") + name.name);
                     }) +
           "\n";
  }
  if (!to.regexes.empty()) {
    out += indent + "domainRegexes: " +
           flow_list(to.regexes, [](const DomainRegex& regex) { return quoted(regex.text); }) +
           "\n";
  }
  if (!to.cidrs.empty()) out += indent + "cidrs: " + cidr_list(to.cidrs) + "\n";
  return out;
}

std::string term_line(const ProtocolTerm& term) {
  constexpr const char* kKinds[] = {"tls", "quic", "http", "dns", "tcp", "udp", "icmp"};
  std::vector<std::string> keys;
  if (!term.ports.empty()) {
    keys.push_back("ports: " + flow_list(term.ports, [](PortRange range) {
                     return std::to_string(range.first) + "-" + std::to_string(range.last);
                   }));
  }
  if (!term.alpns.empty()) keys.push_back("alpns: " + list_of(term.alpns));
  if (!term.ja4s.empty()) keys.push_back("ja4s: " + list_of(term.ja4s));
  if (term.ech != EchMatch::any) {
    keys.push_back(term.ech == EchMatch::with ? "ech: require" : "ech: deny");
  }
  if (!term.methods.empty()) keys.push_back("methods: " + list_of(term.methods));
  if (!term.paths.empty()) keys.push_back("paths: " + list_of(term.paths));
  if (!term.headers.empty()) {
    keys.push_back("headers: " + braced(flow_list(term.headers, [](const HeaderMatch& header) {
                     return quoted(header.name) + ": " + quoted(header.glob);
                   })));
  }
  return std::string("        - ") + kKinds[static_cast<size_t>(term.kind)] + ": " +
         braced(flow_list(keys, [](const std::string& key) { return key; })) + "\n";
}

std::string terms_lines(const RuleModel& rule) {
  const RuleTerms& terms = rule.terms;
  std::string out;
  const auto put = [&out](const std::string& key, std::string_view value) {
    out += "      " + key + ": " + std::string(value) + "\n";
  };
  if (terms.binding != DestinationBinding::off) put("destinationBinding", to_string(terms.binding));
  if (terms.budget.bytes_out != 0) {
    put("budget", "{bytesOut: " + std::to_string(terms.budget.bytes_out) +
                      ", window: " + std::to_string(terms.budget.window_seconds) +
                      "s, scope: " + std::string(to_string(terms.budget.scope)) +
                      ", onExceed: " + std::string(to_string(terms.budget.on_exceed)) + "}");
  }
  if (rule.not_before != kBeginningOfTime) put("notBefore", time_text(rule.not_before));
  if (rule.expires_at != kEndOfTime) put("expiresAt", time_text(rule.expires_at));
  if (terms.on_deny != OnDeny::reset) put("onDeny", to_string(terms.on_deny));
  if (terms.log != LogLevel::decisions) put("log", to_string(terms.log));
  return out;
}

std::string rule_yaml(const RuleModel& rule) {
  std::string out = "    - name: " + rule.name +
                    "\n      action: " + std::string(to_string(rule.terms.action)) + "\n";
  if (!rule.any_destination) {
    out += "      to:\n" + destination_lines(rule.destinations, "        ");
    if (!rule.sets.empty()) {
      out += "        sets: " +
             flow_list(rule.sets, [](const DestinationSetModel* set) { return set->name; }) + "\n";
    }
  }
  if (!rule.protocols.empty()) out += "      protocols:\n";
  for (const ProtocolTerm& term : rule.protocols) out += term_line(term);
  return out + terms_lines(rule);
}

}  // namespace

std::string to_yaml(const PolicyModel& policy) {
  std::string out =
      "---\napiVersion: sallyport/v1\nkind: EgressPolicy\nmetadata: {name: " + policy.name +
      "}\nspec:\n  tier: " + std::string(to_string(policy.tier)) +
      "\n  priority: " + std::to_string(policy.priority) +
      "\n  mode: " + std::string(to_string(policy.mode)) + "\n";
  if (!policy.subjects.empty() || !policy.subject_labels.empty()) out += "  subject:\n";
  if (!policy.subjects.empty()) out += "    cidrs: " + cidr_list(policy.subjects) + "\n";
  if (!policy.subject_labels.empty()) {
    out += "    labels: " +
           braced(flow_list(policy.subject_labels,
                            [](const auto& label) {
                              return quoted(label.first) + ": " + quoted(label.second);
                            })) +
           "\n";
  }
  out += "  egress:\n";
  for (const RuleModel& rule : policy.rules) out += rule_yaml(rule);
  return out;
}

std::string to_yaml(const DestinationSetModel& set) {
  return "---\napiVersion: sallyport/v1\nkind: DestinationSet\nmetadata: {name: " + set.name +
         "}\nspec:\n" + destination_lines(set.destinations, "  ");
}

std::string to_yaml(const PolicyModels& models) {
  std::string out;
  for (const PolicyModel& policy : models.policies) out += to_yaml(policy);
  for (const auto& set : models.sets) out += to_yaml(*set);
  return out;
}

}  // namespace sallyport::test
