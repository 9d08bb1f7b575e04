#include "tests/unit/control/stats_file.h"

#include <algorithm>
#include <new>

#include "policy/runtime/log_histogram.h"

namespace sallyport::test {
namespace {

template <size_t kSize>
void fill(std::array<char, kSize>& to, std::string_view from) {
  std::copy_n(from.begin(), std::min(from.size(), kSize - 1), to.begin());
}

void put_histogram(char* at, const std::vector<uint64_t>& recorded) {
  auto* slots = new (at) std::atomic<uint64_t>[kHistogramSlots]();
  for (const uint64_t value : recorded) {
    slots[0] += value;
    ++slots[1 + bucket_of(value)];
  }
}

void put_rules(char* at, const StatsFileRules& rules) {
  auto* table = new (at) StatsRuleTable;
  table->sequence = rules.sequence;
  table->revision = rules.revision;
  table->rules = rules.rules;
  for (size_t i = 0; i < rules.names.size(); ++i) {
    std::ranges::copy(rules.names[i], at + sizeof *table + i * kStatsRuleNameBytes);
  }
}

void put_hits(char* at, const StatsFileHits& hits) {
  auto* head = new (at) StatsHits;
  head->sequence = hits.sequence;
  head->revision = hits.revision;
  auto* slots = new (at + sizeof *head) std::atomic<uint64_t>[kStatsFileRules + kStatsMoreHits]();
  for (size_t i = 0; i < hits.hits.size(); ++i) slots[i] = hits.hits[i];
  slots[kStatsFileRules + kStatsOtherRules] = hits.others;
  slots[kStatsFileRules + kStatsNoRule] = hits.no_rule;
}

}  // namespace

std::string stats_bytes(const StatsFile& file) {
  const size_t counters = file.counters.size();
  const size_t histograms = file.histograms.size();
  const size_t histograms_at = sizeof(StatsHeader) + counters * sizeof(StatsCounterInfo);
  const size_t rules_at = histograms_at + histograms * sizeof(StatsHistogramInfo);
  const size_t names_end = rules_at + 2 * stats_rule_table_bytes(kStatsFileRules);
  const size_t offset = (names_end + 4095) / 4096 * 4096;
  const size_t hits_at = sizeof(StatsCore) + (counters + histograms * kHistogramSlots) * 8;
  const size_t hits_bytes = sizeof(StatsHits) + (kStatsFileRules + kStatsMoreHits) * 8;
  const size_t stride = (hits_at + hits_bytes + 63) / 64 * 64;
  std::string bytes(offset + file.cores.size() * stride, '\0');
  auto* header = new (bytes.data()) StatsHeader;
  header->counters = static_cast<uint32_t>(counters);
  header->histograms = static_cast<uint32_t>(histograms);
  header->cores = static_cast<uint32_t>(file.cores.size());
  header->rules = kStatsFileRules;
  header->rules_offset = static_cast<uint32_t>(rules_at);
  header->core_offset = static_cast<uint32_t>(offset);
  header->core_stride = static_cast<uint32_t>(stride);
  header->pid = file.pid;
  header->started_unix_ns = file.started_unix_ns;
  header->ended = file.ended ? 1 : 0;
  header->identity_revision = file.identity_revision;
  header->identity_addresses = file.identity_addresses;
  header->identity_since_unix_ns = file.identity_since_unix_ns;
  header->log_writer_unix_ns = file.log_writer_unix_ns;
  for (size_t i = 0; i < counters; ++i) {
    char* at = bytes.data() + sizeof(StatsHeader) + i * sizeof(StatsCounterInfo);
    auto* info = new (at) StatsCounterInfo;
    fill(info->family, file.counters[i].family);
    fill(info->labels, file.counters[i].labels);
    fill(info->help, "What it counts.");
    info->kind = file.counters[i].kind;
    fill(info->entry, file.counters[i].entry);
    info->books = file.counters[i].books;
  }
  for (size_t i = 0; i < histograms; ++i) {
    auto* info =
        new (bytes.data() + histograms_at + i * sizeof(StatsHistogramInfo)) StatsHistogramInfo;
    fill(info->family, file.histograms[i].family);
    fill(info->help, "What it measures.");
    info->unit = file.histograms[i].unit;
  }
  for (size_t i = 0; i < file.rules.size(); ++i) {
    put_rules(bytes.data() + rules_at + i * stats_rule_table_bytes(kStatsFileRules), file.rules[i]);
  }
  for (size_t i = 0; i < file.cores.size(); ++i) {
    char* at = bytes.data() + offset + i * stride;
    auto* core = new (at) StatsCore;
    core->core = file.cores[i].core;
    core->heartbeat_unix_ns = file.cores[i].heartbeat_unix_ns;
    core->revision = file.cores[i].revision;
    core->generation = file.cores[i].generation;
    for (size_t v = 0; v < file.cores[i].values.size(); ++v) {
      new (at + sizeof(StatsCore) + v * 8) std::atomic<uint64_t>(file.cores[i].values[v]);
    }
    for (size_t h = 0; h < file.cores[i].recorded.size(); ++h) {
      put_histogram(at + sizeof(StatsCore) + (counters + h * kHistogramSlots) * 8,
                    file.cores[i].recorded[h]);
    }
    put_hits(at + hits_at, file.cores[i].hits);
  }
  return bytes;
}

}  // namespace sallyport::test
