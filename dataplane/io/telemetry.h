#pragma once

#include "dataplane/io/stats_segment.h"

namespace sallyport {

/// The `/sallyport/…` commands of DPDK's telemetry, for as long as the object lives; after that
/// they are answered by an error. DPDK's own threads, on cores.main, read the segment; workers have
/// no part in it. One at a time in a process.
class Telemetry {
 public:
  /// @param stats  outlives the object.
  explicit Telemetry(const StatsSegment& stats);
  ~Telemetry();
  Telemetry(const Telemetry&) = delete;
  Telemetry& operator=(const Telemetry&) = delete;
};

}  // namespace sallyport
