#include "control/top/top_json.h"

#include <algorithm>

#include "control/common/system.h"
#include "policy/runtime/image.h"

namespace sallyport {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;

Json revision_or_null(uint64_t revision) {
  return revision == 0 ? Json(nullptr) : Json(revision_text(revision));
}

Json quantiles_json(const TopQuantiles& values, StatsUnit unit) {
  const double scale = unit == StatsUnit::nanoseconds ? 1e-9 : 1;
  Json out{{"count", values.count}};
  const auto put = [&](const char* name, double value) {
    out[name] = values.count == 0 ? Json(nullptr) : Json(value * scale);
  };
  put("mean", values.mean);
  put("p50", values.p50);
  put("p90", values.p90);
  put("p99", values.p99);
  put("p999", values.p999);
  return out;
}

Json counter_json(const TopCounter& value) {
  return {{"per_second", value.per_second}, {"total", value.total}};
}

/// {"denied": {per_second, total}, …}: those that occurred.
Json drops_json(const TopModel& model, const TopCore& core) {
  Json out = Json::object();
  for (const NamedCounter& drop : drops_by_reason(model, core)) {
    if (drop.value.total != 0) out[drop.name] = counter_json(drop.value);
  }
  return out;
}

/// {"tls": {"allow": {per_second, total}, "deny": …, "audit": …}, …}
Json verdicts_json(const TopModel& model, const TopCore& core) {
  Json out = Json::object();
  for (size_t i = 0; i < model.counters.size(); ++i) {
    const StatsCounter& info = model.counters[i];
    const auto protocol = label_of(info, "sallyport_verdicts_total", "protocol");
    const auto action = label_of(info, "sallyport_verdicts_total", "action");
    if (protocol.empty() || action.empty()) continue;
    // A denial that audit let pass was none.
    const bool audited = label_of(info, "sallyport_verdicts_total", "mode") == "audit";
    out[protocol][audited ? "audit" : action] = counter_json(core.counters[i]);
  }
  return out;
}

Json flows_json(const TopModel& model, const TopCore& core) {
  Json out = Json::object();
  for (size_t i = 0; i < model.counters.size(); ++i) {
    const auto state = label_of(model.counters[i], "sallyport_flows", "state");
    if (!state.empty()) out[state] = core.counters[i].total;
  }
  return out;
}

/// [{"name": "policy/rule", "revision": …, "hits": {per_second, total}}, …]: those with hits, or
/// `all`.
Json rules_json(const TopCore& core, bool all) {
  Json out = Json::array();
  for (const TopRule& rule : core.rules) {
    if (rule.hits.total == 0 && !all) continue;
    out.push_back({{"name", rule.name},
                   {"revision", revision_or_null(rule.revision)},
                   {"hits", counter_json(rule.hits)}});
  }
  return out;
}

void put_figures(Json& out, const TopModel& model, const TopCore& core) {
  out["packets"] = counter_json(core.packets);
  out["bytes"] = counter_json(core.bytes);
  out["busy_ratio"] = core.busy_ratio ? Json(*core.busy_ratio) : Json(nullptr);
  out["drops"] = counter_json(core.drops);
  out["drops_by_reason"] = drops_json(model, core);
  out["verdicts"] = counter_json(core.verdicts);
  out["verdicts_by_protocol"] = verdicts_json(model, core);
  out["rules"] = rules_json(core, core.all);
  out["flows"] = flows_json(model, core);
  out["held_packets"] = core.held_packets;
  out["histograms"] = Json::object();
  for (size_t i = 0; i < model.histograms.size(); ++i) {
    const StatsHistogram& info = model.histograms[i];
    out["histograms"][info.family] = quantiles_json(core.histograms[i], info.unit);
  }
}

}  // namespace

Json top_json(const TopModel& model) {
  Json out{{"schema", 1},
           {"time", utc_text(model.taken_unix_ns / kSecond)},
           {"interval_seconds", model.seconds}};
  out["alarms"] = model.alarms;
  out["dataplane"] = {{"state", to_string(model.state)},
                      {"pid", model.pid},
                      {"started", utc_text(model.started_unix_ns / kSecond)},
                      {"uptime_seconds", static_cast<double>(model.uptime_ns) / 1e9}};
  out["identities"] = {{"revision", revision_or_null(model.identity_revision)},
                       {"addresses", model.identity_addresses}};
  out["cores"] = Json::array();
  for (const TopCore& core : model.cores) {
    Json one{{"core", core.core},
             {"stalled", core.stalled},
             {"heartbeat_age_seconds", static_cast<double>(core.heartbeat_age_ns) / 1e9},
             {"revision", revision_or_null(core.revision)},
             {"generation", core.generation}};
    put_figures(one, model, core);
    out["cores"].push_back(std::move(one));
  }
  out["total"] = Json::object();
  put_figures(out["total"], model, model.total);
  return out;
}

}  // namespace sallyport
