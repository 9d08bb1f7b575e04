#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "control/common/stats_reader.h"

namespace sallyport {

/// What one look at the stats segment found.
struct TopSample {
  uint64_t taken_ns = 0;       ///< Monotonic clock; rates are by this.
  uint64_t taken_unix_ns = 0;  ///< Wall clock of the same moment, as heartbeats count it.
  uint64_t mapping = 0;        ///< Which segment: one more with each file that was mapped anew.
  std::optional<StatsSnapshot> snapshot;
  StatsError error;  ///< Without a snapshot: why there is none.
};

/// Looks at the segment at one path again and again, and maps it anew when a data plane has put
/// another file there. For one thread.
class TopSampler {
 public:
  explicit TopSampler(std::filesystem::path path) : path_(std::move(path)) {}

  TopSample sample();

 private:
  std::filesystem::path path_;
  std::optional<StatsReader> reader_;
  uint64_t mappings_ = 0;
};

}  // namespace sallyport
