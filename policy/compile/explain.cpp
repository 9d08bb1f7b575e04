#include "policy/compile/explain.h"

#include <algorithm>
#include <stdexcept>

#include "policy/compile/explain_walk.h"

namespace sallyport {
namespace {

std::unique_ptr<PolicyTable> bind(const PolicyTable& table, std::span<const Identity> identities) {
  auto bound = table.with_identities(identities);
  if (!bound) {
    throw std::runtime_error("the identities cannot be loaded: " +
                             std::string(to_string(bound.error())));
  }
  return std::move(*bound);
}

std::string text_of(const Decision& decision, const PolicyTable& table) {
  std::string out(to_string(decision.verdict));
  out += " for " + std::string(to_string(decision.reason));
  if (decision.would_deny) out += ", would deny";
  if (decision.waits_for != 0) out += ", waiting for " + facts_text(decision.waits_for);
  const RuleInfo rule = table.rule(decision.rule);
  if (rule.policy.empty()) return out;
  return out + " by " + std::string(rule.policy) + "/" + std::string(rule.name);
}

/// What is amiss between decide() and the walk, or "".
std::string difference(const Decision& decided, const WalkResult& walked,
                       const PolicyTable& table) {
  if (decided != walked.decision) {
    return "decide() says " + text_of(decided, table) + ", but the rules come to " +
           text_of(walked.decision, table);
  }
  for (const TriedRule& one : walked.tried) {
    const RuleInfo info = table.rule(one.index);
    if (info.policy == one.policy->name && info.name == one.rule->name) continue;
    return "rule " + std::to_string(one.index) + " is " + one.policy->name + "/" + one.rule->name +
           " in the documents and " + std::string(info.policy) + "/" + std::string(info.name) +
           " in the table";
  }
  return "";
}

}  // namespace

std::string_view to_string(TriedRule::Role role) noexcept {
  switch (role) {
    case TriedRule::Role::failed:
      return "failed";
    case TriedRule::Role::waiting:
      return "waiting";
    case TriedRule::Role::passes:
      return "passes";
    case TriedRule::Role::matches:
      return "matches";
    case TriedRule::Role::decides:
      return "decides";
  }
  return "";
}

std::string full_name(const TriedRule& rule) {
  return rule.policy->name + "/" + rule.rule->name;
}

std::string place_text(const SourcePlace& place) {
  return place.file + ":" + std::to_string(place.line);
}

std::string obstacle_text(const TriedRule& rule) {
  const std::string start = full_name(rule) + " (" + place_text(rule.rule->place) + ") ";
  if (rule.role == TriedRule::Role::waiting) {
    uint16_t facts = 0;
    for (const Predicate& one : rule.match.predicates) facts |= one.waits_for;
    return start + "waits for " + facts_text(facts);
  }
  const Predicate* failed = rule.match.failed();
  if (failed == nullptr) return start + "matches";
  return start + "does not match: " + failed->what + " wants " + failed->wants + ", the flow has " +
         failed->has;
}

std::string facts_text(uint16_t facts) {
  std::string out;
  for (unsigned i = 0; i < kFactBits; ++i) {
    if ((facts >> i & 1) == 0) continue;
    out += (out.empty() ? "" : ", ") + std::string(to_string(static_cast<FactBit>(1u << i)));
  }
  return out;
}

const TriedRule* Explanation::decider() const noexcept {
  const auto found = std::ranges::find(tried, TriedRule::Role::decides, &TriedRule::role);
  return found == tried.end() ? nullptr : &*found;
}

std::vector<const TriedRule*> Explanation::nearest(size_t limit) const {
  std::vector<const TriedRule*> out;
  for (const TriedRule& one : tried) {
    if (one.role == TriedRule::Role::failed) out.push_back(&one);
  }
  std::ranges::stable_sort(out, std::ranges::greater(),
                           [](const TriedRule* one) { return one->match.passed(); });
  if (out.size() > limit) out.resize(limit);
  std::ranges::sort(out);  // They are elements of one vector.
  return out;
}

Explainer::Explainer(const PolicyModels& models, const PolicyTable& table)
    : models_(models), table_(table) {}

void Explainer::use_identities(std::optional<std::vector<Identity>> identities) {
  with_feed_ = identities ? bind(table_, *identities) : nullptr;
  identities_ = std::move(identities).value_or(std::vector<Identity>{});
}

std::optional<Labels> Explainer::labels_of(const FlowDescription& flow) const {
  if (flow.values().labels) return flow.values().labels;
  if (!with_feed_) return {};
  Labels out;
  for (const Identity& one : identities_) {
    // Of two mentions of an address, the last counts.
    if (one.address == flow.values().source) out = Labels(one.labels.begin(), one.labels.end());
  }
  return out;
}

Decision Explainer::decide(const FlowDescription& flow) {
  const std::optional<Labels>& labels = flow.values().labels;
  if (!labels) return sallyport::decide(with_feed_ ? *with_feed_ : table_, flow.facts(), 0);
  const Identity identity{flow.values().source, {labels->begin(), labels->end()}};
  return sallyport::decide(*bind(table_, {&identity, 1}), flow.facts(), 0);
}

Explanation Explainer::explain(const FlowDescription& flow) {
  Explanation out;
  out.decision = decide(flow);
  WalkResult walked = walk_rules(models_, flow.facts(), labels_of(flow), matcher_);
  out.disagreement = difference(out.decision, walked, table_);
  out.tried = std::move(walked.tried);
  out.skipped = walked.skipped;
  return out;
}

std::vector<NearRule> Explainer::near_rules(const FlowDescription& flow, size_t limit) {
  const uint32_t decider = decide(flow).rule;
  const std::optional<Labels> labels = labels_of(flow);
  const FlowFacts facts = flow.facts();
  std::vector<NearRule> out;
  uint32_t index = 0;
  for (const PolicyModel& policy : models_.policies) {
    for (const RuleModel& rule : policy.rules) {
      const uint32_t at = index++;
      if (rule.terms.action != RuleAction::allow || at == decider) continue;
      out.push_back(
          {at, &policy, &rule, matcher_.missing(policy, rule, facts, labels ? &*labels : nullptr)});
    }
  }
  std::ranges::stable_sort(out, {}, [](const NearRule& one) { return weight_of(one.missing); });
  if (out.size() > limit) out.resize(limit);
  return out;
}

}  // namespace sallyport
