#include "control/cli/flow_changes.h"

namespace sallyport {
namespace {

std::string decider(const PolicyTable& table, const Decision& decision) {
  if (decision.rule == kNoRule) return std::string(to_string(decision.reason));
  const RuleInfo rule = table.rule(decision.rule);
  return std::string(rule.policy) + "/" + std::string(rule.name);
}

void note(FlowChange change, FlowChanges& out) {
  ++out.changed;
  const Verdict before = change.before.verdict;
  const Verdict after = change.after.verdict;
  if (after == Verdict::allow && before != Verdict::allow) ++out.newly_allowed;
  if (after == Verdict::deny && before != Verdict::deny) ++out.newly_denied;
  if (out.flows.size() < kMaxFlowChanges) out.flows.push_back(std::move(change));
}

}  // namespace

std::expected<FlowChanges, std::string> compare_flows(std::istream& records,
                                                      const PolicyTable& before,
                                                      const PolicyTable& after, int64_t now) {
  FlowChanges out;
  uint64_t line = 0;
  for (std::string text; std::getline(records, text);) {
    ++line;
    if (text.find_first_not_of(" \t\r") == std::string::npos) continue;
    auto flow = parse_flow_record(text, now);
    if (!flow) {
      // A client chooses what it sends: its odd bytes must not keep the others' flows from view.
      const std::string why = "line " + std::to_string(line) + ": " + flow.error();
      if (++out.unreadable <= kMaxUnreadableShown) out.whys.push_back(why);
      continue;
    }
    ++out.read;
    const FlowFacts facts = flow->facts();
    const Decision was = decide(before, facts, 0);
    const Decision is = decide(after, facts, 0);
    if (was.verdict == is.verdict && was.would_deny == is.would_deny) continue;
    note({line, std::move(*flow), was, is, decider(before, was), decider(after, is)}, out);
  }
  if (records.bad()) return std::unexpected("cannot be read");
  if (out.read == 0 && out.unreadable != 0) return std::unexpected(out.whys.front());
  return out;
}

}  // namespace sallyport
