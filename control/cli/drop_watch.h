#pragma once

#include <cstdint>
#include <expected>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "control/common/stats_reader.h"

namespace sallyport {

/// Packets that were dropped for one reason.
struct DropRow {
  std::string reason;
  std::string help;               ///< What the reason means, from the segment itself.
  std::vector<uint64_t> by_core;  ///< In the order of StatsSnapshot::cores.
  uint64_t total = 0;
};

/// The drops in a segment, in its order; without `all` only reasons that occurred.
std::vector<DropRow> drop_rows(const StatsSnapshot& snapshot, bool all);

/// What came of drops between two looks at the segment.
struct DropChange {
  enum class Event : uint8_t {
    none,
    restarted,  ///< Another data plane counts there: from zero.
    stopped,    ///< In order: these are its last counts.
    gone,       ///< The segment cannot be read.
  };
  Event event = Event::none;  ///< Said once, when it comes about.
  std::vector<DropRow> rows;  ///< Packets since the last look; only reasons that are not zero.
};

/// Compares looks at the segment, over restarts of the data plane. One thread.
class DropWatch {
 public:
  DropChange look(const std::expected<StatsSnapshot, StatsError>& now);

 private:
  std::vector<DropRow> rows_since(const StatsSnapshot& now);

  std::map<std::pair<std::string, uint32_t>, uint64_t> counted_;  ///< By reason and core.
  bool seen_ = false;
  int32_t pid_ = 0;
  uint64_t started_unix_ns_ = 0;
  bool ended_ = false;
  bool gone_ = false;
};

}  // namespace sallyport
