#include "control/cli/diff_text.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <array>

#include "control/cli/text_table.h"

namespace sallyport {
namespace {

constexpr size_t kMaxNames = 3;
constexpr size_t kMaxRows = 200;
constexpr size_t kMaxFlowRows = 50;
constexpr std::array<const char*, 4> kKeys{"newly_allowed", "newly_denied", "no_longer_logged",
                                           "other"};

std::string list(const std::vector<std::string>& items) {
  std::string out;
  const size_t shown = items.size() > kMaxNames + 1 ? kMaxNames : items.size();
  for (size_t i = 0; i < shown; ++i) out += (i == 0 ? "" : ", ") + items[i];
  if (shown < items.size()) out += fmt::format(" and {} more", items.size() - shown);
  return out;
}

std::string side(bool allowed, const std::vector<std::string>& rules) {
  return (allowed ? "allowed: " : "denied: ") + list(rules);
}

std::string remark(const PolicyChange& change) {
  if (change.condition.empty()) return change.note;
  return change.condition + (change.note.empty() ? "" : "; " + change.note);
}

std::array<uint64_t, 4> count(const PolicyDiff& diff) {
  std::array<uint64_t, 4> out{};
  for (const PolicyChange& change : diff.changes) ++out[static_cast<size_t>(change.kind)];
  return out;
}

std::string totals(const PolicyDiff& diff) {
  const auto counts = count(diff);
  return fmt::format("{} newly allowed, {} newly denied, {} no longer logged, {}\n", counts[0],
                     counts[1], counts[2], count_text(counts[3], "other change", "other changes"));
}

std::string_view state(const Decision& decision) {
  return decision.would_deny ? "would_deny" : to_string(decision.verdict);
}

std::string decided(const Decision& decision, const std::string& by) {
  return fmt::format("{}: {}", state(decision), by);
}

Json decision_json(const Decision& decision, const std::string& by) {
  return {{"verdict", to_string(decision.verdict)},
          {"would_deny", decision.would_deny},
          {"reason", to_string(decision.reason)},
          {"decided_by", by}};
}

}  // namespace

std::string diff_text(const PolicyDiff& diff) {
  std::vector<std::vector<std::string>> rows{
      {"CHANGE", "FLOWS", "PROTOCOL", "BEFORE", "NOW", "REMARK"}};
  for (const PolicyChange& change : diff.changes) {
    if (rows.size() > kMaxRows) break;
    rows.push_back({std::string(to_string(change.kind)),
                    list(change.subjects) + " -> " + change.destination, change.protocol,
                    side(change.was_allowed, change.old_rules),
                    side(change.is_allowed, change.new_rules), remark(change)});
  }
  std::string out;
  if (rows.size() > 1) out = align(rows, std::vector<bool>(rows[0].size(), false)) + "\n";
  const uint64_t more = diff.left_out + diff.changes.size() + 1 - rows.size();
  if (more != 0) out += count_text(more, "more change", "more changes") + " not listed\n";
  if (!diff.complete) {
    out += "too complex to compare in full: there may be changes that are not listed\n";
  }
  return out + (diff.changes.empty() && diff.complete ? "no change\n" : totals(diff));
}

Json diff_json(const PolicyDiff& diff, int64_t now) {
  Json changes = Json::array();
  for (const PolicyChange& change : diff.changes) {
    changes.push_back({{"change", kKeys[static_cast<size_t>(change.kind)]},
                       {"subjects", change.subjects},
                       {"destination", change.destination},
                       {"protocol", change.protocol},
                       {"condition", change.condition},
                       {"was", change.was_allowed ? "allow" : "deny"},
                       {"old_rules", change.old_rules},
                       {"is", change.is_allowed ? "allow" : "deny"},
                       {"new_rules", change.new_rules},
                       {"note", change.note},
                       {"example", to_text(change.example, now)}});
  }
  Json out;
  const auto counts = count(diff);
  for (size_t i = 0; i < counts.size(); ++i) out[kKeys[i]] = counts[i];
  out["complete"] = diff.complete;
  out["left_out"] = diff.left_out;
  out["changes"] = std::move(changes);
  return out;
}

std::string flow_changes_text(const FlowChanges& changes, int64_t now, bool all) {
  std::vector<std::vector<std::string>> rows{{"LINE", "FLOW", "BEFORE", "NOW"}};
  for (const FlowChange& change : changes.flows) {
    if (!all && rows.size() > kMaxFlowRows) break;
    rows.push_back({std::to_string(change.line), to_text(change.flow, now),
                    decided(change.before, change.old_rule),
                    decided(change.after, change.new_rule)});
  }
  std::string out;
  if (rows.size() > 1) out = align(rows, {true, false, false, false}) + "\n";
  const uint64_t more = changes.changed + 1 - rows.size();
  if (more != 0) out += count_text(more, "more flow", "more flows") + " not listed\n";
  return out + fmt::format("{} of {} would change: {} newly allowed, {} newly denied\n",
                           changes.changed,
                           count_text(changes.read, "recorded flow", "recorded flows"),
                           changes.newly_allowed, changes.newly_denied);
}

Json flow_changes_json(const FlowChanges& changes, int64_t now) {
  Json flows = Json::array();
  for (const FlowChange& change : changes.flows) {
    flows.push_back({{"line", change.line},
                     {"flow", to_text(change.flow, now)},
                     {"before", decision_json(change.before, change.old_rule)},
                     {"after", decision_json(change.after, change.new_rule)}});
  }
  return {{"read", changes.read},
          {"changed", changes.changed},
          {"newly_allowed", changes.newly_allowed},
          {"newly_denied", changes.newly_denied},
          {"unreadable", changes.unreadable},
          {"unreadable_lines", changes.whys},
          {"flows", std::move(flows)}};
}

}  // namespace sallyport
