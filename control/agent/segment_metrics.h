#pragma once

#include <prometheus/metric_family.h>

#include <vector>

#include "control/common/stats_reader.h"

namespace sallyport {

/// What the stats segment says of itself as Prometheus families: names, labels, help and kind stand
/// there, so nothing is listed here. Each sample has the label `core` besides. What cannot be a
/// name of Prometheus is left out: a damaged segment must not cost the whole scrape.
///
/// @param running  false: only what counts up, which is still true. A gauge of a data plane that is
///                 gone would say that its flows are still there.
std::vector<prometheus::MetricFamily> segment_families(const StatsSnapshot& snapshot, bool running);

}  // namespace sallyport
