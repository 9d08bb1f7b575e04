#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace sallyport {

/// Layout of the stats segment (/run/sallyport/stats): one shared-memory file, written by the data
/// plane, mapped read-only by anyone. It describes itself, so that a reader needs no list of
/// counters of its own:
///
///   StatsHeader | StatsCounterInfo × counters | pad to 4096 | core block × cores
///   core block = StatsCore | std::atomic<uint64_t> × counters, `core_stride` bytes apart
///
/// A data plane writes a new file and renames it into place; `ended` is set in the old one when it
/// stops in order. A reader that sees another inode at the path maps anew.
inline constexpr std::array<char, 8> kStatsMagic{'S', 'P', 'S', 'T', 'A', 'T', 'S', '\0'};
inline constexpr uint32_t kStatsVersion = 1;

enum class StatsKind : uint32_t { counter, gauge };

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
  uint32_t reserved = 0;
};
static_assert(sizeof(StatsHeader) == 48);

struct StatsCounterInfo {
  std::array<char, 40> family{};  ///< Prometheus name: "sallyport_drops_total".
  std::array<char, 56> labels{};  ///< Its labels but core, "reason=bad_l4_checksum"; NUL-ended.
  std::array<char, 124> help{};
  StatsKind kind{};
};
static_assert(sizeof(StatsCounterInfo) == 224);

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
