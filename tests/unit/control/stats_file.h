#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "policy/runtime/stats_layout.h"

namespace sallyport::test {

struct StatsFileCore {
  uint32_t core = 0;
  uint64_t heartbeat_unix_ns = 0;
  uint64_t revision = 0;
  uint64_t generation = 0;
  std::vector<uint64_t> values;
};

struct StatsFileCounter {
  std::string_view family;
  std::string_view labels;
  StatsKind kind = StatsKind::counter;
};

struct StatsFile {
  int32_t pid = 0;
  uint64_t started_unix_ns = 0;
  bool ended = false;
  std::vector<StatsFileCounter> counters;
  std::vector<StatsFileCore> cores;
};

/// The bytes of a segment as a data plane would write it.
std::string stats_bytes(const StatsFile& file);

}  // namespace sallyport::test
