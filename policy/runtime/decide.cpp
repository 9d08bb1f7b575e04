#include <array>

#include "policy/runtime/table_impl.h"

namespace sallyport {
namespace {

constexpr std::array<FactBit, kConditions> kFactOfCondition{
    kFactLabels, kFactApp,  kFactName,    kFactAlpns,   kFactJa4,     kFactEch,
    kFactMethod, kFactPath, kFactHeaders, kFactHeaders, kFactHeaders, kFactHeaders};

/// Dimensions of one flow, with room for one more condition.
class Selection {
 public:
  void add(const Dimension& dimension) noexcept { all_[count_++] = &dimension; }

  uint32_t first(uint32_t from, uint32_t end) const noexcept {
    return first_common({all_.data(), count_}, from, end);
  }
  /// The first that is also in `set`.
  uint32_t first_in(SetView set, uint32_t from, uint32_t end) const noexcept {
    Dimension condition;
    condition.add(set);
    auto all = all_;
    all[count_] = &condition;
    return first_common({all.data(), count_ + 1}, from, end);
  }

 private:
  std::array<const Dimension*, 4 + kConditions + 1> all_{};
  size_t count_ = 0;
};

/// Walks the tiers of one table for one flow.
class Walk {
 public:
  Walk(const TableCore& core, const FlowFacts& facts, const Lookup& lookup) noexcept
      : core_(core), facts_(facts), lookup_(lookup) {
    // Names tell most rules apart, then addresses.
    add_condition(kNameCondition);
    for (unsigned i = 0; i < lookup.fixed_count; ++i) {
      definite_.add(lookup.fixed[i]);
      possible_.add(lookup.fixed[i]);
    }
    for (size_t kind = 0; kind < kConditions; ++kind) {
      if (kind != kNameCondition) add_condition(kind);
    }
  }

  Decision run() noexcept {
    uint32_t start = 0;
    for (const uint32_t end : core_.tier_ends) {
      const Step step = lookup_.unknown == 0 ? known_tier(start, end) : tier(start, end);
      if (step == Step::decided) return decided_by(decider_);
      if (step == Step::end) break;
      start = end;
    }
    if (waits_for_ != 0 && may_pass_) {
      return {.verdict = Verdict::pending, .reason = Reason::default_deny, .waits_for = waits_for_};
    }
    return {.verdict = Verdict::deny, .reason = Reason::default_deny};
  }

 private:
  enum class Step : uint8_t { decided, next_tier, end };

  void add_condition(size_t kind) noexcept {
    if (!core_.conditions[kind].active) return;
    definite_.add(lookup_.conditions[kind]);
    if (!is_unknown(kind)) possible_.add(lookup_.conditions[kind]);
  }
  bool is_unknown(size_t kind) const noexcept { return (lookup_.unknown >> kind & 1) != 0; }
  RuleAction action_of(uint32_t clause) const noexcept {
    return core_.rules[core_.clause_rules[clause]].terms.action;
  }
  bool in(uint32_t set, uint32_t clause) const noexcept {
    return (core_.set(set).word(clause / 64) >> (clause % 64) & 1) != 0;
  }
  bool bound(uint32_t clause) const noexcept {
    return facts_.binding_known != Known::present && in(core_.image->bound(), clause);
  }

  /// Every fact that any clause asks for is known.
  Step known_tier(uint32_t start, uint32_t end) noexcept {
    const uint32_t clause = definite_.first(start, end);
    if (clause == kNoClause || action_of(clause) == RuleAction::pass) return Step::next_tier;
    decider_ = clause;
    return Step::decided;
  }

  Step tier(uint32_t start, uint32_t end) noexcept {
    const uint32_t certain = definite_.first(start, end);
    const uint32_t first = possible_.first(start, end);
    const bool passes_on = certain == kNoClause || action_of(certain) == RuleAction::pass;
    if (same_outcome(first, certain)) {
      if (passes_on) return Step::next_tier;
      if (waits_for_ == 0) {
        decider_ = certain;
        return Step::decided;
      }
      may_pass_ |= in(passing_set(), certain);
      return Step::end;
    }
    // Whatever the unknown facts turn out to be, one of [first, certain] decides, or a later tier.
    const uint32_t last = certain == kNoClause ? end : certain + 1;
    may_pass_ |= possible_.first_in(core_.set(passing_set()), start, last) != kNoClause;
    note_awaited(start, certain == kNoClause ? end : certain);
    return passes_on || pass_possible(start, certain == kNoClause ? end : certain) ? Step::next_tier
                                                                                   : Step::end;
  }

  /// Neighbouring clauses of one rule: whichever of them matches, the outcome is the same. A rule's
  /// clauses by address, which no destination binding stops, come before those by name with the
  /// same protocols: where one by name is certain, none by address is possible.
  bool same_outcome(uint32_t first, uint32_t certain) const noexcept {
    if (first == certain) return true;
    return certain != kNoClause && core_.clause_rules[first] == core_.clause_rules[certain];
  }

  uint32_t passing_set() const noexcept {
    return facts_.binding_known == Known::absent ? core_.image->passing_unbound()
                                                 : core_.image->passing();
  }

  bool pass_possible(uint32_t start, uint32_t end) const noexcept {
    return possible_.first_in(core_.set(core_.image->pass_on()), start, end) != kNoClause;
  }

  void note_awaited(uint32_t start, uint32_t end) noexcept {
    for (size_t kind = 0; kind < kConditions; ++kind) {
      if (!is_unknown(kind)) continue;
      const SetView constrained = core_.set(core_.conditions[kind].constrained);
      if (possible_.first_in(constrained, start, end) != kNoClause) {
        waits_for_ |= kFactOfCondition[kind];
      }
    }
  }

  Decision decided_by(uint32_t clause) const noexcept {
    const uint32_t rule = core_.clause_rules[clause];
    const RuleTerms& terms = core_.rules[rule].terms;
    Decision out{.verdict = terms.action == RuleAction::allow ? Verdict::allow : Verdict::deny,
                 .reason = Reason::rule,
                 .rule = rule};
    if (terms.action == RuleAction::allow) apply_terms(terms, bound(clause), out);
    if (out.verdict == Verdict::deny && terms.mode == PolicyMode::audit) {
      out.verdict = Verdict::allow;
      out.would_deny = true;
    }
    return out;
  }

  /// Destination binding and budget of a rule that allows.
  void apply_terms(const RuleTerms& terms, bool is_bound, Decision& out) const noexcept {
    if (is_bound && terms.binding == DestinationBinding::enforce) {
      if (facts_.binding_known == Known::unknown) {
        if (terms.mode == PolicyMode::audit) return;  // It passes either way.
        out = {
            .verdict = Verdict::pending, .reason = Reason::default_deny, .waits_for = kFactBinding};
        return;
      }
      out.verdict = Verdict::deny;
      out.reason = Reason::destination_binding;
      return;
    }
    if (is_bound && terms.binding == DestinationBinding::audit &&
        facts_.binding_known == Known::absent) {
      out.would_deny = true;
      out.reason = Reason::destination_binding;
    }
    if (!facts_.budget_spent || terms.budget.bytes_out == 0) return;
    out.reason = Reason::budget_exceeded;
    out.verdict = terms.budget.on_exceed == OnExceed::deny ? Verdict::deny : Verdict::allow;
    out.would_deny = terms.budget.on_exceed == OnExceed::audit;
  }

  const TableCore& core_;
  const FlowFacts& facts_;
  const Lookup& lookup_;
  Selection definite_;  ///< Clauses that match on what is known.
  Selection possible_;  ///< Clauses that may still match.
  uint32_t decider_ = kNoClause;
  uint16_t waits_for_ = 0;
  bool may_pass_ = false;  ///< Some unknown fact may still let the flow pass.
};

}  // namespace

Decision decide(const PolicyTable& table, const FlowFacts& facts, unsigned worker) noexcept {
  Lookup lookup;
  if (!look_up(table.impl(), facts, worker, lookup)) {
    return {.verdict = Verdict::deny, .reason = Reason::scan_error};
  }
  return Walk(*table.impl().core, facts, lookup).run();
}

}  // namespace sallyport
