#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

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
  /// Calls `visit(family, labels, value over all cores)` for each counter.
  void for_each(
      const std::function<void(std::string_view, std::string_view, uint64_t)>& visit) const;
  /// A counter's value over all cores, by the names it has in the segment.
  std::optional<uint64_t> find(std::string_view family, std::string_view labels) const;

 private:
  StatsSegment() = default;
  void describe(std::span<const unsigned> cores) noexcept;

  std::string path_;
  uint8_t* base_ = nullptr;
  size_t size_ = 0;
};

}  // namespace sallyport
