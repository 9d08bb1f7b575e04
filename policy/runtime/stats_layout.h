#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "policy/runtime/books.h"

namespace sallyport {

/// Layout of the stats segment (/run/sallyport/stats): one shared-memory file, written by the data
/// plane, mapped read-only by anyone. It describes itself, so that a reader needs no list of
/// counters of its own:
///
///   StatsHeader | StatsCounterInfo × counters | StatsHistogramInfo × histograms | pad to 4096 |
///   core block × cores, `core_stride` bytes apart
///   core block = StatsCore | std::atomic<uint64_t> × counters | histogram × histograms
///   histogram = std::atomic<uint64_t>: the sum of all values, then kHistogramBuckets counts
///
/// A data plane writes a new file and renames it into place; `ended` is set in the old one when it
/// stops in order. A reader that sees another inode at the path maps anew.
inline constexpr std::array<char, 8> kStatsMagic{'S', 'P', 'S', 'T', 'A', 'T', 'S', '\0'};
inline constexpr uint32_t kStatsVersion = 6;

enum class StatsKind : uint32_t { counter, gauge };
enum class StatsUnit : uint32_t { nanoseconds, packets };  ///< Of a histogram's values.

struct StatsHeader {
  std::array<char, 8> magic = kStatsMagic;
  uint32_t version = kStatsVersion;
  uint32_t counters = 0;
  uint32_t cores = 0;
  uint32_t core_offset = 0;  ///< Bytes from the start of the file to the first core block.
  uint32_t core_stride = 0;  ///< Bytes from one core block to the next.
  int32_t pid = 0;
  uint64_t started_unix_ns = 0;
  std::atomic<uint32_t> ended{0};  ///< Written by the data plane's control thread only.
  uint32_t histograms = 0;
  // The identity feed, written by the control thread only.
  std::atomic<uint64_t> identity_revision{0};  ///< 0: none, labels are unknown.
  std::atomic<uint64_t> identity_addresses{0};
  std::atomic<uint64_t> identity_since_unix_ns{0};
  /// Written by the flow log's writer only, each time that it turns: 20 ms apart when it is idle.
  std::atomic<uint64_t> log_writer_unix_ns{0};
};
static_assert(sizeof(StatsHeader) == 80);

struct StatsCounterInfo {
  std::array<char, 40> family{};  ///< Prometheus name: "sallyport_drops_total".
  std::array<char, 56> labels{};  ///< Its labels but core, "reason=bad_l4_checksum"; NUL-ended.
  std::array<char, 116> help{};
  std::array<char, 36> entry{};  ///< What the books call it; empty: it is in none.
  BookSides books{};
  uint8_t reserved = 0;
  StatsKind kind{};
};
static_assert(sizeof(StatsCounterInfo) == 256);

/// Of a histogram, whose values are in `unit`; a family in seconds is counted in nanoseconds.
struct StatsHistogramInfo {
  std::array<char, 40> family{};
  std::array<char, 212> help{};
  StatsUnit unit{};
};
static_assert(sizeof(StatsHistogramInfo) == 256);

/// One writer, the core itself; any number of readers, relaxed loads.
struct StatsCore {
  uint32_t core = 0;  ///< DPDK lcore id.
  uint32_t reserved = 0;
  std::atomic<uint64_t> heartbeat_unix_ns{0};  ///< Refreshed at least every 100 ms by a live core.
  std::atomic<uint64_t> revision{0};
  std::atomic<uint64_t> generation{0};
};
static_assert(sizeof(StatsCore) == 32);
static_assert(std::atomic<uint64_t>::is_always_lock_free);

}  // namespace sallyport
