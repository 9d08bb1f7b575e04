#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "policy/runtime/stats_layout.h"

namespace sallyport::test {

/// So many rules have names and hits in a file of a test.
inline constexpr size_t kStatsFileRules = 6;

struct StatsFileRules {
  uint64_t sequence = 2;
  uint64_t revision = 0;
  uint64_t rules = 0;
  std::vector<std::string> names;
};

struct StatsFileHits {
  uint64_t sequence = 2;
  uint64_t revision = 0;
  std::vector<uint64_t> hits;  ///< By index, at most kStatsFileRules.
  uint64_t others = 0;
  uint64_t no_rule = 0;
};

struct StatsFileCore {
  uint32_t core = 0;
  uint64_t heartbeat_unix_ns = 0;
  uint64_t revision = 0;
  uint64_t generation = 0;
  std::vector<uint64_t> values;
  /// For each of StatsFile::histograms the values that were recorded.
  std::vector<std::vector<uint64_t>> recorded = {};
  StatsFileHits hits = {};
};

struct StatsFileCounter {
  std::string_view family;
  std::string_view labels;
  StatsKind kind = StatsKind::counter;
  std::string_view entry = "";
  BookSides books = {};
};

struct StatsFileHistogram {
  std::string_view family;
  StatsUnit unit = StatsUnit::nanoseconds;
};

struct StatsFile {
  int32_t pid = 0;
  uint64_t started_unix_ns = 0;
  bool ended = false;
  uint64_t identity_revision = 0;
  uint64_t identity_addresses = 0;
  uint64_t identity_since_unix_ns = 0;
  uint64_t log_writer_unix_ns = UINT64_MAX;  ///< Of the future: its age stays 0.
  std::vector<StatsFileCounter> counters;
  std::vector<StatsFileHistogram> histograms;
  std::vector<StatsFileCore> cores;
  std::array<StatsFileRules, 2> rules = {};
};

/// The bytes of a segment as a data plane would write it.
std::string stats_bytes(const StatsFile& file);

}  // namespace sallyport::test
