#include "control/agent/segment_metrics.h"

#include <prometheus/check_names.h>

#include <array>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "control/agent/metric_family.h"

namespace sallyport {
namespace {

using prometheus::MetricFamily;
using prometheus::MetricType;

std::optional<MetricType> type_of(StatsKind kind) {
  switch (kind) {
    case StatsKind::counter:
      return MetricType::Counter;
    case StatsKind::gauge:
      return MetricType::Gauge;
  }
  return std::nullopt;  // Of a newer data plane, or damaged.
}

/// How a histogram is shown: its bounds in the family's base unit, and how many of the segment's
/// values make one of that.
struct HistogramScale {
  double per_unit;
  std::span<const double> bounds;
};

constexpr std::array kSecondBounds{1e-7, 2e-7, 5e-7, 1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5,
                                   1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2,
                                   0.1,  0.2,  0.5,  1.0,  2.0,  5.0,  10.0};
constexpr std::array kPacketBounds{1.0, 2.0, 4.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0};
constexpr HistogramScale kSeconds{.per_unit = 1e9, .bounds = kSecondBounds};
constexpr HistogramScale kPackets{.per_unit = 1, .bounds = kPacketBounds};

/// @return null for a unit of a newer data plane, or a damaged one.
const HistogramScale* scale_of(StatsUnit unit) {
  switch (unit) {
    case StatsUnit::nanoseconds:
      return &kSeconds;
    case StatsUnit::packets:
      return &kPackets;
  }
  return nullptr;
}

/// The serializer writes help as it is; the reader takes a backslash for an escape.
std::string escaped_help(std::string_view text) {
  std::string out;
  for (const char byte : text) {
    if (byte == '\\') out += '\\';
    out += byte;
  }
  return out;
}

/// "reason=malformed,port=inside" as labels; nullopt when one is no label of Prometheus.
std::optional<MetricLabels> labels_of(std::string_view text) {
  MetricLabels labels;
  while (!text.empty()) {
    const std::string_view pair = text.substr(0, text.find(','));
    text.remove_prefix(pair.size() < text.size() ? pair.size() + 1 : text.size());
    const size_t equals = pair.find('=');
    if (equals == std::string_view::npos) return std::nullopt;
    std::string name(pair.substr(0, equals));
    if (name == "core" || !prometheus::CheckLabelName(name)) return std::nullopt;
    labels.push_back({.name = std::move(name), .value = std::string(pair.substr(equals + 1))});
  }
  return labels;
}

/// Families in the order in which the segment names them first, each once: a family's lines must
/// stand together, and no series may come twice.
class Families {
 public:
  /// @return the family, or nullptr when these labels cannot join it.
  MetricFamily* find(const std::string& name, const std::string& labels, const std::string& help,
                     MetricType type) {
    if (!prometheus::CheckMetricName(name)) return nullptr;
    if (!seen_.insert(name + "{" + labels + "}").second) return nullptr;
    const auto [at, fresh] = places_.try_emplace(name, list_.size());
    if (fresh) {
      list_.push_back({.name = name, .help = escaped_help(help), .type = type, .metric = {}});
    }
    MetricFamily& family = list_[at->second];
    return family.type == type ? &family : nullptr;
  }
  std::vector<MetricFamily> take() { return std::move(list_); }

 private:
  std::vector<MetricFamily> list_;
  std::map<std::string, size_t> places_;
  std::set<std::string> seen_;
};

prometheus::ClientMetric metric_of(const StatsCoreValues& core) {
  prometheus::ClientMetric metric;
  metric.label.push_back({.name = "core", .value = std::to_string(core.core)});
  return metric;
}

void add_counter(const StatsSnapshot& snapshot, size_t index, Families& families) {
  const StatsCounter& counter = snapshot.counters[index];
  const auto type = type_of(counter.kind);
  const auto labels = labels_of(counter.labels);
  if (!type || !labels) return;
  MetricFamily* family = families.find(counter.family, counter.labels, counter.help, *type);
  if (family == nullptr) return;
  for (const StatsCoreValues& core : snapshot.cores) {
    prometheus::ClientMetric metric = metric_of(core);
    metric.label.insert(metric.label.end(), labels->begin(), labels->end());
    const auto value = static_cast<double>(core.values[index]);
    (type == MetricType::Gauge ? metric.gauge.value : metric.counter.value) = value;
    family->metric.push_back(std::move(metric));
  }
}

/// The thousand buckets of the segment, gathered under the bounds of the exposition. A bucket
/// counts as its middle does, so a value within 1.6 % of a bound may stand on its other side.
prometheus::ClientMetric::Histogram gathered(const StatsHistogramValues& values,
                                             const HistogramScale& scale) {
  prometheus::ClientMetric::Histogram out;
  out.sample_sum = static_cast<double>(values.sum) / scale.per_unit;
  size_t bucket = 0;
  for (const double bound : scale.bounds) {
    for (; bucket < values.counts.size(); ++bucket) {
      const auto least = static_cast<double>(bucket_floor(bucket));
      const auto most = static_cast<double>(bucket_floor(bucket + 1)) - 1;
      if ((least + most) / 2 > bound * scale.per_unit) break;
      out.sample_count += values.counts[bucket];
    }
    out.bucket.push_back({.cumulative_count = out.sample_count, .upper_bound = bound});
  }
  for (; bucket < values.counts.size(); ++bucket) out.sample_count += values.counts[bucket];
  return out;
}

void add_histogram(const StatsSnapshot& snapshot, size_t index, Families& families) {
  const StatsHistogram& histogram = snapshot.histograms[index];
  const HistogramScale* scale = scale_of(histogram.unit);
  if (scale == nullptr) return;
  MetricFamily* family = families.find(histogram.family, "", histogram.help, MetricType::Histogram);
  if (family == nullptr) return;
  for (const StatsCoreValues& core : snapshot.cores) {
    prometheus::ClientMetric metric = metric_of(core);
    metric.histogram = gathered(core.histograms[index], *scale);
    family->metric.push_back(std::move(metric));
  }
}

}  // namespace

std::vector<MetricFamily> segment_families(const StatsSnapshot& snapshot, bool running) {
  Families families;
  for (size_t i = 0; i < snapshot.counters.size(); ++i) {
    if (snapshot.counters[i].kind == StatsKind::gauge && !running) continue;
    add_counter(snapshot, i, families);
  }
  for (size_t i = 0; i < snapshot.histograms.size(); ++i) add_histogram(snapshot, i, families);
  return families.take();
}

}  // namespace sallyport
