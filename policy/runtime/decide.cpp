#include <algorithm>
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
    if (set.first() == set.end()) return kNoClause;
    Dimension condition;
    condition.add(set);
    std::array<const Dimension*, kMost + 1> all;
    std::copy_n(all_.begin(), count_, all.begin());
    all[count_] = &condition;
    return first_common({all.data(), count_ + 1}, from, end);
  }

 private:
  static constexpr size_t kMost = 4 + kConditions;

  std::array<const Dimension*, kMost> all_;  // Filled up to count_.
  size_t count_ = 0;
};

/// Walks the tiers of one table for one flow.
class Walk {
 public:
  Walk(const TableCore& core, const FlowFacts& facts, const Lookup& lookup) noexcept
      : core_(core), facts_(facts), lookup_(lookup) {
    // Names tell most rules apart, then addresses.
    constexpr ConditionBits kName = condition_bit(kNameCondition);
    if ((core.active & kName) != 0) add_condition(kNameCondition);
    for (unsigned i = 0; i < lookup.fixed_count; ++i) {
      definite_.add(lookup.fixed[i]);
      possible_.add(lookup.fixed[i]);
    }
    for_each_condition(core.active & ~kName, [this](size_t kind) { add_condition(kind); });
  }

  Decision run() noexcept {
    uint32_t start = 0;
    for (const uint32_t end : core_.tier_ends) {
      if (start == end) continue;
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
    definite_.add(lookup_.conditions[kind]);
    if (!is_unknown(kind)) possible_.add(lookup_.conditions[kind]);
  }
  bool is_unknown(size_t kind) const noexcept {
    return (lookup_.unknown & condition_bit(kind)) != 0;
  }
  RuleAction action_of(uint32_t clause) const noexcept {
    return core_.rules[core_.clause_rules[clause]].terms.action;
  }
  bool in(uint32_t set, uint32_t clause) const noexcept {
    return (core_.set(set).word(clause / 64) >> (clause % 64) & 1) != 0;
  }
  /// Whether a clause in [first, end) may still match and is in `set`. `first` is the first that
  /// may match: mostly it is in the set itself, and nothing needs to be searched.
  bool any_possible(uint32_t set, uint32_t first, uint32_t end) const noexcept {
    return in(set, first) || possible_.first_in(core_.set(set), first, end) != kNoClause;
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
    const uint32_t uncertain_end = certain == kNoClause ? end : certain;
    const uint32_t decider_end = certain == kNoClause ? end : certain + 1;
    may_pass_ = may_pass_ || any_possible(passing_set(), first, decider_end);
    note_awaited(first, uncertain_end);
    return passes_on || any_possible(core_.image->pass_on(), first, uncertain_end) ? Step::next_tier
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

  void note_awaited(uint32_t first, uint32_t end) noexcept {
    for_each_condition(lookup_.unknown, [&](size_t kind) {
      if (any_possible(core_.conditions[kind].constrained, first, end)) {
        waits_for_ |= kFactOfCondition[kind];
      }
    });
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

/// Whether a flow can be judged by its addresses, protocol, port and time alone, with all else
/// open.
bool is_opening(const PolicyTable::Impl& table, const FlowFacts& facts) noexcept {
  const auto open = [](auto... known) { return ((known == Known::unknown) && ...); };
  return table.identities == nullptr && !facts.budget_spent &&
         open(facts.app_known, facts.name_known, facts.alpns_known, facts.ja4_known,
              facts.ech_known, facts.method_known, facts.path_known, facts.headers_known,
              facts.binding_known);
}

}  // namespace

Decision decide(const PolicyTable& table, const FlowFacts& facts, unsigned worker) noexcept {
  const PolicyTable::Impl& impl = table.impl();
  const TableCore& core = *impl.core;
  constexpr Decision kScanError{.verdict = Verdict::deny, .reason = Reason::scan_error};
  if (worker >= core.workers.size()) return kScanError;
  WorkerScratch& scratch = core.workers[worker];
  const FixedSets sets = find_fixed(core, facts);
  const bool opening = is_opening(impl, facts);
  if (opening) {
    if (const Decision* kept = scratch.openings.find(sets)) return *kept;
  }
  Lookup lookup;
  if (!look_up(impl, facts, sets, scratch, lookup)) return kScanError;
  const Decision decision = Walk(core, facts, lookup).run();
  if (opening) scratch.openings.keep(sets, decision);
  return decision;
}

bool is_bound_name(const PolicyTable& table, std::string_view name, unsigned worker) noexcept {
  const TableCore& core = *table.impl().core;
  const SetView bound_set = core.set(core.image->bound());
  const auto clauses = static_cast<uint32_t>(core.clause_rules.size());
  if (bound_set.first() == bound_set.end() || name.empty() || worker >= core.workers.size()) {
    return false;
  }
  WorkerScratch& scratch = core.workers[worker];
  Dimension names;
  names.use_spill(scratch.unions[kNameCondition]);  // Such a clause has a name: so it is active.
  if (!look_up_name(core, name, scratch, names)) return false;
  Dimension bound;
  bound.add(bound_set);
  const std::array<const Dimension*, 2> both{&names, &bound};
  return first_common(both, 0, clauses) != kNoClause;
}

}  // namespace sallyport
