#pragma once

#include <prometheus/metric_family.h>

#include <cstdint>
#include <vector>

#include "control/agent/agent_facts.h"
#include "control/agent/budget_metrics.h"
#include "control/agent/health.h"

namespace sallyport {

/// All that one scrape goes by.
struct MetricsInput {
  const SegmentResult& segment;
  const BudgetFile::Reading& budgets;
  AgentFacts agent;
  bool ready = false;
  uint64_t now_unix_ns = 0;
};

/// What /metrics serves: what the agent knows, then all that the segment names. No label ever has a
/// host name, an address or anything else that a packet could choose.
std::vector<prometheus::MetricFamily> gateway_families(const MetricsInput& input);

}  // namespace sallyport
