#include "tests/support/reference_policy.h"

#include <algorithm>
#include <regex>

namespace sallyport::test {
namespace {

enum class Match : uint8_t { no, maybe, yes };

/// How one condition stands, and the unknown facts it hangs on.
struct Way {
  Match match = Match::no;
  uint16_t waits_for = 0;
};

/// A way in which a rule can match: through its names or not, and one of its protocol terms.
struct RuleWay {
  Way way;
  bool by_name = false;
};

Way sure(bool matches) {
  return {matches ? Match::yes : Match::no, 0};
}

/// `value` is looked at only when the fact is present.
template <typename Test>
Way test_fact(Known known, uint16_t fact, Test test) {
  if (known == Known::unknown) return {Match::maybe, fact};
  return sure(known == Known::present && test());
}

Way both(Way a, Way b) {
  if (a.match == Match::no || b.match == Match::no) return {};
  return {std::min(a.match, b.match), static_cast<uint16_t>(a.waits_for | b.waits_for)};
}

bool glob_matches(std::string_view glob, std::string_view text, bool segments) {
  if (glob.empty()) return text.empty();
  if (glob.front() != '*') {
    return !text.empty() && glob.front() == text.front() &&
           glob_matches(glob.substr(1), text.substr(1), segments);
  }
  const bool across = !segments || glob.starts_with("**");
  const auto rest = glob.substr(segments && glob.starts_with("**") ? 2 : 1);
  for (size_t taken = 0;; ++taken) {
    if (glob_matches(rest, text.substr(taken), segments)) return true;
    if (taken == text.size() || (!across && text[taken] == '/')) return false;
  }
}

bool name_matches(const Destinations& to, std::string_view name) {
  const auto pattern_matches = [name](const DomainPattern& pattern) {
    if (!pattern.wildcard) return name == pattern.name;
    const std::string suffix = "." + pattern.name;
    return name.size() > suffix.size() && name.ends_with(suffix);
  };
  const auto regex_matches = [name](const DomainRegex& regex) {
    return std::regex_match(std::string(name), std::regex(regex.text));
  };
  return std::ranges::any_of(to.names, pattern_matches) ||
         std::ranges::any_of(to.regexes, regex_matches);
}

bool in_any(std::span<const IpPrefix> prefixes, const IpAddress& address) {
  return std::ranges::any_of(prefixes, [&](const IpPrefix& p) { return contains(p, address); });
}

template <typename List, typename Value>
bool lists(const List& list, const Value& value) {
  return std::ranges::any_of(list, [&](const auto& one) { return one == value; });
}

class Reference {
 public:
  Reference(const PolicyModels& models, const std::optional<std::vector<Identity>>& identities,
            const FlowFacts& facts)
      : models_(models), identities_(identities), facts_(facts) {}

  Decision decide() {
    for (size_t tier = 0; tier < static_cast<size_t>(Tier::count_); ++tier) {
      if (const auto decided = walk_tier(static_cast<Tier>(tier))) return *decided;
      if (ended_) break;
    }
    if (may_pass_ && waits_for_ != 0) {
      return {.verdict = Verdict::pending, .reason = Reason::default_deny, .waits_for = waits_for_};
    }
    return {.verdict = Verdict::deny, .reason = Reason::default_deny};
  }

 private:
  struct Possible {
    uint32_t rule;
    const RuleTerms* terms;
    bool bound;  ///< Its destination binding may yet matter.
    Way way;
  };

  /// The answer, if this tier alone gives it.
  std::optional<Decision> walk_tier(Tier tier) {
    std::vector<Possible> possible;  // In order, up to the first that matches for sure.
    for (const Possible& one : ways_of(tier)) {
      possible.push_back(one);
      if (one.way.match == Match::yes) break;
    }
    const bool certain = !possible.empty() && possible.back().way.match == Match::yes;
    if (possible.empty()) return {};
    const Possible& first = possible.front();
    const Possible& last = possible.back();
    if (certain && first.rule == last.rule) {
      if (last.terms->action == RuleAction::pass) return {};
      if (waits_for_ == 0) return conclude(last);
      may_pass_ = may_pass_ || passes(last);
      ended_ = true;
      return {};
    }
    bool next_tier = !certain || last.terms->action == RuleAction::pass;
    for (const Possible& one : possible) {
      may_pass_ = may_pass_ || passes(one);
      if (one.way.match == Match::yes) continue;
      waits_for_ |= one.way.waits_for;
      next_tier = next_tier || one.terms->action == RuleAction::pass;
    }
    ended_ = !next_tier;
    return {};
  }

  bool passes(const Possible& one) const {
    const RuleTerms& terms = *one.terms;
    if (terms.mode == PolicyMode::audit) return terms.action != RuleAction::pass;
    const bool stopped = one.bound && terms.binding == DestinationBinding::enforce &&
                         facts_.binding_known == Known::absent;
    return terms.action == RuleAction::allow && !stopped;
  }

  Decision conclude(const Possible& one) const {
    const RuleTerms& terms = *one.terms;
    Decision out{.verdict = Verdict::deny, .reason = Reason::rule, .rule = one.rule};
    if (terms.action == RuleAction::allow) {
      out.verdict = Verdict::allow;
      if (one.bound && terms.binding == DestinationBinding::enforce) {
        if (facts_.binding_known == Known::unknown) {
          if (terms.mode == PolicyMode::audit) return out;
          return {.verdict = Verdict::pending,
                  .reason = Reason::default_deny,
                  .waits_for = kFactBinding};
        }
        out.verdict = Verdict::deny;
        out.reason = Reason::destination_binding;
      } else {
        if (one.bound && facts_.binding_known == Known::absent) {
          out.would_deny = true;
          out.reason = Reason::destination_binding;
        }
        if (facts_.budget_spent && terms.budget.bytes_out != 0) {
          out.reason = Reason::budget_exceeded;
          out.would_deny = terms.budget.on_exceed == OnExceed::audit;
          if (!out.would_deny) out.verdict = Verdict::deny;
        }
      }
    }
    if (out.verdict == Verdict::deny && terms.mode == PolicyMode::audit) {
      out.verdict = Verdict::allow;
      out.would_deny = true;
    }
    return out;
  }

  /// Every way in which a rule of the tier may match, in order.
  std::vector<Possible> ways_of(Tier tier) const {
    std::vector<Possible> out;
    uint32_t index = 0;
    for (const PolicyModel& policy : models_.policies) {
      for (const RuleModel& rule : policy.rules) {
        const uint32_t id = index++;
        if (policy.tier != tier) continue;
        const Way subject = both(match_subject(policy), match_time(rule));
        for (const RuleWay& way : rule_ways(rule)) {
          const Way whole = both(subject, way.way);
          if (whole.match == Match::no) continue;
          const bool bound = way.by_name && rule.terms.action == RuleAction::allow &&
                             rule.terms.binding != DestinationBinding::off &&
                             facts_.binding_known != Known::present;
          out.push_back({id, &rule.terms, bound, whole});
        }
      }
    }
    return out;
  }

  Way match_subject(const PolicyModel& policy) const {
    const Way cidrs = sure(policy.subjects.empty() || in_any(policy.subjects, facts_.source));
    if (policy.subject_labels.empty()) return cidrs;
    if (!identities_) return both(cidrs, {Match::maybe, kFactLabels});
    bool matches = false;
    for (const Identity& identity : *identities_) {  // The last mention holds.
      if (identity.address != facts_.source) continue;
      matches = std::ranges::all_of(policy.subject_labels, [&](const auto& label) {
        return lists(identity.labels, std::pair<std::string, std::string>(label));
      });
    }
    return both(cidrs, sure(matches));
  }

  Way match_time(const RuleModel& rule) const {
    return sure(facts_.unix_seconds >= rule.not_before &&
                (rule.expires_at == kEndOfTime || facts_.unix_seconds < rule.expires_at));
  }

  std::vector<RuleWay> rule_ways(const RuleModel& rule) const {
    std::vector<const Destinations*> all{&rule.destinations};
    for (const auto* set : rule.sets) all.push_back(&set->destinations);
    bool cidr_matches = false;
    bool has_names = false;
    bool matches = false;
    for (const Destinations* to : all) {
      cidr_matches = cidr_matches || in_any(to->cidrs, facts_.destination);
      has_names = has_names || to->has_names();
      matches = matches || (facts_.name_known == Known::present && name_matches(*to, facts_.name));
    }
    const Way by_name =
        !has_names ? Way{} : test_fact(facts_.name_known, kFactName, [matches] { return matches; });
    std::vector<RuleWay> out;
    add_protocols(rule, sure(rule.any_destination || cidr_matches), false, out);
    add_protocols(rule, by_name, true, out);
    return out;
  }

  void add_protocols(const RuleModel& rule, Way to, bool by_name, std::vector<RuleWay>& out) const {
    if (rule.protocols.empty()) out.push_back({to, by_name});
    for (const ProtocolTerm& term : rule.protocols) {
      out.push_back({both(to, match_protocol(rule, term)), by_name});
    }
  }

  Way match_protocol(const RuleModel& rule, const ProtocolTerm& term) const {
    Way way = sure(match_l4(term));
    const auto app = [&](AppProtocol wanted) {
      way = both(way, test_fact(facts_.app_known, kFactApp, [&] { return facts_.app == wanted; }));
    };
    if (term.kind == ProtocolKind::tls) app(AppProtocol::tls);
    if (term.kind == ProtocolKind::quic) app(AppProtocol::quic);
    if (term.kind == ProtocolKind::http) app(AppProtocol::http);
    if (term.kind == ProtocolKind::dns) app(AppProtocol::dns);
    return both(way, both(match_hello(rule, term), match_request(term)));
  }

  bool match_l4(const ProtocolTerm& term) const {
    const bool tcp = facts_.ip_protocol == kIpProtocolTcp;
    const bool udp = facts_.ip_protocol == kIpProtocolUdp;
    const bool port =
        term.ports.empty() || std::ranges::any_of(term.ports, [&](PortRange range) {
          return range.first <= facts_.destination_port && facts_.destination_port <= range.last;
        });
    switch (term.kind) {
      case ProtocolKind::tls:
      case ProtocolKind::http:
      case ProtocolKind::tcp:
        return tcp && port;
      case ProtocolKind::quic:
      case ProtocolKind::udp:
        return udp && port;
      case ProtocolKind::dns:
        return (tcp || udp) && port;
      default:
        return facts_.ip_protocol == kIpProtocolIcmp || facts_.ip_protocol == kIpProtocolIcmpV6;
    }
  }

  Way match_hello(const RuleModel& rule, const ProtocolTerm& term) const {
    Way way = sure(true);
    if (!term.alpns.empty()) {
      way =
          both(way, test_fact(facts_.alpns_known, kFactAlpns, [&] {
                 const auto listed = [&](std::string_view alpn) { return lists(term.alpns, alpn); };
                 return rule.terms.action == RuleAction::deny
                            ? std::ranges::any_of(facts_.alpns, listed)
                            : !facts_.alpns.empty() && std::ranges::all_of(facts_.alpns, listed);
               }));
    }
    if (!term.ja4s.empty()) {
      way = both(
          way, test_fact(facts_.ja4_known, kFactJa4, [&] { return lists(term.ja4s, facts_.ja4); }));
    }
    if (term.ech != EchMatch::any) {
      const Known wanted = term.ech == EchMatch::with ? Known::present : Known::absent;
      way = both(way, facts_.ech_known == Known::unknown ? Way{Match::maybe, kFactEch}
                                                         : sure(facts_.ech_known == wanted));
    }
    return way;
  }

  Way match_request(const ProtocolTerm& term) const {
    Way way = sure(true);
    if (!term.methods.empty()) {
      way = both(way, test_fact(facts_.method_known, kFactMethod,
                                [&] { return lists(term.methods, facts_.method); }));
    }
    if (!term.paths.empty()) {
      way = both(way, test_fact(facts_.path_known, kFactPath, [&] {
                   return std::ranges::any_of(term.paths, [&](const std::string& glob) {
                     return glob_matches(glob, facts_.path, true);
                   });
                 }));
    }
    for (const HeaderMatch& header : term.headers) {
      way = both(way, test_fact(facts_.headers_known, kFactHeaders, [&] {
                   bool seen = false;
                   bool all = true;
                   for (const HttpHeader& line : facts_.headers) {
                     if (line.name != header.name) continue;
                     seen = true;
                     all = all && glob_matches(header.glob, line.value, false);
                   }
                   return seen && all;
                 }));
    }
    return way;
  }

  const PolicyModels& models_;
  const std::optional<std::vector<Identity>>& identities_;
  const FlowFacts& facts_;
  uint16_t waits_for_ = 0;
  bool may_pass_ = false;
  bool ended_ = false;
};

}  // namespace

Decision reference_decide(const PolicyModels& models,
                          const std::optional<std::vector<Identity>>& identities,
                          const FlowFacts& facts) {
  return Reference(models, identities, facts).decide();
}

}  // namespace sallyport::test
