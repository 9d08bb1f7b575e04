#include "policy/compile/explain_walk.h"

#include <algorithm>

namespace sallyport {
namespace {

/// One way of one rule, by its place in WalkResult::tried.
struct WayOfRule {
  size_t tried = 0;
  size_t way = 0;

  bool operator==(const WayOfRule&) const = default;
};

class Walk {
 public:
  Walk(const PolicyModels& models, const FlowFacts& facts, const std::optional<Labels>& labels,
       RuleMatcher& matcher)
      : models_(models), facts_(facts), labels_(labels ? &*labels : nullptr), matcher_(matcher) {}

  WalkResult run() {
    out_.decision = decide();
    for (TriedRule& one : out_.tried) {
      if (one.role == TriedRule::Role::matches && one.index == out_.decision.rule) {
        one.role = TriedRule::Role::decides;
      }
    }
    return std::move(out_);
  }

 private:
  enum class Step : uint8_t { decided, next_tier, end };

  Decision decide() {
    Step step = Step::next_tier;
    for (size_t start = 0; start < models_.policies.size() && step == Step::next_tier;) {
      size_t end = start;
      while (end < models_.policies.size() &&
             models_.policies[end].tier == models_.policies[start].tier) {
        ++end;
      }
      step = try_tier(start, end);
      start = end;
    }
    if (step == Step::decided && certain_) return decided_by(*certain_);
    if (waits_for_ != 0 && may_pass_) {
      return {.verdict = Verdict::pending, .reason = Reason::default_deny, .waits_for = waits_for_};
    }
    return {.verdict = Verdict::deny, .reason = Reason::default_deny};
  }

  /// Tries the rules of the policies [start, end), which are one tier.
  Step try_tier(size_t start, size_t end) {
    const size_t first_tried = out_.tried.size();
    certain_.reset();
    for (size_t at = start; at < end; ++at) {
      for (const RuleModel& rule : models_.policies[at].rules) try_rule(models_.policies[at], rule);
    }
    const auto possible = possible_ways(first_tried);
    const bool passes_on = !certain_ || action_of(*certain_) == RuleAction::pass;
    if (certain_ && passes_on) out_.tried.back().role = TriedRule::Role::passes;
    if (possible.empty()) return Step::next_tier;
    // Ways of one rule come to the same. By address and by name would not, but where the address
    // fits, a certain way is by address, and where it does not, no way is.
    if (certain_ && possible.front().tried == certain_->tried) {
      if (passes_on) return Step::next_tier;
      if (waits_for_ == 0) return Step::decided;
      may_pass_ = may_pass_ || lets_pass(*certain_);
      return Step::end;
    }
    bool may_go_on = passes_on;
    for (const WayOfRule& one : possible) {
      may_pass_ = may_pass_ || lets_pass(one);
      may_go_on = may_go_on || action_of(one) == RuleAction::pass;
      waits_for_ |= way(one).waits_for;
    }
    return may_go_on ? Step::next_tier : Step::end;
  }

  /// Behind a rule that matches for certain, none is tried.
  void try_rule(const PolicyModel& policy, const RuleModel& rule) {
    const uint32_t index = next_index_++;
    if (certain_) {
      if (action_of(*certain_) == RuleAction::pass) ++out_.skipped;
      return;
    }
    RuleMatch match = matcher_.match(policy, rule, facts_, labels_);
    const auto matched = std::ranges::find(match.ways, MatchState::matched, &MatchWay::state);
    if (matched != match.ways.end()) {
      certain_ = {out_.tried.size(), static_cast<size_t>(matched - match.ways.begin())};
    }
    const auto role = match.state == MatchState::matched   ? TriedRule::Role::matches
                      : match.state == MatchState::waiting ? TriedRule::Role::waiting
                                                           : TriedRule::Role::failed;
    out_.tried.push_back({index, &policy, &rule, role, std::move(match)});
  }

  /// What could decide in this tier, in order, with the certain way last.
  std::vector<WayOfRule> possible_ways(size_t first_tried) const {
    std::vector<WayOfRule> out;
    for (size_t i = first_tried; i < out_.tried.size(); ++i) {
      const auto& ways = out_.tried[i].match.ways;
      for (size_t k = 0; k < ways.size(); ++k) {
        if (ways[k].state != MatchState::failed) out.push_back({i, k});
        if (certain_ && *certain_ == WayOfRule{i, k}) return out;
      }
    }
    return out;
  }

  const MatchWay& way(WayOfRule at) const { return out_.tried[at.tried].match.ways[at.way]; }
  RuleAction action_of(WayOfRule at) const { return out_.tried[at.tried].rule->terms.action; }

  /// Whether the destination binding is about this way, and does not hold as far as is known.
  bool unbound(WayOfRule at) const {
    return way(at).by_name && facts_.binding_known != Known::present;
  }

  bool lets_pass(WayOfRule at) const {
    const RuleTerms& terms = out_.tried[at.tried].rule->terms;
    if (terms.action == RuleAction::pass) return false;
    if (terms.mode == PolicyMode::audit) return true;
    const bool refused = terms.binding == DestinationBinding::enforce && way(at).by_name &&
                         facts_.binding_known == Known::absent;
    return terms.action == RuleAction::allow && !refused;
  }

  Decision decided_by(WayOfRule at) const {
    const TriedRule& rule = out_.tried[at.tried];
    Decision out{.verdict = Verdict::deny, .reason = Reason::rule, .rule = rule.index};
    if (rule.rule->terms.action == RuleAction::allow) {
      out.verdict = Verdict::allow;
      apply_terms(rule.rule->terms, unbound(at), out);
    }
    if (out.verdict == Verdict::deny && rule.rule->terms.mode == PolicyMode::audit) {
      out.verdict = Verdict::allow;
      out.would_deny = true;
    }
    return out;
  }

  void apply_terms(const RuleTerms& terms, bool is_unbound, Decision& out) const {
    const bool absent = facts_.binding_known == Known::absent;
    if (is_unbound && terms.binding == DestinationBinding::enforce) {
      if (absent) {
        out.verdict = Verdict::deny;
        out.reason = Reason::destination_binding;
      } else if (terms.mode == PolicyMode::enforce) {
        out = {
            .verdict = Verdict::pending, .reason = Reason::default_deny, .waits_for = kFactBinding};
      }
      return;
    }
    if (is_unbound && terms.binding == DestinationBinding::audit && absent) {
      out.would_deny = true;
      out.reason = Reason::destination_binding;
    }
    if (!facts_.budget_spent || terms.budget.bytes_out == 0) return;
    const bool audit = terms.budget.on_exceed == OnExceed::audit;
    out.reason = Reason::budget_exceeded;
    out.verdict = audit ? Verdict::allow : Verdict::deny;
    out.would_deny = audit;
  }

  const PolicyModels& models_;
  const FlowFacts& facts_;
  const Labels* labels_;
  RuleMatcher& matcher_;
  uint32_t next_index_ = 0;
  std::optional<WayOfRule> certain_;  ///< The first of this tier that matches on known facts.
  uint16_t waits_for_ = 0;
  bool may_pass_ = false;  ///< Some unknown fact may still let the flow pass.
  WalkResult out_;
};

}  // namespace

WalkResult walk_rules(const PolicyModels& models, const FlowFacts& facts,
                      const std::optional<Labels>& labels, RuleMatcher& matcher) {
  return Walk(models, facts, labels, matcher).run();
}

}  // namespace sallyport
