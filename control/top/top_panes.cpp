#include "control/top/top_panes.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <map>

#include "control/top/top_text.h"

namespace sallyport {
namespace {

constexpr size_t kNameWidth = 22;
constexpr size_t kTotalWidth = 8;
constexpr size_t kShortNameWidth = 10;

/// Before there are two samples there are no rates, which is not the same as 0.
std::string rate(const TopModel& model, double per_second) {
  return rate_text(model.seconds > 0 ? per_second : std::numeric_limits<double>::quiet_NaN());
}

PaneLine heading(std::string text) {
  return {.text = std::move(text), .emphasis = Emphasis::title};
}

PaneLine counter_line(const TopModel& model, const NamedCounter& counter) {
  return {.text = fmt::format("{} {} {}", fitted(counter.name, kNameWidth),
                              rate(model, counter.value.per_second),
                              total_text(counter.value.total, kTotalWidth)),
          .emphasis = counter.value.total == 0 ? Emphasis::quiet : Emphasis::none};
}

Pane counters_pane(const TopModel& model, std::string_view title,
                   const std::vector<NamedCounter>& counters) {
  Pane pane{heading(fmt::format("{} {:<6} {:>8}", fitted(title, kNameWidth), "    /s", "TOTAL"))};
  for (const NamedCounter& counter : counters) pane.push_back(counter_line(model, counter));
  if (counters.empty()) {
    pane.push_back({.text = "none since the start", .emphasis = Emphasis::quiet});
  }
  return pane;
}

/// "fault tls_bad_record", "held_packets", "flows pending": family and labels, without what all
/// have in common.
std::string short_name(const StatsCounter& counter) {
  static const std::map<std::string, std::string> kShorter{{"inspection_faults", "fault"},
                                                           {"exceptions", "exception"},
                                                           {"exception_fails_open", "fails open:"},
                                                           {"missed_packets", "missed"}};
  constexpr std::string_view kPrefix = "sallyport_";
  constexpr std::string_view kSuffix = "_total";
  std::string name = counter.family;
  if (name.starts_with(kPrefix)) name.erase(0, kPrefix.size());
  if (name.ends_with(kSuffix)) name.erase(name.size() - kSuffix.size());
  if (const auto found = kShorter.find(name); found != kShorter.end()) name = found->second;
  size_t start = 0;
  while (start < counter.labels.size()) {
    const size_t end = std::min(counter.labels.find(',', start), counter.labels.size());
    const size_t equals = counter.labels.find('=', start);
    if (equals < end) name += ' ' + counter.labels.substr(equals + 1, end - equals - 1);
    start = end + 1;
  }
  return name;
}

/// A label and the value that is asked for.
using Wanted = std::pair<const char*, std::string_view>;

/// What `family` has for these labels, over all others.
TopCounter sum_of(const TopModel& model, const TopCore& core, std::string_view family,
                  std::initializer_list<Wanted> labels) {
  TopCounter sum;
  for (size_t i = 0; i < model.counters.size(); ++i) {
    const StatsCounter& info = model.counters[i];
    const auto differs = [&](const Wanted& one) {
      return label_of(info, family, one.first) != one.second;
    };
    if (std::ranges::any_of(labels, differs)) continue;
    sum.total += core.counters[i].total;
    sum.per_second += core.counters[i].per_second;
  }
  return sum;
}

/// The values that a label of `family` has, in the segment's order.
std::vector<std::string> values_of(const TopModel& model, std::string_view family,
                                   const char* key) {
  std::vector<std::string> out;
  for (const StatsCounter& info : model.counters) {
    const std::string value = label_of(info, family, key);
    if (!value.empty() && std::ranges::find(out, value) == out.end()) out.push_back(value);
  }
  return out;
}

bool stands_elsewhere(const std::string& family) {
  return family == "sallyport_packets_total" || family == "sallyport_bytes_total" ||
         family == "sallyport_drops_total" || family == "sallyport_verdicts_total" ||
         family == "sallyport_polls_total";
}

std::string histogram_name(const std::string& family) {
  static const std::map<std::string, std::string> kNames{
      {"sallyport_packet_latency_seconds", "latency"},
      {"sallyport_hold_seconds", "hold"},
      {"sallyport_time_to_verdict_seconds", "to verdict"},
      {"sallyport_scan_seconds", "scan"},
      {"sallyport_burst_packets", "burst pkts"}};
  const auto found = kNames.find(family);
  return found == kNames.end() ? family : found->second;
}

}  // namespace

Pane drops_pane(const TopModel& model, const TopCore& core, bool all) {
  std::vector<NamedCounter> drops = drops_by_reason(model, core);
  if (!all) std::erase_if(drops, [](const NamedCounter& drop) { return drop.value.total == 0; });
  std::ranges::stable_sort(drops, [](const NamedCounter& a, const NamedCounter& b) {
    if (a.value.per_second != b.value.per_second) return a.value.per_second > b.value.per_second;
    return a.value.total > b.value.total;
  });
  return counters_pane(model, "DROPS BY REASON", drops);
}

// What audit let pass was not denied: it stands apart, where there is any.
Pane verdicts_pane(const TopModel& model, const TopCore& core) {
  constexpr Wanted kEnforced{"mode", "enforce"};
  constexpr size_t kAuditedWidth = kShortNameWidth + 2 * (kFigureWidth + 1);
  constexpr const char* kFamily = "sallyport_verdicts_total";
  Pane pane{heading(fmt::format("{}{:>7} {:>6} {:>6} {:>6}", fitted("VERDICTS", kShortNameWidth),
                                "ALLOW/s", "TOTAL", "DENY/s", "TOTAL"))};
  for (const std::string& protocol : values_of(model, kFamily, "protocol")) {
    const TopCounter allowed =
        sum_of(model, core, kFamily, {{"protocol", protocol}, {"action", "allow"}});
    const TopCounter denied =
        sum_of(model, core, kFamily, {{"protocol", protocol}, {"action", "deny"}, kEnforced});
    pane.push_back(
        {.text =
             fmt::format("{} {} {} {} {}", fitted(protocol, kShortNameWidth),
                         rate(model, allowed.per_second), total_text(allowed.total, kFigureWidth),
                         rate(model, denied.per_second), total_text(denied.total, kFigureWidth)),
         .emphasis = allowed.total + denied.total == 0 ? Emphasis::quiet : Emphasis::none});
  }
  const TopCounter audited = sum_of(model, core, kFamily, {{"action", "deny"}, {"mode", "audit"}});
  if (audited.total != 0) {
    pane.push_back({.text = fmt::format("{} {} {}", fitted("passed by audit alone", kAuditedWidth),
                                        rate(model, audited.per_second),
                                        total_text(audited.total, kFigureWidth))});
  }
  return pane;
}

Pane ports_pane(const TopModel& model, const TopCore& core) {
  constexpr const char* kPackets = "sallyport_packets_total";
  constexpr const char* kBytes = "sallyport_bytes_total";
  Pane pane{heading(fmt::format("{} {:>6} {:>6} {:>6} {:>6}", fitted("PORTS", kShortNameWidth),
                                "RX P/s", "RX b/s", "TX P/s", "TX b/s"))};
  for (const std::string& port : values_of(model, kPackets, "port")) {
    const auto of = [&](const char* family, std::string_view direction) {
      return sum_of(model, core, family, {{"port", port}, {"direction", direction}}).per_second;
    };
    pane.push_back(
        {.text = fmt::format("{} {} {} {} {}", fitted(port, kShortNameWidth),
                             rate(model, of(kPackets, "rx")), rate(model, of(kBytes, "rx") * 8),
                             rate(model, of(kPackets, "tx")), rate(model, of(kBytes, "tx") * 8))});
  }
  return pane;
}

Pane quantiles_pane(const TopModel& model, const TopCore& core) {
  Pane pane{heading(fmt::format("{} {:>6} {:>6} {:>6} {:>6}", fitted("QUANTILES", kShortNameWidth),
                                "p50", "p90", "p99", "p99.9"))};
  for (size_t i = 0; i < model.histograms.size(); ++i) {
    const TopQuantiles& of = core.histograms[i];
    const StatsUnit unit = model.histograms[i].unit;
    pane.push_back(
        {.text = fmt::format("{} {} {} {} {}",
                             fitted(histogram_name(model.histograms[i].family), kShortNameWidth),
                             quantile_text(of, of.p50, unit), quantile_text(of, of.p90, unit),
                             quantile_text(of, of.p99, unit), quantile_text(of, of.p999, unit)),
         .emphasis = of.count == 0 ? Emphasis::quiet : Emphasis::none});
  }
  return pane;
}

Pane gauges_pane(const TopModel& model, const TopCore& core) {
  constexpr size_t kLongNameWidth = 29;
  Pane pane{heading(fmt::format("{} {:>8}", fitted("GAUGES", kLongNameWidth), "NOW"))};
  for (size_t i = 0; i < model.counters.size(); ++i) {
    const StatsCounter& info = model.counters[i];
    const uint64_t value = core.counters[i].total;
    if (info.kind != StatsKind::gauge) continue;
    // A switch for each exception: those that are off are not worth a line.
    if (info.family == "sallyport_exception_fails_open" && value == 0) continue;
    pane.push_back({.text = fmt::format("{} {}", fitted(short_name(info), kLongNameWidth),
                                        total_text(value, kTotalWidth)),
                    .emphasis = value == 0 ? Emphasis::quiet : Emphasis::none});
  }
  return pane;
}

Pane others_pane(const TopModel& model, const TopCore& core) {
  std::vector<NamedCounter> others;
  for (size_t i = 0; i < model.counters.size(); ++i) {
    const StatsCounter& info = model.counters[i];
    if (info.kind == StatsKind::gauge || stands_elsewhere(info.family)) continue;
    if (core.counters[i].total == 0) continue;
    others.push_back({.name = short_name(info), .value = core.counters[i]});
  }
  return counters_pane(model, "OTHER COUNTS", others);
}

}  // namespace sallyport
