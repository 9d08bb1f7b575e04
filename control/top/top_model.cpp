#include "control/top/top_model.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <set>

#include "control/common/number_text.h"
#include "control/top/top_rules.h"

namespace sallyport {
namespace {

constexpr uint64_t kTellOfRestartNs = 15'000'000'000;

/// Two readings of one number. Counters only grow; if one did not, nothing is said of it.
uint64_t growth(uint64_t before, uint64_t after) {
  return after > before ? after - before : 0;
}

void add(TopCounter& to, const TopCounter& one) {
  to.total += one.total;
  to.per_second += one.per_second;
}

bool has_label(const StatsCounter& counter, const char* key, std::string_view value) {
  return label_value(counter.labels, key) == value;
}

TopQuantiles quantiles(const StatsHistogramValues& difference) {
  TopQuantiles out;
  for (const uint64_t count : difference.counts) out.count += count;
  if (out.count == 0) return out;
  out.mean = static_cast<double>(difference.sum) / static_cast<double>(out.count);
  out.p50 = histogram_quantile(difference.counts, 0.5);
  out.p90 = histogram_quantile(difference.counts, 0.9);
  out.p99 = histogram_quantile(difference.counts, 0.99);
  out.p999 = histogram_quantile(difference.counts, 0.999);
  return out;
}

/// What came to `after` since `before`; none came without it.
StatsHistogramValues difference(const StatsHistogramValues* before,
                                const StatsHistogramValues& after) {
  StatsHistogramValues out;
  out.counts.resize(after.counts.size());
  if (before == nullptr) return out;
  out.sum = growth(before->sum, after.sum);
  for (size_t i = 0; i < out.counts.size(); ++i) {
    out.counts[i] = growth(before->counts[i], after.counts[i]);
  }
  return out;
}

void merge(StatsHistogramValues& to, const StatsHistogramValues& one) {
  to.counts.resize(one.counts.size());
  to.sum += one.sum;
  for (size_t i = 0; i < one.counts.size(); ++i) to.counts[i] += one.counts[i];
}

/// The figures that have a column of their own, from those that the segment names.
void sum_up(const TopModel& model, TopCore& core) {
  double busy = 0;
  double polls = 0;
  for (size_t i = 0; i < model.counters.size(); ++i) {
    const StatsCounter& info = model.counters[i];
    const TopCounter& value = core.counters[i];
    const bool received = has_label(info, "direction", "rx");
    if (info.family == "sallyport_packets_total" && received) add(core.packets, value);
    if (info.family == "sallyport_bytes_total" && received) add(core.bytes, value);
    if (info.family == "sallyport_drops_total") add(core.drops, value);
    if (info.family == "sallyport_verdicts_total") add(core.verdicts, value);
    if (info.family == "sallyport_held_packets") core.held_packets += value.total;
    if (info.family == "sallyport_flows" && has_label(info, "state", "pending")) {
      core.pending_flows += value.total;
    }
    if (info.family == "sallyport_polls_total") {
      polls += value.per_second;
      if (has_label(info, "result", "busy")) busy += value.per_second;
    }
  }
  if (polls > 0) core.busy_ratio = busy / polls;
  for (size_t i = 0; i < model.histograms.size(); ++i) {
    const std::string& family = model.histograms[i].family;
    if (family == "sallyport_packet_latency_seconds") core.latency = core.histograms[i];
    if (family == "sallyport_time_to_verdict_seconds") core.time_to_verdict = core.histograms[i];
  }
}

/// Cores, and their total, from the two snapshots. `before` is of the same segment, or null.
void add_cores(TopModel& model, const StatsSnapshot* before, const StatsSnapshot& after) {
  std::vector<StatsHistogramValues> all(model.histograms.size());
  model.total.all = true;
  model.total.counters.resize(model.counters.size());
  for (size_t c = 0; c < after.cores.size(); ++c) {
    const StatsCoreValues& now = after.cores[c];
    const StatsCoreValues* then = before == nullptr ? nullptr : &before->cores[c];
    TopCore& core = model.cores.emplace_back();
    core.core = now.core;
    core.heartbeat_age_ns = heartbeat_age_ns(now, model.taken_unix_ns);
    core.stalled = core.heartbeat_age_ns > kStalledAfterNs;
    core.revision = now.revision;
    core.generation = now.generation;
    for (size_t i = 0; i < model.counters.size(); ++i) {
      TopCounter value{.total = now.values[i], .per_second = 0};
      if (then != nullptr && model.counters[i].kind == StatsKind::counter) {
        value.per_second =
            static_cast<double>(growth(then->values[i], now.values[i])) / model.seconds;
      }
      core.counters.push_back(value);
      add(model.total.counters[i], value);
    }
    for (size_t i = 0; i < model.histograms.size(); ++i) {
      const auto since =
          difference(then == nullptr ? nullptr : &then->histograms[i], now.histograms[i]);
      core.histograms.push_back(quantiles(since));
      merge(all[i], since);
    }
    sum_up(model, core);
  }
  for (const StatsHistogramValues& one : all) model.total.histograms.push_back(quantiles(one));
  sum_up(model, model.total);
}

TopState state_of(const StatsSnapshot& snapshot, const TopModel& model) {
  if (snapshot.ended) return TopState::stopped;
  const bool turns =
      std::ranges::any_of(model.cores, [](const auto& core) { return !core.stalled; });
  return turns ? TopState::running : TopState::gone;
}

double rate_of(const TopModel& model, std::string_view family) {
  double rate = 0;
  for (size_t i = 0; i < model.counters.size(); ++i) {
    if (model.counters[i].family == family) rate += model.total.counters[i].per_second;
  }
  return rate;
}

void add_alarms(TopModel& model) {
  std::vector<std::string>& alarms = model.alarms;
  if (model.state == TopState::stopped) {
    alarms.emplace_back("the data plane has stopped; these are its last counts; waiting");
    return;
  }
  if (model.state == TopState::gone) {
    alarms.push_back(
        model.cores.empty()
            ? "the data plane has no worker cores"
            : fmt::format(
                  "the data plane is gone or stuck: no core turned for {}; waiting",
                  duration_text(std::ranges::min(model.cores, {}, &TopCore::heartbeat_age_ns)
                                    .heartbeat_age_ns)));
    return;
  }
  std::set<uint64_t> revisions;
  for (const TopCore& core : model.cores) {
    revisions.insert(core.revision);
    if (core.stalled) {
      alarms.push_back(fmt::format("core {} is stalled: no heartbeat for {}", core.core,
                                   duration_text(core.heartbeat_age_ns)));
    }
  }
  if (revisions.size() > 1) alarms.emplace_back("the cores run different policies");
  if (revisions == std::set<uint64_t>{0}) {
    alarms.emplace_back("no policy is in force: everything is denied");
  }
  if (const double missed = rate_of(model, "sallyport_missed_packets_total"); missed > 0) {
    alarms.push_back(fmt::format("ports missed {:.0f} packets/s before any core saw them", missed));
  }
  if (const double lost = rate_of(model, "sallyport_events_lost_total"); lost > 0) {
    alarms.push_back(fmt::format("the flow log lost {:.0f} events/s", lost));
  }
}

}  // namespace

std::string_view to_string(TopState state) {
  switch (state) {
    case TopState::missing:
      return "missing";
    case TopState::unreadable:
      return "unreadable";
    case TopState::running:
      return "running";
    case TopState::gone:
      return "gone";
    case TopState::stopped:
      return "stopped";
  }
  return "";
}

TopModel compare(const TopSample* before, const TopSample& after) {
  TopModel model;
  model.taken_unix_ns = after.taken_unix_ns;
  if (!after.snapshot) {
    const bool missing = after.error.fault == StatsFault::missing;
    model.state = missing ? TopState::missing : TopState::unreadable;
    model.problem = after.error.text;
    return model;
  }
  const StatsSnapshot& now = *after.snapshot;
  const bool comparable = before != nullptr && before->snapshot &&
                          before->mapping == after.mapping && before->taken_ns < after.taken_ns;
  const StatsSnapshot* then = comparable ? &*before->snapshot : nullptr;
  if (comparable) model.seconds = static_cast<double>(after.taken_ns - before->taken_ns) / 1e9;
  model.pid = now.pid;
  model.started_unix_ns = now.started_unix_ns;
  model.identity_revision = now.identity_revision;
  model.identity_addresses = now.identity_addresses;
  model.counters = now.counters;
  model.histograms = now.histograms;
  add_cores(model, then, now);
  add_rules(model, then, now);
  model.state = state_of(now, model);
  if (model.state == TopState::running) {
    model.uptime_ns = growth(now.started_unix_ns, after.taken_unix_ns);
  }
  add_alarms(model);
  return model;
}

TopModel TopHistory::add(TopSample next) {
  const bool another = last_ && last_->mapping != 0 && next.mapping > last_->mapping;
  if (another && next.snapshot) {
    restart_ = fmt::format("the data plane was restarted: now pid {}, counting from 0 again",
                           next.snapshot->pid);
    restarted_ns_ = next.taken_ns;
  }
  TopModel model = compare(last_ ? &*last_ : nullptr, next);
  if (!restart_.empty() && next.taken_ns - restarted_ns_ < kTellOfRestartNs && next.snapshot) {
    model.alarms.push_back(restart_);
  }
  last_ = std::move(next);
  return model;
}

std::string label_of(const StatsCounter& counter, std::string_view family, const char* key) {
  return counter.family == family ? label_value(counter.labels, key) : "";
}

std::vector<NamedCounter> drops_by_reason(const TopModel& model, const TopCore& core) {
  std::vector<NamedCounter> out;
  for (size_t i = 0; i < model.counters.size(); ++i) {
    const std::string reason = label_of(model.counters[i], "sallyport_drops_total", "reason");
    if (reason.empty()) continue;
    if (out.empty() || out.back().name != reason) out.push_back({.name = reason, .value = {}});
    add(out.back().value, core.counters[i]);
  }
  return out;
}

}  // namespace sallyport
