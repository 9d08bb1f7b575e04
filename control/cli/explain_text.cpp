#include "control/cli/explain_text.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <utility>

#include "control/cli/text_table.h"
#include "policy/yaml/printable.h"

namespace sallyport {
namespace {

constexpr size_t kNearest = 50;

using Rows = std::vector<std::vector<std::string>>;

/// Flows may come from the wire: their cells are made safe for a terminal here.
std::string indented_table(Rows rows) {
  for (auto& row : rows) {
    for (std::string& cell : row) cell = printable(cell);
  }
  const std::string table = align(rows, std::vector<bool>(rows.front().size(), false));
  std::string out;
  for (size_t start = 0; start < table.size();) {
    const size_t end = table.find('\n', start);
    out += "  " + table.substr(start, end + 1 - start);
    start = end + 1;
  }
  return out;
}

std::string named(const TriedRule& rule) {
  return full_name(rule) + " (" + place_text(rule.rule->place) + ")";
}

/// What the destination binding did not find.
std::string unbound_text(const FlowDescription& flow) {
  return fmt::format("no trusted resolver gave {} for {}", to_string(flow.values().destination),
                     flow.values().name.value);
}

std::string cause_text(const Explanation& explanation, const FlowDescription& flow) {
  switch (explanation.decision.reason) {
    case Reason::destination_binding:
      return unbound_text(flow);
    case Reason::budget_exceeded:
      return "its budget is spent";
    case Reason::rule:
      return "policy mode audit";
    default:
      return std::string(to_string(explanation.decision.reason));
  }
}

std::string default_deny_text(const Explanation& explanation) {
  const bool hopes = std::ranges::any_of(
      explanation.tried, [](const TriedRule& one) { return one.role == TriedRule::Role::waiting; });
  return hopes ? "no rule that could still match lets it pass (default_deny)"
               : "no rule matches (default_deny)";
}

std::string headline(const Explanation& explanation, const FlowDescription& flow) {
  const Decision& decision = explanation.decision;
  const TriedRule* decider = explanation.decider();
  const std::string rule = decider == nullptr ? "" : named(*decider);
  if (decision.verdict == Verdict::pending) {
    return coloured("pending", "33") +
           ": it depends on what is not known yet: " + facts_text(decision.waits_for);
  }
  if (decision.verdict == Verdict::allow && decision.would_deny) {
    return coloured("allowed", "33") +
           fmt::format(" by {}, but would be denied were it not for audit: {}", rule,
                       cause_text(explanation, flow));
  }
  if (decision.verdict == Verdict::allow) return coloured("allowed", "32") + " by " + rule;
  const std::string denied = coloured("denied", "31");
  if (decider == nullptr) {
    return denied + ": " +
           (decision.reason == Reason::default_deny ? default_deny_text(explanation)
                                                    : std::string(to_string(decision.reason)));
  }
  if (decision.reason == Reason::rule) return denied + " by " + rule;
  return denied + " by " + rule + ": " + cause_text(explanation, flow);
}

std::string budget_text(const Budget& budget) {
  return fmt::format("budget {} in {} by {}, then {}", bytes_text(budget.bytes_out),
                     duration_text(uint64_t{budget.window_seconds} * 1'000'000'000),
                     to_string(budget.scope), to_string(budget.on_exceed));
}

std::string terms_text(const TriedRule& one) {
  const RuleTerms& terms = one.rule->terms;
  std::string out = fmt::format("{} in tier {}, priority {}, mode {}; log {}",
                                to_string(terms.action), to_string(terms.tier),
                                one.policy->priority, to_string(terms.mode), to_string(terms.log));
  if (terms.action != RuleAction::allow)
    return out + fmt::format("; onDeny {}", to_string(terms.on_deny));
  if (terms.binding != DestinationBinding::off) {
    out += fmt::format("; destinationBinding {}", to_string(terms.binding));
  }
  if (terms.budget.bytes_out != 0) out += "; " + budget_text(terms.budget);
  return out;
}

std::string binding_text(Known binding) {
  if (binding == Known::unknown) return "not known yet";
  return binding == Known::present ? "bound" : "unbound";
}

std::string decider_text(const TriedRule& rule, const FlowDescription& flow) {
  std::string out = "\nWhy it decides: " + terms_text(rule) + "\n";
  Rows rows{{"CONDITION", "THE RULE WANTS", "THE FLOW HAS"}};
  for (const Predicate& one : rule.match.predicates) {
    rows.push_back({one.what, one.wants, one.has});
  }
  const auto way = std::ranges::find(rule.match.ways, MatchState::matched, &MatchWay::state);
  const bool asks = rule.rule->terms.binding != DestinationBinding::off;
  if (asks && way != rule.match.ways.end() && way->by_name) {
    rows.push_back({"destinationBinding", "an address that a trusted resolver gave",
                    binding_text(flow.values().binding_known)});
  }
  if (rows.size() == 1) return out + "  It has no conditions.\n";
  return out + indented_table(rows);
}

/// What an open rule waits for. A rule that matches may still wait for its binding.
std::string awaited_text(const Explanation& explanation, const TriedRule& one) {
  uint16_t facts = 0;
  for (const Predicate& predicate : one.match.predicates) facts |= predicate.waits_for;
  const bool binding =
      one.role == TriedRule::Role::matches && (explanation.decision.waits_for & kFactBinding) != 0;
  return facts_text(facts | (binding ? kFactBinding : 0));
}

/// Rules that matched or still may, before or without a deciding one.
std::string open_rules_text(const Explanation& explanation) {
  Rows rows{{"RULE", "AT", "ACTION", "STATE", "WAITS FOR"}};
  bool waiting = false;
  for (const TriedRule& one : explanation.tried) {
    if (one.role == TriedRule::Role::failed || one.role == TriedRule::Role::decides) continue;
    std::string state = waiting ? "matches, if none above does" : "matches";
    if (one.role == TriedRule::Role::waiting) {
      state = "could match";
      waiting = true;
    }
    rows.push_back({full_name(one), place_text(one.rule->place),
                    std::string(to_string(one.rule->terms.action)), std::move(state),
                    awaited_text(explanation, one)});
  }
  if (rows.size() == 1) return "";
  const bool decided = explanation.decider() != nullptr;
  return (decided ? "\nRules that come before it and leave the flow to the next tier:\n"
                  : "\nRules that match, or could:\n") +
         indented_table(rows);
}

std::string failed_rules_text(const Explanation& explanation, bool all) {
  const auto shown = explanation.nearest(all ? SIZE_MAX : kNearest);
  if (shown.empty()) return "";
  Rows rows{{"RULE", "AT", "ACTION", "FAILS ON", "THE RULE WANTS", "THE FLOW HAS"}};
  for (const TriedRule* one : shown) {
    const Predicate* failed = one->match.failed();
    if (failed == nullptr) continue;
    rows.push_back({full_name(*one), place_text(one->rule->place),
                    std::string(to_string(one->rule->terms.action)), failed->what, failed->wants,
                    failed->has});
  }
  const bool decided = explanation.decider() != nullptr;
  std::string out =
      decided ? "\nRules that come before it and do not match:\n" : "\nRules that do not match:\n";
  out += indented_table(rows);
  const size_t left_out = explanation.nearest(SIZE_MAX).size() - shown.size();
  if (left_out != 0) {
    out += fmt::format("  and {} that came less near; --all lists them\n",
                       count_text(left_out, "rule", "rules"));
  }
  return out;
}

Json place_json(const TriedRule& one) {
  return {{"policy", one.policy->name},
          {"rule", one.rule->name},
          {"file", one.rule->place.file},
          {"line", one.rule->place.line},
          {"action", to_string(one.rule->terms.action)},
          {"tier", to_string(one.rule->terms.tier)},
          {"mode", to_string(one.rule->terms.mode)}};
}

Json predicate_json(const Predicate& predicate) {
  return {{"condition", predicate.what},
          {"state", to_string(predicate.state)},
          {"wants", predicate.wants},
          {"has", predicate.has}};
}

Json tried_json(const TriedRule& one) {
  Json out = place_json(one);
  out["role"] = to_string(one.role);
  out["conditions"] = Json::array();
  for (const Predicate& predicate : one.match.predicates) {
    out["conditions"].push_back(predicate_json(predicate));
  }
  return out;
}

}  // namespace

std::string decision_text(const Explanation& explanation, const FlowDescription& flow,
                          int64_t now) {
  std::string out = headline(explanation, flow) + "\n  " + printable(to_text(flow, now)) + "\n";
  if (const TriedRule* decider = explanation.decider()) out += decider_text(*decider, flow);
  return out;
}

std::string near_rules_text(const std::vector<NearRule>& rules, const Explanation& explanation) {
  const TriedRule* decider = explanation.decider();
  const bool denies = decider != nullptr && decider->rule->terms.action == RuleAction::deny;
  Rows rows{{"RULE", "AT", "LACKS", "THE RULE WANTS", "THE FLOW HAS"}};
  bool behind = false;
  for (const NearRule& one : rules) {
    // A rule behind one that denies has to come to its turn, besides.
    const bool late = denies && one.index > decider->index;
    behind = behind || late;
    std::string name = one.policy->name + "/" + one.rule->name + (late ? " *" : "");
    std::string place = place_text(one.rule->place);
    if (one.missing.empty()) rows.push_back({name, place, "nothing", "", ""});
    for (const Predicate& lacks : one.missing) {
      rows.push_back(
          {std::exchange(name, ""), std::exchange(place, ""), lacks.what, lacks.wants, lacks.has});
    }
  }
  if (rows.size() == 1) return "  no rule allows anything\n";
  std::string out = indented_table(rows);
  if (behind) out += "  * behind " + named(*decider) + ", which would have to let it pass\n";
  return out;
}

Json near_rules_json(const std::vector<NearRule>& rules) {
  Json out = Json::array();
  for (const NearRule& one : rules) {
    Json lacks = Json::array();
    for (const Predicate& predicate : one.missing) lacks.push_back(predicate_json(predicate));
    out.push_back({{"policy", one.policy->name},
                   {"rule", one.rule->name},
                   {"file", one.rule->place.file},
                   {"line", one.rule->place.line},
                   {"lacks", std::move(lacks)}});
  }
  return out;
}

std::string explanation_text(const Explanation& explanation, const FlowDescription& flow,
                             int64_t now, bool all) {
  std::string out = decision_text(explanation, flow, now);
  out += open_rules_text(explanation) + failed_rules_text(explanation, all);
  if (explanation.skipped != 0) {
    out += fmt::format("\nNot tried: {} behind a Pass in the same tier.\n",
                       count_text(explanation.skipped, "rule", "rules"));
  }
  return out;
}

Json explanation_json(const Explanation& explanation, const FlowDescription& flow, int64_t now,
                      bool all) {
  const Decision& decision = explanation.decision;
  Json out{{"flow", to_text(flow, now)},
           {"verdict", to_string(decision.verdict)},
           {"reason", to_string(decision.reason)},
           {"would_deny", decision.would_deny}};
  const TriedRule* decider = explanation.decider();
  out["decided_by"] = decider == nullptr ? Json(nullptr) : place_json(*decider);
  out["waits_for"] = Json::array();
  for (unsigned i = 0; i < kFactBits; ++i) {
    if ((decision.waits_for >> i & 1) != 0) {
      out["waits_for"].push_back(to_string(static_cast<FactBit>(1u << i)));
    }
  }
  const auto nearest = explanation.nearest(all ? SIZE_MAX : kNearest);
  out["rules"] = Json::array();
  for (const TriedRule& one : explanation.tried) {
    const bool shown =
        one.role != TriedRule::Role::failed || std::ranges::find(nearest, &one) != nearest.end();
    if (shown) out["rules"].push_back(tried_json(one));
  }
  out["rules_left_out"] = explanation.tried.size() - out["rules"].size();
  out["rules_skipped_by_pass"] = explanation.skipped;
  return out;
}

}  // namespace sallyport
