#include "policy/compile/match.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <optional>

#include "policy/compile/match_parts.h"
#include "policy/compile/reading.h"

namespace sallyport {
namespace {

bool has_failed(std::span<const Predicate> predicates) {
  return std::ranges::find(predicates, MatchState::failed, &Predicate::state) != predicates.end();
}

Predicate match_subject(const PolicyModel& policy, const IpAddress& source) {
  std::vector<std::string> blocks;
  for (const IpPrefix& block : policy.subjects) {
    if (contains(block, source)) {
      return settled("subject.cidrs", to_string(block), to_string(source), true);
    }
    blocks.push_back(to_string(block));
  }
  return settled("subject.cidrs", listed(blocks), to_string(source), false);
}

Predicate match_labels(const Labels& wanted, const Labels* labels) {
  std::vector<std::string> wants;
  std::vector<std::string> has;
  bool matches = true;
  const auto pair_text = [](std::string key, const std::string& value) {
    return key.append("=").append(value);
  };
  for (const auto& [key, value] : wanted) {
    wants.push_back(pair_text(key, value));
    if (labels == nullptr) continue;
    const auto found = labels->find(key);
    has.push_back(found == labels->end() ? "no " + key : pair_text(key, found->second));
    matches = matches && found != labels->end() && found->second == value;
  }
  if (labels == nullptr) return awaited("subject.labels", listed(wants), kFactLabels);
  return settled("subject.labels", listed(wants), listed(has), matches);
}

/// What does not depend on the way: who, and when.
std::vector<Predicate> match_who_and_when(const PolicyModel& policy, const RuleModel& rule,
                                          const FlowFacts& facts, const Labels* labels) {
  std::vector<Predicate> out;
  if (!policy.subjects.empty()) out.push_back(match_subject(policy, facts.source));
  if (!policy.subject_labels.empty()) out.push_back(match_labels(policy.subject_labels, labels));
  const std::string now = time_text(facts.unix_seconds);
  if (rule.not_before != kBeginningOfTime) {
    out.push_back(settled("notBefore", "from " + time_text(rule.not_before), now,
                          facts.unix_seconds >= rule.not_before));
  }
  if (rule.expires_at != kEndOfTime) {
    out.push_back(settled("expiresAt", "before " + time_text(rule.expires_at), now,
                          facts.unix_seconds < rule.expires_at));
  }
  return out;
}

/// Cuts off what stands behind the first failure.
void end_at_failure(std::vector<Predicate>& predicates) {
  const auto failed = std::ranges::find(predicates, MatchState::failed, &Predicate::state);
  if (failed != predicates.end()) predicates.erase(failed + 1, predicates.end());
}

}  // namespace

class RuleMatcher::Regexes : public RegexCache {};

/// One rule against one flow.
class RuleMatcher::Evaluation {
 public:
  Evaluation(const PolicyModel& policy, const RuleModel& rule, const FlowFacts& facts,
             const Labels* labels, RegexCache& regexes)
      : rule_(rule),
        facts_(facts),
        regexes_(regexes),
        common_(match_who_and_when(policy, rule, facts, labels)) {}

  std::vector<Predicate> missing() {
    std::optional<std::vector<Predicate>> least;
    const auto offer = [&least](std::vector<Predicate> lacks) {
      if (!least || weight_of(lacks) < weight_of(*least)) least = std::move(lacks);
    };
    const auto offer_all = [&](Destination to) {
      if (rule_.protocols.empty()) offer(missing_of(to, nullptr));
      for (const ProtocolTerm& term : rule_.protocols) offer(missing_of(to, &term));
    };
    if (rule_.any_destination) offer_all(Destination::any);
    if (lists_names(rule_)) offer_all(Destination::names);
    if (lists_addresses(rule_)) offer_all(Destination::addresses);
    return std::move(least).value_or(std::vector<Predicate>{});
  }

  RuleMatch run() {
    const bool addresses = lists_addresses(rule_);
    const bool names = lists_names(rule_);
    if (rule_.any_destination) add_ways(Destination::any);
    if (addresses) add_ways(Destination::addresses);
    if (names) add_ways(Destination::names);
    end_at_failure(best_);
    // A flow that is neither at the addresses nor has a name: both are what the rule wants.
    Predicate* failed = best_.empty() ? nullptr : &best_.back();
    if (failed != nullptr && failed->what == "to.cidrs" && addresses && names &&
        failed->state == MatchState::failed) {
      const Predicate& by_name = destination(Destination::names).front();
      failed->what = "to";
      // One set may list both kinds.
      const bool same = by_name.wants.starts_with(failed->wants);
      failed->wants = same ? by_name.wants : failed->wants + ", or " + by_name.wants;
      failed->has += " and name " + by_name.has;
    }
    out_.predicates = std::move(best_);
    return std::move(out_);
  }

 private:
  enum class Destination : uint8_t { any, addresses, names };

  std::vector<Predicate> missing_of(Destination to, const ProtocolTerm* term) {
    std::vector<Predicate> out;
    const auto keep = [&out](const std::vector<Predicate>& all) {
      std::ranges::copy_if(all, std::back_inserter(out),
                           [](const Predicate& one) { return one.state != MatchState::matched; });
    };
    keep(common_);
    bool fits = true;
    if (term != nullptr) {
      const size_t before = out.size();
      keep({match_carrier(*term, facts_)});
      if (out.size() == before) keep(match_app(*term, facts_));
      fits = out.size() == before;
    }
    keep(destination(to));
    if (term != nullptr && fits) keep(match_details(*term, rule_.terms.action, facts_));
    return out;
  }

  void add_ways(Destination to) {
    if (rule_.protocols.empty()) add_way(to, nullptr);
    for (const ProtocolTerm& term : rule_.protocols) add_way(to, &term);
  }

  void add_way(Destination to, const ProtocolTerm* term) {
    std::vector<Predicate> all = common_;
    const auto append = [&all](const std::vector<Predicate>& more) {
      all.insert(all.end(), more.begin(), more.end());
    };
    if (term != nullptr && !has_failed(all)) {
      all.push_back(match_carrier(*term, facts_));
      append(match_app(*term, facts_));
    }
    if (!has_failed(all)) append(destination(to));
    if (term != nullptr && !has_failed(all)) {
      append(match_details(*term, rule_.terms.action, facts_));
    }
    MatchWay way{.state = MatchState::matched, .by_name = to == Destination::names};
    for (const Predicate& one : all) way.state = std::min(way.state, one.state);
    if (way.state == MatchState::waiting) {
      for (const Predicate& one : all) way.waits_for |= one.waits_for;
    }
    end_at_failure(all);
    if (out_.ways.empty() || is_better(way, all)) {
      best_ = std::move(all);
      out_.state = std::max(out_.state, way.state);
    } else if (way.state == MatchState::failed && out_.state == MatchState::failed) {
      widen_failure(all);
    }
    out_.ways.push_back(way);
  }

  bool is_better(const MatchWay& way, const std::vector<Predicate>& predicates) const {
    if (way.state != out_.state) return way.state > out_.state;
    return way.state == MatchState::failed && predicates.size() > best_.size();
  }

  /// Where another way failed on the same condition, just as far, its wish is one more that would
  /// have done: "tls 443, or http 80".
  void widen_failure(const std::vector<Predicate>& other) {
    Predicate& mine = best_.back();
    const Predicate& theirs = other.back();
    const bool same = other.size() == best_.size() && mine.what == theirs.what;
    if (same && !mine.wants.contains(theirs.wants)) mine.wants += ", or " + theirs.wants;
  }

  const std::vector<Predicate>& destination(Destination to) {
    auto& kept = destinations_[static_cast<size_t>(to)];
    if (kept) return *kept;
    kept.emplace();
    if (to == Destination::addresses) kept->push_back(match_addresses(rule_, facts_));
    if (to == Destination::names) kept->push_back(match_names(rule_, facts_, regexes_));
    return *kept;
  }

  const RuleModel& rule_;
  const FlowFacts& facts_;
  RegexCache& regexes_;
  std::vector<Predicate> common_;
  std::array<std::optional<std::vector<Predicate>>, 3> destinations_;  ///< By Destination.
  std::vector<Predicate> best_;
  RuleMatch out_;
};

std::string_view to_string(MatchState state) noexcept {
  switch (state) {
    case MatchState::failed:
      return "failed";
    case MatchState::waiting:
      return "waiting";
    case MatchState::matched:
      return "matched";
  }
  return "";
}

size_t weight_of(const std::vector<Predicate>& missing) noexcept {
  const auto protocols = std::ranges::count_if(missing, [](const Predicate& one) {
    return one.what == kCarrierCondition || one.what == kAppCondition;
  });
  return missing.size() + static_cast<size_t>(protocols);
}

size_t RuleMatch::passed() const noexcept {
  return static_cast<size_t>(
      std::ranges::count(predicates, MatchState::matched, &Predicate::state));
}

const Predicate* RuleMatch::failed() const noexcept {
  const auto found = std::ranges::find(predicates, MatchState::failed, &Predicate::state);
  return found == predicates.end() ? nullptr : &*found;
}

RuleMatcher::RuleMatcher() : regexes_(std::make_unique<Regexes>()) {}
RuleMatcher::~RuleMatcher() = default;

RuleMatch RuleMatcher::match(const PolicyModel& policy, const RuleModel& rule,
                             const FlowFacts& facts, const Labels* labels) {
  return Evaluation(policy, rule, facts, labels, *regexes_).run();
}

std::vector<Predicate> RuleMatcher::missing(const PolicyModel& policy, const RuleModel& rule,
                                            const FlowFacts& facts, const Labels* labels) {
  return Evaluation(policy, rule, facts, labels, *regexes_).missing();
}

}  // namespace sallyport
