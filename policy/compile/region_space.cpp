#include "policy/compile/region_space.h"

#include <algorithm>

namespace sallyport {
namespace {

constexpr RegionKey kTimeOffset = RegionKey{1} << 63;

Intervals ports_of(const ProtocolTerm& term, RegionKey base) {
  Intervals out;
  if (term.ports.empty()) out.push_back({base, base + UINT16_MAX});
  for (const PortRange& range : term.ports) out.push_back({base + range.first, base + range.last});
  return out;
}

Intervals l4_of(const ProtocolTerm& term) {
  switch (term.kind) {
    case ProtocolKind::icmp:
      return {{kIcmpKey, kIcmpKey}};
    case ProtocolKind::quic:
    case ProtocolKind::udp:
      return normalised(ports_of(term, kFirstUdp));
    case ProtocolKind::dns:
      return unite(normalised(ports_of(term, 0)), normalised(ports_of(term, kFirstUdp)));
    default:
      return normalised(ports_of(term, 0));
  }
}

std::optional<AppKey> app_key_of(ProtocolKind kind) {
  switch (kind) {
    case ProtocolKind::tls:
      return kTlsApp;
    case ProtocolKind::http:
      return kHttpApp;
    case ProtocolKind::dns:
      return kDnsApp;
    case ProtocolKind::quic:
      return kQuicApp;
    default:
      return std::nullopt;
  }
}

RegionPredicate listed(std::vector<std::string> texts) {
  std::ranges::sort(texts);
  texts.erase(std::ranges::unique(texts).begin(), texts.end());
  RegionPredicate out;
  out.texts = std::move(texts);
  return out;
}

CompiledRegionPredicate compile(Axis axis, RegionPredicate predicate) {
  CompiledRegionPredicate out{.predicate = std::move(predicate), .language = {}, .headers = {}};
  if (axis == Axis::regex) out.language = RegularLanguage::regex(out.predicate.regex);
  if (axis == Axis::path) out.language = RegularLanguage::paths(out.predicate.texts);
  for (const HeaderMatch& match : out.predicate.headers) {
    out.headers.push_back(RegularLanguage::header(match.glob));
  }
  return out;
}

void set(RegionSpace::Clause& clause, Axis axis, uint32_t condition) {
  clause.conditions[static_cast<unsigned>(axis)] = condition;
}

}  // namespace

RegionKey time_key(int64_t unix_seconds) noexcept {
  return static_cast<uint64_t>(unix_seconds) ^ static_cast<uint64_t>(kTimeOffset);
}

int64_t seconds_of(RegionKey time) noexcept {
  return static_cast<int64_t>(static_cast<uint64_t>(time) ^ static_cast<uint64_t>(kTimeOffset));
}

void RegionSpace::add(const PolicyModels& models) {
  for (const PolicyModel& policy : models.policies) {
    for (const RuleModel& rule : policy.rules) add_rule(policy, rule);
  }
  ++sides_;
  above_.clear();
}

void RegionSpace::add_rule(const PolicyModel& policy, const RuleModel& rule) {
  Clause clause;
  clause.rule = static_cast<uint32_t>(rules_.size());
  if (!policy.subjects.empty()) {
    set(clause, Axis::source, intern(Axis::source, addresses_of(policy.subjects)));
  }
  if (!policy.subject_labels.empty()) {
    RegionPredicate labels;
    labels.labels = policy.subject_labels;
    set(clause, Axis::labels, intern(Axis::labels, std::move(labels)));
  }
  if (rule.not_before != kBeginningOfTime || rule.expires_at != kEndOfTime) {
    Intervals window;
    if (rule.not_before < rule.expires_at) {
      const bool ends = rule.expires_at != kEndOfTime;
      window.push_back({time_key(rule.not_before), time_key(rule.expires_at) - (ends ? 1 : 0)});
    }
    set(clause, Axis::time, intern(Axis::time, std::move(window)));
  }
  const auto first = static_cast<uint32_t>(clauses_.size());
  rules_.push_back({&policy, &rule, sides_, first, 0});
  add_clauses(clause, rule);
  rules_.back().clauses = static_cast<uint32_t>(clauses_.size()) - first;
}

void RegionSpace::add_clauses(Clause clause, const RuleModel& rule) {
  for (const Destination& destination : destinations_of(rule)) {
    Clause one = clause;
    one.by_name = destination.condition != kAnyValue && destination.axis != Axis::destination;
    set(one, destination.axis, destination.condition);
    if (destination.axis == Axis::regex) {
      set(one, Axis::name, destination.condition | kRegexName);
    }
    if (rule.protocols.empty()) push(one);
    for (const ProtocolTerm& term : rule.protocols) add_term(one, term, rule.terms.action);
  }
}

void RegionSpace::add_term(Clause clause, const ProtocolTerm& term, RuleAction action) {
  set(clause, Axis::l4, intern(Axis::l4, l4_of(term)));
  if (const auto app = app_key_of(term.kind))
    set(clause, Axis::app, intern(Axis::app, Intervals{{*app, *app}}));
  if (!term.alpns.empty()) {
    RegionPredicate alpns = listed(term.alpns);
    alpns.any = action == RuleAction::deny;
    set(clause, Axis::alpn, intern(Axis::alpn, std::move(alpns)));
  }
  if (!term.ja4s.empty()) set(clause, Axis::ja4, intern(Axis::ja4, listed(term.ja4s)));
  if (term.ech != EchMatch::any) {
    RegionPredicate ech;
    ech.with_ech = term.ech == EchMatch::with;
    set(clause, Axis::ech, intern(Axis::ech, std::move(ech)));
  }
  if (!term.methods.empty()) set(clause, Axis::method, intern(Axis::method, listed(term.methods)));
  if (!term.paths.empty()) set(clause, Axis::path, intern(Axis::path, listed(term.paths)));
  if (!term.headers.empty()) {
    RegionPredicate headers;
    headers.headers = term.headers;
    std::ranges::sort(headers.headers);
    set(clause, Axis::headers, intern(Axis::headers, std::move(headers)));
  }
  push(clause);
}

void RegionSpace::push(const Clause& clause) {
  clauses_.push_back(clause);
  for (unsigned axis = 0; axis < kAxes; ++axis) {
    if (clause.conditions[axis] != kAnyValue) clauses_.back().last_axis = static_cast<int>(axis);
  }
}

/// Addresses before names: a flow that both match is not matched through its name alone.
std::vector<RegionSpace::Destination> RegionSpace::destinations_of(const RuleModel& rule) {
  if (rule.any_destination) return {{}};
  std::vector<Destination> out;
  std::vector<Destination> names;
  add_destinations(rule.destinations, out, names);
  for (const DestinationSetModel* one : rule.sets) add_destinations(one->destinations, out, names);
  out.insert(out.end(), names.begin(), names.end());
  return out;
}

void RegionSpace::add_destinations(const Destinations& from, std::vector<Destination>& addresses,
                                   std::vector<Destination>& names) {
  if (!from.cidrs.empty()) {
    addresses.push_back({Axis::destination, intern(Axis::destination, addresses_of(from.cidrs))});
  }
  if (!from.names.empty()) names.push_back({Axis::name, intern_names(from.names)});
  for (const DomainRegex& regex : from.regexes) {
    RegionPredicate predicate;
    predicate.regex = regex.text;
    names.push_back({Axis::regex, intern(Axis::regex, std::move(predicate))});
  }
}

uint32_t RegionSpace::intern(Axis axis, Intervals intervals) {
  AxisPool& pool = pools_[static_cast<unsigned>(axis)];
  const auto next = static_cast<uint32_t>(pool.intervals.size());
  const auto [it, fresh] = pool.by_intervals.try_emplace(intervals, next);
  if (fresh) pool.intervals.push_back(std::move(intervals));
  return it->second;
}

uint32_t RegionSpace::intern(Axis axis, RegionPredicate predicate) {
  AxisPool& pool = pools_[static_cast<unsigned>(axis)];
  const auto next = static_cast<uint32_t>(pool.predicates.size());
  const auto [it, fresh] = pool.by_predicate.try_emplace(predicate, next);
  if (fresh) pool.predicates.push_back(compile(axis, std::move(predicate)));
  return it->second;
}

uint32_t RegionSpace::intern_names(const std::vector<DomainPattern>& patterns) {
  std::vector<DomainPattern> sorted = patterns;
  std::ranges::sort(sorted);
  sorted.erase(std::ranges::unique(sorted).begin(), sorted.end());
  const auto next = static_cast<uint32_t>(name_lists_.size());
  const auto [it, fresh] = by_patterns_.try_emplace(sorted, next);
  if (!fresh) return it->second;
  NameList list;
  for (const DomainPattern& pattern : sorted) {
    const uint32_t id = intern_name(pattern.name);
    (pattern.wildcard ? list.under : list.exact).push_back(id);
    if (pattern.wildcard) listed_under_[id] = true;
  }
  name_lists_.push_back(std::move(list));
  return next;
}

uint32_t RegionSpace::intern_name(const std::string& name) {
  const auto next = static_cast<uint32_t>(names_.size());
  const auto [it, fresh] = by_name_.try_emplace(name, next);
  if (fresh) {
    names_.push_back(name);
    listed_under_.push_back(false);
  }
  return it->second;
}

const Intervals& RegionSpace::intervals(Axis axis, uint32_t condition) const {
  return pools_[static_cast<unsigned>(axis)].intervals[condition];
}

const CompiledRegionPredicate& RegionSpace::predicate(Axis axis, uint32_t condition) const {
  return pools_[static_cast<unsigned>(axis)].predicates[condition];
}

const std::vector<uint32_t>& RegionSpace::above(uint32_t id) const {
  const auto [it, fresh] = above_.try_emplace(id);
  if (!fresh) return it->second;
  const std::string& name = names_[id];
  for (size_t dot = name.find('.'); dot != std::string::npos; dot = name.find('.', dot + 1)) {
    const auto parent = by_name_.find(name.substr(dot + 1));
    if (parent != by_name_.end() && listed_under_[parent->second]) {
      it->second.push_back(parent->second);
    }
  }
  return it->second;
}

}  // namespace sallyport
