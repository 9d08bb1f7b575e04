#include "policy/compile/dimensions.h"

#include <set>
#include <unordered_map>

#include "policy/compile/domain_name.h"
#include "policy/compile/pattern.h"

namespace sallyport {
namespace {

constexpr uint8_t kV4MappedBits = 96;
constexpr AddressKey kFirstV4{0, 0xffff00000000};
constexpr AddressKey kLastV4{0, 0xffffffffffff};

/// The greatest key of the block that starts at `first`.
AddressKey last_of(AddressKey first, unsigned prefix_bits) {
  const auto host_mask = [](unsigned network_bits) {
    return network_bits >= 64 ? 0 : ~uint64_t{0} >> network_bits;
  };
  first.high |= host_mask(prefix_bits);
  first.low |= prefix_bits <= 64 ? ~uint64_t{0} : host_mask(prefix_bits - 64);
  return first;
}

void add_prefix(const IpPrefix& prefix, uint32_t clause, IntervalMap<AddressKey>& out) {
  const AddressKey first = key_of(prefix.address);
  const AddressKey last = last_of(first, prefix.prefix_bits);
  if (prefix.prefix_bits < kV4MappedBits && first <= kFirstV4 && last >= kLastV4) {
    // contains() says that a short IPv6 block leaves out IPv4.
    if (first < kFirstV4) out.add(first, {0, kFirstV4.low - 1}, clause);
    if (last > kLastV4) out.add({0, kLastV4.low + 1}, last, clause);
    return;
  }
  out.add(first, last, clause);
}

class Filler {
 public:
  explicit Filler(PolicyDimensions& out) : out_(out) {}

  void add(const Clause& clause, uint32_t id) {
    id_ = id;
    clause_ = &clause;
    rule_ = clause.model;
    out_.clause_rules.push_back(clause.rule);
    for (auto tier = static_cast<size_t>(clause.policy->tier); tier < out_.tier_ends.size(); ++tier)
      out_.tier_ends[tier] = id + 1;
    add_effects();
    add_subject();
    add_destination();
    add_time();
    add_protocol();
  }

 private:
  void add_effects() {
    const RuleTerms& terms = rule_->terms;
    const bool audit = terms.mode == PolicyMode::audit && terms.action == RuleAction::deny;
    const bool by_name = clause_->destination == Clause::Destination::names;
    const bool bound =
        by_name && terms.action == RuleAction::allow && terms.binding != DestinationBinding::off;
    const bool stopped =
        bound && terms.binding == DestinationBinding::enforce && terms.mode == PolicyMode::enforce;
    if (terms.action == RuleAction::allow || audit) {
      out_.passing.push_back(id_);
      if (!stopped) out_.passing_unbound.push_back(id_);
    }
    if (terms.action == RuleAction::pass) out_.pass_on.push_back(id_);
    if (bound) out_.bound.push_back(id_);
  }

  void add_subject() {
    if (clause_->policy->subjects.empty()) out_.source_base.push_back(id_);
    for (const IpPrefix& prefix : clause_->policy->subjects) add_prefix(prefix, id_, out_.source);
    std::vector<std::string> selector;
    const Labels& labels = clause_->policy->subject_labels;
    if (!labels.empty()) selector.push_back(selector_key(labels));
    add_values(kLabelsCondition, selector);
  }

  void add_destination() {
    const bool by_address = clause_->destination == Clause::Destination::addresses;
    if (!by_address) {
      out_.destination_base.push_back(id_);
    } else {
      for_each_destination([this](const Destinations& destinations) {
        for (const IpPrefix& prefix : destinations.cidrs) {
          add_prefix(prefix, id_, out_.destination);
        }
      });
    }
    ConditionClauses& names = out_.conditions[kNameCondition];
    if (clause_->destination != Clause::Destination::names) {
      names.base.push_back(id_);
      return;
    }
    names.constrained.push_back(id_);
    for_each_destination([this](const Destinations& destinations) { add_names(destinations); });
  }

  template <typename Use>
  void for_each_destination(Use use) {
    use(rule_->destinations);
    for (const DestinationSetModel* set : rule_->sets) use(set->destinations);
  }

  /// A set's literals are worked out once, however many rules use it.
  void add_names(const Destinations& destinations) {
    const auto [at, added] = literals_.try_emplace(&destinations);
    if (added) {
      for (const DomainPattern& pattern : destinations.names) {
        at->second.push_back(
            &*out_.conditions[kNameCondition].values.try_emplace(literal_of(pattern)).first);
      }
    }
    for (auto* value : at->second) append(value->second);
    for (const DomainRegex& regex : destinations.regexes) {
      append(out_.name_regexes[regex_expression(regex.text)]);
    }
  }

  void add_time() {
    const bool always = rule_->not_before == kBeginningOfTime && rule_->expires_at == kEndOfTime;
    if (always) {
      out_.time_base.push_back(id_);
    } else if (rule_->expires_at == kEndOfTime) {
      out_.time.add(rule_->not_before, kEndOfTime, id_);
    } else {
      out_.time.add(rule_->not_before, rule_->expires_at - 1, id_);
    }
  }

  void add_protocol() {
    static const ProtocolTerm kAny{};
    const ProtocolTerm& term = clause_->protocol == nullptr ? kAny : *clause_->protocol;
    std::vector<std::string> app;
    std::vector<std::string> ech;
    if (clause_->protocol == nullptr) {
      out_.l4_base.push_back(id_);
    } else {
      add_l4(term);
      if (const auto kind = app_of(term.kind)) app.emplace_back(to_string(*kind));
    }
    if (term.ech != EchMatch::any)
      ech.emplace_back(term.ech == EchMatch::with ? "with" : "without");
    add_values(kAppCondition, app);
    add_alpns(term);
    add_values(kJa4Condition, term.ja4s);
    add_values(kEchCondition, ech);
    add_values(kMethodCondition, term.methods);
    std::vector<std::string> paths;
    for (const std::string& glob : term.paths) paths.push_back(path_expression(glob));
    add_values(kPathCondition, paths);
    for (size_t i = 0; i < kHeaderConditions; ++i) {
      std::vector<std::string> header;
      if (i < term.headers.size()) header.push_back(header_key(term.headers[i]));
      add_values(kHeaderCondition + i, header);
    }
  }

  void add_l4(const ProtocolTerm& term) {
    if (term.kind == ProtocolKind::icmp) out_.icmp.push_back(id_);
    const bool over_udp = term.kind == ProtocolKind::udp || term.kind == ProtocolKind::quic ||
                          term.kind == ProtocolKind::dns;
    const bool over_tcp = term.kind == ProtocolKind::tcp || term.kind == ProtocolKind::tls ||
                          term.kind == ProtocolKind::http || term.kind == ProtocolKind::dns;
    if (over_udp) add_ports(term, out_.udp);
    if (over_tcp) add_ports(term, out_.tcp);
  }

  void add_ports(const ProtocolTerm& term, IntervalMap<uint16_t>& ports) {
    if (term.ports.empty()) ports.add(0, UINT16_MAX, id_);
    for (const PortRange& range : term.ports) ports.add(range.first, range.last, id_);
  }

  /// Whoever allows a list of protocols must not be made to allow another one beside them; whoever
  /// denies one must not be evaded by an offer of another one beside it.
  void add_alpns(const ProtocolTerm& term) {
    ConditionClauses& condition = out_.conditions[kAlpnsCondition];
    (term.alpns.empty() ? condition.base : condition.constrained).push_back(id_);
    const bool any = rule_->terms.action == RuleAction::deny;
    for (const std::string& alpn : term.alpns) {
      auto& of_any = condition.values[alpn];  // Both maps have the same keys.
      auto& of_all = out_.alpns_all[alpn];
      append(any ? of_any : of_all);
    }
  }

  void add_values(size_t kind, const std::vector<std::string>& values) {
    ConditionClauses& condition = out_.conditions[kind];
    (values.empty() ? condition.base : condition.constrained).push_back(id_);
    for (const std::string& value : values) append(condition.values[value]);
  }

  /// A value may be listed twice.
  void append(std::vector<uint32_t>& clauses) {
    if (clauses.empty() || clauses.back() != id_) clauses.push_back(id_);
  }

  PolicyDimensions& out_;
  std::unordered_map<const Destinations*, std::vector<ValueClauses::value_type*>> literals_;
  uint32_t id_ = 0;
  const Clause* clause_ = nullptr;
  const RuleModel* rule_ = nullptr;
};

}  // namespace

std::string selector_key(const Labels& labels) {
  std::string out;
  for (const auto& [key, value] : labels) out.append(key).append("=").append(value).push_back('\0');
  return out;
}

std::string header_key(const HeaderMatch& match) {
  return match.name + '\0' + match.glob;
}

std::vector<std::string> header_patterns(const PolicyDimensions& dimensions) {
  std::set<std::string> out;
  for (size_t i = 0; i < kHeaderConditions; ++i) {
    for (const auto& [key, clauses] : dimensions.conditions[kHeaderCondition + i].values) {
      out.insert(key);
    }
  }
  return {out.begin(), out.end()};
}

PolicyDimensions fill_dimensions(const ClauseList& list) {
  PolicyDimensions out;
  Filler filler(out);
  for (uint32_t id = 0; id < list.clauses.size(); ++id) filler.add(list.clauses[id], id);
  return out;
}

}  // namespace sallyport
