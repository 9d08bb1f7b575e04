#pragma once

#include <prometheus/metric_family.h>

#include <string>
#include <utility>
#include <vector>

namespace sallyport {

using MetricLabels = std::vector<prometheus::ClientMetric::Label>;

inline prometheus::MetricFamily gauge_family(std::string name, std::string help) {
  return {.name = std::move(name),
          .help = std::move(help),
          .type = prometheus::MetricType::Gauge,
          .metric = {}};
}

inline void add_gauge(prometheus::MetricFamily& family, MetricLabels labels, double value) {
  prometheus::ClientMetric metric;
  metric.label = std::move(labels);
  metric.gauge.value = value;
  family.metric.push_back(std::move(metric));
}

/// A family of one gauge without labels.
inline prometheus::MetricFamily single_gauge(std::string name, std::string help, double value) {
  prometheus::MetricFamily family = gauge_family(std::move(name), std::move(help));
  add_gauge(family, {}, value);
  return family;
}

}  // namespace sallyport
