#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "dataplane/io/counters.h"
#include "policy/runtime/stats_layout.h"

namespace sallyport {

/// The writer's side of the stats segment: see policy/runtime/stats_layout.h for its layout. Made
/// and ended on the control thread; each core writes its own block.
class StatsSegment {
 public:
  /// Makes the segment for `cores` (lcore ids) and puts it at `path` by rename. An empty path keeps
  /// it in memory, for replay and tests.
  /// @return the segment, or what is wrong in one line.
  static std::expected<std::unique_ptr<StatsSegment>, std::string> create(
      const std::string& path, std::span<const unsigned> cores);
  ~StatsSegment();
  StatsSegment(const StatsSegment&) = delete;
  StatsSegment& operator=(const StatsSegment&) = delete;

  StatsCore& core(size_t index) noexcept;
  CoreCounters counters(size_t index) noexcept;
  /// A counter's value over all cores.
  uint64_t total(size_t counter) const noexcept;

 private:
  StatsSegment() = default;
  void describe(std::span<const unsigned> cores) noexcept;

  std::string path_;
  uint8_t* base_ = nullptr;
  size_t size_ = 0;
};

}  // namespace sallyport
