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
///   StatsHeader | StatsCounterInfo × counters | StatsHistogramInfo × histograms |
///   rule table × 2 | pad to 4096 | core block × cores, `core_stride` bytes apart
///   rule table = StatsRuleTable | StatsRuleName × rules
///   core block = StatsCore | std::atomic<uint64_t> × counters | histogram × histograms | hits
///   histogram = std::atomic<uint64_t>: the sum of all values, then kHistogramBuckets counts
///   hits = StatsHits | std::atomic<uint64_t> × (rules + kStatsMoreHits)
///
/// Rule tables and hits change with the policy. Each says of which revision it is, and counts its
/// changes in `sequence`: odd while it is being rewritten. A reader takes what it read for whole
/// when the sequence was the same even number before and after, and names the hits of a core by
/// the table of the same revision: there are two, so that the one in force before a push still has
/// its names while the cores go over.
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
  uint32_t rules = 0;         ///< For how many rules of a policy there are names and hits.
  uint32_t rules_offset = 0;  ///< Bytes from the start of the file to the first rule table.
};
static_assert(sizeof(StatsHeader) == 88);

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

/// One of the two. Written by the control thread only, before the policy is put in force.
struct StatsRuleTable {
  std::atomic<uint64_t> sequence{0};
  std::atomic<uint64_t> revision{0};  ///< 0: of none yet.
  std::atomic<uint64_t> rules{0};     ///< Of the policy; only the header's `rules` have names.
};
static_assert(sizeof(StatsRuleTable) == 24);

/// "policy/rule", then NULs. In words, so that one that is read while it is written is no race.
using StatsRuleName = std::array<std::atomic<uint64_t>, 16>;
inline constexpr size_t kStatsRuleNameBytes = sizeof(StatsRuleName);

constexpr size_t stats_rule_table_bytes(size_t rules) noexcept {
  return sizeof(StatsRuleTable) + rules * sizeof(StatsRuleName);
}

/// How often each rule has decided since the core took the policy, written by the core only: a
/// count for each rule that has a name, then these.
struct StatsHits {
  std::atomic<uint64_t> sequence{0};
  std::atomic<uint64_t> revision{0};  ///< 0: no policy.
};
static_assert(sizeof(StatsHits) == 16);
inline constexpr size_t kStatsOtherRules = 0;  ///< All rules that have no name here.
inline constexpr size_t kStatsNoRule = 1;      ///< Verdicts without a rule.
inline constexpr size_t kStatsMoreHits = 2;

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
