#pragma once

#include <prometheus/collectable.h>

#include <filesystem>
#include <vector>

#include "control/agent/agent_facts.h"
#include "control/agent/budget_metrics.h"
#include "control/agent/gateway_metrics.h"
#include "control/agent/health.h"
#include "control/agent/http_server.h"

namespace sallyport {

struct MetricsPaths {
  std::filesystem::path stats = "/run/sallyport/stats";
  std::filesystem::path budgets = "/var/lib/sallyport/budgets.state";
};

/// What the agent serves over HTTP: /metrics, /healthz and /readyz. Reads the stats segment anew
/// each time, so that a data plane may come and go. Use from one thread, the server's.
class MetricsService : public prometheus::Collectable {
 public:
  /// `board` outlives it.
  MetricsService(MetricsPaths paths, const AgentBoard& board);

  std::vector<prometheus::MetricFamily> Collect() const override;
  HttpAnswer metrics() const;
  /// 503 when the agent is to be restarted. It cannot bring a data plane back: that is readyz().
  HttpAnswer healthz() const;
  /// 503 when the gateway does not do all that it should, with a reason a line.
  HttpAnswer readyz() const;
  HttpServer::Pages pages() const;

 private:
  MetricsPaths paths_;
  const AgentBoard& board_;
  mutable LossWatch losses_;
  mutable BudgetFile budgets_;
};

}  // namespace sallyport
