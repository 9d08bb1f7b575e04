#include "dataplane/io/telemetry_answers.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <expected>
#include <optional>

#include "policy/runtime/image.h"
#include "policy/runtime/log_histogram.h"

namespace sallyport {
namespace {

constexpr std::string_view kDropFamily = "sallyport_drops_total";

TelemetryAnswer error(std::string text) {
  if (text.size() > kTelemetryTextBytes) text.resize(kTelemetryTextBytes);
  return {{"error", std::move(text)}};
}

/// "FAMILY,CORE" in two; what is missing is empty.
std::pair<std::string_view, std::string_view> split(std::string_view parameters) {
  const size_t comma = parameters.find(',');
  if (comma == std::string_view::npos) return {parameters, ""};
  return {parameters.substr(0, comma), parameters.substr(comma + 1)};
}

/// Of an lcore id the index; nothing for "": all cores.
std::expected<std::optional<size_t>, TelemetryAnswer> core_of(const StatsSegment& stats,
                                                              std::string_view text) {
  if (text.empty()) return std::nullopt;
  uint32_t wanted = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), wanted);
  const bool number = fault == std::errc() && end == text.data() + text.size();
  std::string known;
  for (size_t i = 0; i < stats.cores(); ++i) {
    if (number && stats.core(i).core == wanted) return i;
    known += " " + std::to_string(stats.core(i).core);
  }
  return std::unexpected(error("no such worker core; there are:" + known));
}

uint64_t value_of(const StatsSegment& stats, size_t counter, std::optional<size_t> core) {
  if (core) return stats.value(counter, *core);
  uint64_t sum = 0;
  for (size_t i = 0; i < stats.cores(); ++i) sum += stats.value(counter, i);
  return sum;
}

/// "direction=rx,port=inside" as "rx/inside": DPDK takes no other signs in a name. A counter
/// without labels is "total".
std::string entry_name(std::string_view labels) {
  std::string name;
  while (!labels.empty()) {
    const size_t end = std::min(labels.find(','), labels.size());
    const std::string_view pair = labels.substr(0, end);
    const size_t equals = std::min(pair.find('='), pair.size() - 1);
    name += (name.empty() ? "" : "/") + std::string(pair.substr(equals + 1));
    labels.remove_prefix(std::min(end + 1, labels.size()));
  }
  return name.empty() ? "total" : name;
}

TelemetryAnswer family_answer(const StatsSegment& stats, std::string_view family,
                              std::optional<size_t> core) {
  TelemetryAnswer out;
  const auto infos = stats.infos();
  for (size_t i = 0; i < infos.size(); ++i) {
    if (infos[i].family.data() != family) continue;
    out.emplace_back(entry_name(infos[i].labels.data()), value_of(stats, i, core));
  }
  if (out.empty()) return error("no such family; /sallyport/counters has them all");
  return out;
}

TelemetryAnswer family_totals(const StatsSegment& stats) {
  TelemetryAnswer out;
  const auto infos = stats.infos();
  for (size_t i = 0; i < infos.size(); ++i) {
    const std::string_view family = infos[i].family.data();
    const auto found = std::ranges::find(out, family, &TelemetryAnswer::value_type::first);
    const uint64_t value = value_of(stats, i, std::nullopt);
    if (found == out.end()) {
      out.emplace_back(family, value);
    } else {
      std::get<uint64_t>(found->second) += value;
    }
  }
  return out;
}

TelemetryAnswer histogram_names() {
  std::vector<std::string> names;
  for (const HistogramInfo& info : kHistogramInfo) names.emplace_back(info.family);
  return {{"histograms", std::move(names)}};
}

/// The buckets of a power of two as one: 37 of them, where the segment has a thousand.
TelemetryAnswer histogram_answer(const StatsSegment& stats, const HistogramInfo& info,
                                 std::optional<size_t> core) {
  const std::vector<uint64_t> counts = stats.histogram(info.id, core);
  uint64_t sum = 0;
  for (size_t i = 0; i < stats.cores(); ++i) {
    if (!core || *core == i) sum += stats.histogram_sum(info.id, i);
  }
  std::vector<uint64_t> floors{0};
  for (unsigned bit = 0; bit < kHistogramBits; ++bit) floors.push_back(uint64_t{1} << bit);
  std::vector<uint64_t> octaves(floors.size());
  uint64_t count = 0;
  for (size_t bucket = 0; bucket < counts.size(); ++bucket) {
    octaves[static_cast<size_t>(std::bit_width(bucket_floor(bucket)))] += counts[bucket];
    count += counts[bucket];
  }
  const auto quantile = [&](double q) {
    return static_cast<uint64_t>(histogram_quantile(counts, q));
  };
  return {{"unit", std::string(info.unit == StatsUnit::nanoseconds ? "nanoseconds" : "packets")},
          {"count", count},
          {"sum", sum},
          {"p50", quantile(0.5)},
          {"p90", quantile(0.9)},
          {"p99", quantile(0.99)},
          {"p999", quantile(0.999)},
          {"bucket_floor", std::move(floors)},
          {"bucket_count", std::move(octaves)}};
}

struct SizeOf {
  size_t operator()(uint64_t) const { return 20; }
  size_t operator()(const std::string& text) const { return text.size() + 2; }
  size_t operator()(const std::vector<uint64_t>& list) const { return 21 * list.size() + 2; }
  size_t operator()(const std::vector<std::string>& list) const {
    size_t size = 2;
    for (const std::string& text : list) size += text.size() + 3;
    return size;
  }
};

bool fits_array(const TelemetryValue& value) {
  if (const auto* numbers = std::get_if<std::vector<uint64_t>>(&value)) {
    return numbers->size() <= kTelemetryArrayEntries;
  }
  if (const auto* texts = std::get_if<std::vector<std::string>>(&value)) {
    return texts->size() <= kTelemetryArrayEntries;
  }
  return true;
}

}  // namespace

TelemetryAnswer counters_answer(const StatsSegment& stats, std::string_view parameters) {
  if (parameters.empty()) return family_totals(stats);
  const auto [family, core_text] = split(parameters);
  const auto core = core_of(stats, core_text);
  return core ? family_answer(stats, family, *core) : core.error();
}

TelemetryAnswer drops_answer(const StatsSegment& stats, std::string_view parameters) {
  const auto core = core_of(stats, parameters);
  if (!core) return core.error();
  // By reason, wherever the packets were to go: "denied/outside" and "denied/inside" are one.
  TelemetryAnswer out;
  for (auto& [name, value] : family_answer(stats, kDropFamily, *core)) {
    const std::string reason = name.substr(0, name.find('/'));
    if (out.empty() || out.back().first != reason) {
      out.emplace_back(reason, value);
    } else {
      std::get<uint64_t>(out.back().second) += std::get<uint64_t>(value);
    }
  }
  return out;
}

TelemetryAnswer cores_answer(const StatsSegment& stats, std::string_view parameters) {
  if (!parameters.empty()) return error("/sallyport/cores takes no parameter");
  std::vector<uint64_t> ids;
  std::vector<std::string> revisions;
  std::vector<uint64_t> generations;
  std::vector<uint64_t> heartbeats;
  for (size_t i = 0; i < stats.cores(); ++i) {
    const StatsCore& core = stats.core(i);
    const uint64_t revision = core.revision.load(std::memory_order_relaxed);
    ids.push_back(core.core);
    revisions.push_back(revision == 0 ? "none" : revision_text(revision));
    generations.push_back(core.generation.load(std::memory_order_relaxed));
    heartbeats.push_back(core.heartbeat_unix_ns.load(std::memory_order_relaxed));
  }
  return {{"core", std::move(ids)},
          {"revision", std::move(revisions)},
          {"generation", std::move(generations)},
          {"heartbeat_unix_ns", std::move(heartbeats)}};
}

TelemetryAnswer histograms_answer(const StatsSegment& stats, std::string_view parameters) {
  if (parameters.empty()) return histogram_names();
  const auto [name, core_text] = split(parameters);
  const auto info = std::ranges::find(kHistogramInfo, name, &HistogramInfo::family);
  if (info == kHistogramInfo.end()) {
    return error("no such histogram; /sallyport/histograms has them all");
  }
  const auto core = core_of(stats, core_text);
  return core ? histogram_answer(stats, *info, *core) : core.error();
}

TelemetryAnswer within_limits(TelemetryAnswer answer) {
  size_t bytes = 0;
  bool fits = answer.size() <= kTelemetryEntries;
  for (const auto& [name, value] : answer) {
    bytes += name.size() + 4 + std::visit(SizeOf(), value);
    fits &= name.size() <= kTelemetryTextBytes / 2 && fits_array(value);
  }
  if (fits && bytes <= kTelemetryAnswerBytes) return answer;
  return error("the answer is longer than DPDK sends; ask for less, or read the stats segment");
}

}  // namespace sallyport
