#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/io/counters.h"
#include "dataplane/io/rule_hits.h"
#include "policy/runtime/books.h"
#include "policy/runtime/frames.h"
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
  /// Control thread, before it puts a policy in force: what its rules are called.
  void name_rules(const PolicyTable& policy) noexcept;
  /// Control thread: which identity feed the cores go by.
  void note_identities(const IdentityState& state) noexcept;
  /// For the flow log's writer, as long as the segment is there.
  std::atomic<uint64_t>& log_writer_heartbeat() noexcept;
  /// Calls `visit(family, labels, value over all cores)` for each counter.
  void for_each(
      const std::function<void(std::string_view, std::string_view, uint64_t)>& visit) const;
  /// Any thread, as all below: the cores go on writing meanwhile.
  size_t cores() const noexcept;
  const StatsCore& core(size_t index) const noexcept;
  /// kAllCounters of them, in the order of their slots.
  std::span<const StatsCounterInfo> infos() const noexcept;
  uint64_t value(size_t counter, size_t core) const noexcept;
  /// What all values of a histogram of one core add up to.
  uint64_t histogram_sum(Histogram id, size_t core) const noexcept;
  /// A histogram's counts of one core, or over all of them.
  std::vector<uint64_t> histogram(Histogram id, std::optional<size_t> core = std::nullopt) const;
  /// A counter's value over all cores, by the names it has in the segment; without the label
  /// `towards` that of both sides.
  std::optional<uint64_t> find(std::string_view family, std::string_view labels) const;

  /// What stands in the books of one core, by its index. Borrows from the segment.
  std::vector<BookLine> book_lines(size_t core) const;

 private:
  StatsSegment() = default;
  void describe(std::span<const unsigned> cores) noexcept;
  const std::atomic<uint64_t>* slots(size_t core) const noexcept;

  std::string path_;
  uint8_t* base_ = nullptr;
  size_t size_ = 0;
  std::optional<RuleTables> rule_tables_;
};

}  // namespace sallyport
