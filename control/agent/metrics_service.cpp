#include "control/agent/metrics_service.h"

#include <prometheus/text_serializer.h>

#include <chrono>
#include <string>
#include <utility>

#include "control/common/system.h"

namespace sallyport {
namespace {

HttpAnswer verdict(const std::vector<std::string>& reasons) {
  HttpAnswer out{.status = reasons.empty() ? 200 : 503,
                 .content_type = "text/plain; charset=utf-8",
                 .body = reasons.empty() ? "ok\n" : ""};
  for (const std::string& reason : reasons) out.body += reason + "\n";
  return out;
}

LossWatch::Loss lost_lately(LossWatch& watch, const SegmentResult& segment) {
  return segment ? watch.look(*segment, std::chrono::steady_clock::now()) : LossWatch::Loss{};
}

}  // namespace

MetricsService::MetricsService(MetricsPaths paths, const AgentBoard& board)
    : paths_(std::move(paths)), board_(board), budgets_(paths_.budgets) {}

std::vector<prometheus::MetricFamily> MetricsService::Collect() const {
  const SegmentResult segment = read_stats(paths_.stats);
  const uint64_t now = unix_now_ns();
  return gateway_families(
      {.segment = segment,
       .budgets = budgets_.read(now / 1'000'000'000),
       .agent = board_.read().facts,
       .ready = unreadiness(segment, lost_lately(losses_, segment), now).empty(),
       .now_unix_ns = now});
}

HttpAnswer MetricsService::metrics() const {
  return {.status = 200,
          .content_type = "text/plain; version=0.0.4; charset=utf-8",
          .body = prometheus::TextSerializer().Serialize(Collect())};
}

HttpAnswer MetricsService::healthz() const {
  return verdict(illness(board_.read(), std::chrono::steady_clock::now()));
}

HttpAnswer MetricsService::readyz() const {
  const SegmentResult segment = read_stats(paths_.stats);
  return verdict(unreadiness(segment, lost_lately(losses_, segment), unix_now_ns()));
}

HttpServer::Pages MetricsService::pages() const {
  return {{"/metrics", [this] { return metrics(); }},
          {"/healthz", [this] { return healthz(); }},
          {"/readyz", [this] { return readyz(); }}};
}

}  // namespace sallyport
