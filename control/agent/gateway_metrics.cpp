#include "control/agent/gateway_metrics.h"

#include <algorithm>
#include <string>

#include "control/agent/metric_family.h"
#include "control/agent/segment_metrics.h"
#include "policy/runtime/image.h"

namespace sallyport {
namespace {

using Families = std::vector<prometheus::MetricFamily>;

double seconds(uint64_t nanoseconds) {
  return static_cast<double>(nanoseconds) / 1e9;
}

void add_state(const MetricsInput& input, bool running, Families& out) {
  prometheus::MetricFamily build = gauge_family(
      "sallyport_build_info", "Always 1: the agent's version and that of the segment it reads.");
  add_gauge(build,
            {{"stats_version", std::to_string(kStatsVersion)}, {"version", SALLYPORT_VERSION}}, 1);
  out.push_back(std::move(build));
  out.push_back(single_gauge("sallyport_up", "1 while the data plane runs.", running ? 1 : 0));
  out.push_back(single_gauge("sallyport_ready", "1 while /readyz says so.", input.ready ? 1 : 0));
  prometheus::MetricFamily collected =
      gauge_family("sallyport_collector_success", "1 when this source of metrics could be read.");
  add_gauge(collected, {{"collector", "stats"}}, input.segment ? 1 : 0);
  add_gauge(collected, {{"collector", "budgets"}}, input.budgets.good ? 1 : 0);
  out.push_back(std::move(collected));
}

void add_agent(const AgentFacts& agent, Families& out) {
  out.push_back(single_gauge("sallyport_agent_dataplane_connected",
                             "1 while the agent can push to the data plane.",
                             agent.dataplane_connected ? 1 : 0));
  if (agent.revision != 0) {
    prometheus::MetricFamily policy =
        gauge_family("sallyport_agent_policy_info",
                     "The number of rules of the policy that the agent holds to be in force.");
    add_gauge(policy, {{"revision", revision_text(agent.revision)}, {"source", agent.source}},
              agent.rules);
    out.push_back(std::move(policy));
  }
  if (!agent.last_push_result.empty()) {
    prometheus::MetricFamily push = gauge_family("sallyport_agent_last_push_timestamp_seconds",
                                                 "When a policy was last pushed, in Unix time.");
    add_gauge(push, {{"result", agent.last_push_result}},
              static_cast<double>(agent.last_push_unix_seconds));
    out.push_back(std::move(push));
  }
}

/// What the segment has beside its counters.
void add_segment_state(const StatsSnapshot& snapshot, bool running, uint64_t now, Families& out) {
  out.push_back(single_gauge("sallyport_dataplane_start_time_seconds",
                             "When the data plane started, in Unix time.",
                             seconds(snapshot.started_unix_ns)));
  auto age = gauge_family("sallyport_core_heartbeat_age_seconds",
                          "Time since the core last said that it turns; stalled when over 1.");
  auto revision = gauge_family("sallyport_policy_revision",
                               "The policy in force, as a number; 0 for none. The same on each "
                               "core, or something is wrong.");
  auto generation = gauge_family("sallyport_policy_generation",
                                 "Policies and identity feeds put in force since the start.");
  for (const StatsCoreValues& core : snapshot.cores) {
    const MetricLabels labels{{"core", std::to_string(core.core)}};
    add_gauge(age, labels, seconds(heartbeat_age_ns(core, now)));
    add_gauge(revision, labels, static_cast<double>(core.revision));
    add_gauge(generation, labels, static_cast<double>(core.generation));
  }
  out.push_back(std::move(age));
  out.push_back(single_gauge("sallyport_log_writer_heartbeat_age_seconds",
                             "How long ago the flow log's writer last turned.",
                             seconds(log_writer_age_ns(snapshot, now))));
  if (!running) return;
  out.push_back(std::move(revision));
  out.push_back(std::move(generation));
  out.push_back(single_gauge("sallyport_identity_revision",
                             "The identity feed in force, as a number; 0 for none.",
                             static_cast<double>(snapshot.identity_revision)));
  out.push_back(single_gauge("sallyport_identity_addresses", "Addresses of that feed.",
                             static_cast<double>(snapshot.identity_addresses)));
}

void add_budgets(const std::vector<BudgetSummary>& budgets, Families& out) {
  if (budgets.empty()) return;
  auto ratio = gauge_family("sallyport_budget_used_ratio",
                            "Share that is used up in this window, of the source or subject under "
                            "this rule that has least left.");
  auto left = gauge_family("sallyport_budget_left_bytes", "What the same one has left.");
  auto counts = gauge_family("sallyport_budget_counts",
                             "Sources, subjects, or 1 for the rule, that have used any of it.");
  auto spent = gauge_family("sallyport_budget_spent_counts", "Of them, those with nothing left.");
  for (const BudgetSummary& one : budgets) {
    const MetricLabels labels{
        {"policy", one.policy}, {"rule", one.rule}, {"scope", std::string(to_string(one.scope))}};
    add_gauge(ratio, labels, one.used_ratio);
    add_gauge(left, labels, static_cast<double>(one.left_bytes));
    add_gauge(counts, labels, static_cast<double>(one.counts));
    add_gauge(spent, labels, static_cast<double>(one.spent));
  }
  for (auto* family : {&ratio, &left, &counts, &spent}) out.push_back(std::move(*family));
}

}  // namespace

std::vector<prometheus::MetricFamily> gateway_families(const MetricsInput& input) {
  const bool running = dataplane_runs(input.segment, input.now_unix_ns);
  Families out;
  add_state(input, running, out);
  add_agent(input.agent, out);
  add_budgets(input.budgets.budgets, out);
  if (!input.segment) return out;
  add_segment_state(*input.segment, running, input.now_unix_ns, out);
  Families counted = segment_families(*input.segment, running);
  for (auto& family : counted) {
    // What the agent says comes first: a segment cannot speak in its name.
    const bool taken = std::any_of(out.begin(), out.end(),
                                   [&](const auto& own) { return own.name == family.name; });
    if (!taken) out.push_back(std::move(family));
  }
  return out;
}

}  // namespace sallyport
