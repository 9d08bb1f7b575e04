#include "policy/compile/diff_regions.h"

#include <algorithm>

#include "policy/compile/diff_focus.h"

namespace sallyport {
namespace {

/// More rows than this are merged further: first over the rules that have no part in the change.
constexpr size_t kMaxRows = 60;

/// What happens to a flow.
struct Treatment {
  uint32_t rule = kDefaultDeny;
  bool passes = false;
  bool would_deny = false;
  bool logged = true;
  LogLevel log = RuleTerms{}.log;
  OnDeny on_deny = RuleTerms{}.on_deny;
  Budget budget;
};

Treatment treatment_of(const RegionSpace& space, std::optional<uint32_t> clause, bool bound) {
  if (!clause) return {};
  const auto& one = space.clauses()[*clause];
  const RuleTerms terms = terms_of(space.rules()[one.rule]);
  Treatment out{.rule = one.rule, .log = terms.log, .on_deny = terms.on_deny};
  if (terms.action == RuleAction::deny) {
    out.passes = out.would_deny = terms.mode == PolicyMode::audit;
  } else {
    const bool unbound = one.by_name && !bound && terms.binding != DestinationBinding::off;
    out.passes =
        !unbound || terms.binding == DestinationBinding::audit || terms.mode == PolicyMode::audit;
    out.would_deny = unbound && out.passes;
    if (out.passes) out.budget = terms.budget;
  }
  const bool denial = !out.passes || out.would_deny;
  out.logged = terms.log != LogLevel::none && (terms.log != LogLevel::denies || denial);
  return out;
}

std::string budget_text(const Budget& budget) {
  if (budget.bytes_out == 0) return "none";
  return std::to_string(budget.bytes_out) + " B in " + std::to_string(budget.window_seconds) +
         " s per " + std::string(to_string(budget.scope)) +
         (budget.on_exceed == OnExceed::audit ? " (audit)" : "");
}

/// "; " between what differs.
void add_note(std::string_view what, std::string_view before, std::string_view after,
              std::string& out) {
  if (before == after) return;
  if (!out.empty()) out += "; ";
  out += std::string(what) + " " + std::string(before) + " -> " + std::string(after);
}

std::string note_of(const Treatment& before, const Treatment& after, ChangeKind kind) {
  const auto yes_no = [](bool yes) { return yes ? "yes" : "no"; };
  std::string out;
  if (kind == ChangeKind::newly_allowed) {
    if (after.would_deny) out = "would_deny";
    if (before.passes) {
      add_note("budget", budget_text(before.budget), budget_text(after.budget), out);
    } else if (after.budget.bytes_out != 0) {
      out += (out.empty() ? "budget " : "; budget ") + budget_text(after.budget);
    }
    if (!after.logged) out += out.empty() ? "not logged" : "; not logged";
    return out;
  }
  if (kind == ChangeKind::newly_denied) return before.would_deny ? "was would_deny" : "";
  add_note("would_deny", yes_no(before.would_deny), yes_no(after.would_deny), out);
  if (!before.passes) add_note("onDeny", to_string(before.on_deny), to_string(after.on_deny), out);
  add_note("budget", budget_text(before.budget), budget_text(after.budget), out);
  const bool more_or_less =
      before.logged != after.logged ||
      (before.logged && (before.log == LogLevel::all) != (after.log == LogLevel::all));
  if (more_or_less) add_note("log", to_string(before.log), to_string(after.log), out);
  return out;
}

/// How much a scope counts together: the less, the more may leave.
unsigned looseness(BudgetScope scope) {
  switch (scope) {
    case BudgetScope::rule:
      return 0;
    case BudgetScope::subject:
      return 1;
    case BudgetScope::source:
      break;
  }
  return 2;
}

/// Whether bytes that `before` would have stopped may leave under `after`.
bool loosened(const Budget& before, const Budget& after) {
  if (before.bytes_out == 0 || before.on_exceed == OnExceed::audit) return false;
  return after.bytes_out == 0 || after.on_exceed == OnExceed::audit ||
         after.bytes_out > before.bytes_out || after.window_seconds < before.window_seconds ||
         looseness(after.scope) > looseness(before.scope);
}

/// Nothing where a flow is treated as before.
std::optional<ChangeKind> kind_of(const Treatment& before, const Treatment& after) {
  if (before.passes != after.passes) {
    return after.passes ? ChangeKind::newly_allowed : ChangeKind::newly_denied;
  }
  if (before.passes && loosened(before.budget, after.budget)) return ChangeKind::newly_allowed;
  if (before.logged && !after.logged) return ChangeKind::no_longer_logged;
  if (note_of(before, after, ChangeKind::other).empty()) return std::nullopt;
  return ChangeKind::other;
}

RegionSpace space_of(const PolicyModels& before, const PolicyModels& after) {
  RegionSpace out;
  out.add(before);
  out.add(after);
  return out;
}

}  // namespace

PolicyComparison::PolicyComparison(const PolicyModels& before, const PolicyModels& after,
                                   const DiffOptions& options)
    : space_(space_of(before, after)),
      time_{time_key(options.now), time_key(INT64_MAX)},
      max_changes_(options.max_changes),
      engine_(space_, time_, options.max_steps) {}

std::vector<Region> PolicyComparison::run() {
  const DiffFocus focus = find_focus(space_);
  for (const uint32_t clause : focus.changed) engine_.splitter().focus(clause, true);
  std::vector<Region> regions = engine_.compare(
      focus.candidates,
      [this](const RegionEngine::Deciders& deciders) { return outcome_of(deciders); },
      max_changes_);
  for (const bool keep_after : {true, false}) {
    if (regions.size() <= kMaxRows) break;
    const auto ids = joined(keep_after);
    regions = engine_.relabelled([&](uint32_t id) { return ids[id]; });
  }
  return regions;
}

uint32_t PolicyComparison::outcome_of(const RegionEngine::Deciders& deciders) {
  const Treatment before = treatment_of(space_, deciders.first, deciders.bound);
  const Treatment after = treatment_of(space_, deciders.second, deciders.bound);
  const auto kind = kind_of(before, after);
  if (!kind) return 0;
  return add({*kind, after.passes, note_of(before, after, *kind), {before.rule}, {after.rule}});
}

uint32_t PolicyComparison::add(ChangeOutcome outcome) {
  const auto next = static_cast<uint32_t>(outcomes_.size());
  const auto [it, fresh] = known_.try_emplace(outcome, next);
  if (fresh) outcomes_.push_back(std::move(outcome));
  return it->second;
}

/// For each outcome, the one that names all rules of those that differ only in rules not kept.
std::vector<uint32_t> PolicyComparison::joined(bool keep_after) {
  const auto key_of = [&](ChangeOutcome one) {
    one.before.clear();
    if (!keep_after) one.after.clear();
    return one;
  };
  std::map<ChangeOutcome, std::vector<uint32_t>> groups;
  std::vector<uint32_t> out(outcomes_.size(), 0);
  for (uint32_t id = 1; id < out.size(); ++id) groups[key_of(outcomes_[id])].push_back(id);
  for (const auto& [key, ids] : groups) {
    ChangeOutcome all = key;
    for (const uint32_t id : ids) {
      all.before.insert(outcomes_[id].before.begin(), outcomes_[id].before.end());
      all.after.insert(outcomes_[id].after.begin(), outcomes_[id].after.end());
    }
    const uint32_t joined = add(std::move(all));
    for (const uint32_t id : ids) out[id] = joined;
  }
  return out;
}

}  // namespace sallyport
