#include "policy/compile/lint.h"

#include <algorithm>
#include <ranges>
#include <set>
#include <tuple>

#include "policy/compile/lint_reach.h"

namespace sallyport {
namespace {

constexpr size_t kMaxNamed = 3;

std::string quoted(std::string_view text) {
  return "'" + std::string(text) + "'";
}

std::string name_of(const RegionSpace::Rule& rule) {
  return quoted(rule.policy->name + "/" + rule.model->name);
}

bool is_anywhere(const RuleModel& rule) {
  if (rule.any_destination) return true;
  std::vector<IpPrefix> cidrs = rule.destinations.cidrs;
  for (const DestinationSetModel* set : rule.sets) {
    cidrs.insert(cidrs.end(), set->destinations.cidrs.begin(), set->destinations.cidrs.end());
  }
  const Intervals all = addresses_of(cidrs);
  return intersect(all, v4_addresses()) == v4_addresses() &&
         intersect(all, v6_addresses()) == v6_addresses();
}

bool is_any_protocol(const RuleModel& rule) {
  // Even tcp, udp and icmp together leave out every other IP protocol.
  return rule.protocols.empty();
}

/// Whether a flow can match through a name that its client chose and the address need not fit.
/// A resolver is where the rule says; its query name is no claim about it.
bool trusts_names(const RuleModel& rule) {
  const bool names = rule.destinations.has_names() ||
                     std::ranges::any_of(rule.sets, [](const DestinationSetModel* set) {
                       return set->destinations.has_names();
                     });
  const auto carries_server_name = [](const ProtocolTerm& term) {
    return term.kind != ProtocolKind::dns && term.kind != ProtocolKind::icmp;
  };
  return names &&
         (rule.protocols.empty() || std::ranges::any_of(rule.protocols, carries_server_name));
}

/// An upper-case letter that stands for itself. Not one of an escape (\D, \x4F, \p{Lu}), of a
/// group's name or of \Q…\E, which nobody writes by mistake.
std::optional<char> upper_case_letter(std::string_view regex) {
  if (regex.contains("(?i")) return std::nullopt;
  bool in_class = false;  // A class may well name letters to leave out.
  for (size_t i = 0; i < regex.size(); ++i) {
    const auto rest = regex.substr(i);
    if (rest.starts_with("\\Q")) {
      const size_t end = regex.find("\\E", i);
      if (end == std::string_view::npos) return std::nullopt;
      i = end + 1;
    } else if (rest.starts_with("\\x") || rest.starts_with("\\p") || rest.starts_with("\\P")) {
      const bool braced = rest.size() > 2 && rest[2] == '{';
      const size_t end = braced ? rest.find('}') : rest[1] == 'x' ? 3 : 2;
      i += std::min(end, rest.size() - 1);
    } else if (rest.front() == '\\') {
      ++i;
    } else if (rest.starts_with("(?P<") || rest.starts_with("(?<")) {
      i += std::min(rest.find('>'), rest.size() - 1);
    } else if (rest.front() == '[' || rest.front() == ']') {
      in_class = rest.front() == '[';
    } else if (!in_class && rest.front() >= 'A' && rest.front() <= 'Z') {
      return rest.front();
    }
  }
  return std::nullopt;
}

class Linter {
 public:
  Linter(const PolicyModels& models, int64_t now)
      : models_(models), now_(now), reach_(models, now) {}

  LintReport run() {
    for (uint32_t rule = 0; rule < reach_.space().rules().size(); ++rule) {
      check_shape(rule);
      check_reach(rule);
    }
    check_sets();
    std::ranges::stable_sort(report_.warnings, {}, [](const Diagnostic& one) {
      return std::tie(one.file, one.line, one.column, one.code);
    });
    return std::move(report_);
  }

 private:
  const RegionSpace::Rule& info(uint32_t rule) const { return reach_.space().rules()[rule]; }

  void warn(const SourcePlace& place, std::string code, std::string message, std::string hint) {
    report_.warnings.push_back({place.file, place.line, place.column, std::move(code),
                                std::move(message), std::move(hint),
                                Diagnostic::Severity::warning});
  }

  /// What shows without looking at any other rule.
  void check_shape(uint32_t rule) {
    const RuleModel& model = *info(rule).model;
    const std::string who = "rule " + quoted(model.name);
    const bool allows = model.terms.action == RuleAction::allow;
    if (allows && is_anywhere(model) && is_any_protocol(model)) {
      warn(model.place, "W003", who + " allows every destination and every protocol",
           "list destinations in 'to', or protocols");
    }
    if (model.expires_at <= now_) {
      warn(model.place, "W004", who + " has expired and matches nothing any more", "remove it");
    }
    if (allows && model.terms.binding == DestinationBinding::off && trusts_names(model)) {
      warn(model.place, "W006", who + " allows by a name that the client states, to any address",
           "write 'destinationBinding: enforce' where the resolvers are trusted ones");
    }
    check_regexes(model.destinations);
  }

  void check_regexes(const Destinations& destinations) {
    for (const DomainRegex& regex : destinations.regexes) {
      if (const auto letter = upper_case_letter(regex.text)) {
        warn(regex.place, "W009",
             "'" + std::string(1, *letter) + "' in regex " + quoted(regex.text) +
                 " matches no name: names are compared in lower case",
             "write it in lower case");
      }
    }
  }

  void check_reach(uint32_t rule) {
    const RuleModel& model = *info(rule).model;
    if (model.expires_at <= now_) return;
    const auto answer = reach_.reach(rule);
    const std::string who = "rule " + quoted(model.name);
    switch (answer.kind) {
      case RuleReach::Answer::Kind::decides:
        check_audit(rule);
        break;
      case RuleReach::Answer::Kind::never_matches:
        warn(model.place, "W001", who + " can never match: no flow meets all of its conditions",
             why_never(rule));
        break;
      case RuleReach::Answer::Kind::covered:
        warn_covered(rule, answer);
        break;
      case RuleReach::Answer::Kind::undecided:
        ++report_.unproved_rules;
        break;
    }
  }

  std::string why_never(uint32_t rule) const {
    const RuleModel& model = *info(rule).model;
    if (model.not_before >= model.expires_at) return "notBefore is not before expiresAt";
    const bool icmp = !model.protocols.empty() &&
                      std::ranges::all_of(model.protocols, [](const ProtocolTerm& term) {
                        return term.kind == ProtocolKind::icmp;
                      });
    if (icmp) return "ICMP carries no name";
    if (!info(rule).policy->subjects.empty() && model.destinations.names.empty()) {
      return "do its addresses and those of the subject belong to one family?";
    }
    return "";
  }

  std::string list(const std::vector<uint32_t>& rules) const {
    std::string out;
    for (size_t i = 0; i < std::min(rules.size(), kMaxNamed); ++i) {
      out += (i == 0 ? "" : i + 1 == rules.size() ? " and " : ", ") + name_of(info(rules[i]));
    }
    if (rules.size() > kMaxNamed) {
      out += " and " + std::to_string(rules.size() - kMaxNamed) + " more";
    }
    return out;
  }

  void warn_covered(uint32_t rule, const RuleReach::Answer& answer) {
    const RuleModel& model = *info(rule).model;
    const std::string who = "rule " + quoted(model.name);
    const bool one = answer.by.size() == 1;
    if (answer.same_effect) {
      warn(model.place, "W007",
           who + " is redundant: " + list(answer.by) + (one ? " does" : " together do") +
               " the same before it",
           "remove it");
      return;
    }
    std::string by = list(answer.by);
    if (one) {
      const auto action = info(answer.by[0]).model->terms.action;
      by += " (" + std::string(to_string(action)) + ")";
    }
    warn(model.place, "W002",
         who + " (" + std::string(to_string(model.terms.action)) + ") decides nothing: " + by +
             (one ? " comes first and matches" : " come first and together match") + " all of it",
         "move it before, or remove it");
  }

  void check_audit(uint32_t rule) {
    const RuleTerms terms = terms_of(info(rule));
    if (terms.action != RuleAction::deny || terms.mode != PolicyMode::audit) return;
    if (const auto denier = reach_.deny_behind(rule)) {
      warn(info(rule).model->place, "W008",
           "rule " + quoted(info(rule).model->name) + " lets pass what " + name_of(info(*denier)) +
               " would deny: its policy is in audit mode",
           "put it behind that rule, or enforce it");
    }
  }

  void check_sets() {
    std::set<const DestinationSetModel*> used;
    for (const auto& rule : reach_.space().rules()) {
      used.insert(rule.model->sets.begin(), rule.model->sets.end());
    }
    for (const auto& set : models_.sets) {
      check_regexes(set->destinations);
      if (used.contains(set.get())) continue;
      warn(set->place, "W005", "set " + quoted(set->name) + " is used by no rule",
           "name it in 'sets' of a rule, or remove it");
    }
  }

  const PolicyModels& models_;
  int64_t now_;
  RuleReach reach_;
  LintReport report_;
};

}  // namespace

LintReport lint_policies(const PolicyModels& models, int64_t now) {
  return Linter(models, now).run();
}

}  // namespace sallyport
