#pragma once

#include <sys/types.h>

#include <cstdint>
#include <expected>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "policy/runtime/log_histogram.h"
#include "policy/runtime/stats_layout.h"

namespace sallyport {

enum class StatsFault : uint8_t {
  missing,              ///< No file: no data plane has run here since boot.
  unreadable,           ///< It exists but cannot be opened or mapped.
  not_a_file,           ///< A folder, socket or device.
  too_short,            ///< Smaller than its header.
  bad_magic,            ///< Not a stats segment.
  unsupported_version,  ///< Written by a data plane of another version.
  bad_layout,           ///< Its offsets and counts do not fit in the file.
  shrunk,               ///< It was cut after it was mapped.
};

struct StatsError {
  StatsFault fault{};
  std::string text;  ///< What is wrong, where, and what to do.
};

struct StatsCounter {
  std::string family;
  std::string labels;
  std::string help;
  StatsKind kind{};
  std::string entry;  ///< Its part in the books: policy/runtime/books.h.
  BookSides books{};
};

struct StatsHistogram {
  std::string family;
  std::string help;
  StatsUnit unit{};
};

/// Of one core.
struct StatsHistogramValues {
  uint64_t sum = 0;              ///< Of all values, in the histogram's unit.
  std::vector<uint64_t> counts;  ///< kHistogramBuckets: policy/runtime/log_histogram.h.
};

/// What the rules of one policy are called.
struct StatsRules {
  uint64_t revision = 0;
  uint64_t rules = 0;              ///< Of the policy, those without a name here too.
  std::vector<std::string> names;  ///< "policy/rule", by index.
};

/// How often each rule has decided on one core, since it took the policy of `revision`.
struct StatsRuleHits {
  bool whole = false;     ///< False: it was being rewritten, and nothing is known.
  uint64_t sequence = 0;  ///< Two readings of the same count from the same moment on.
  uint64_t revision = 0;  ///< 0: no policy.
  std::vector<uint64_t> hits;
  uint64_t others = 0;   ///< Of all rules that have no name.
  uint64_t no_rule = 0;  ///< Verdicts without a rule.
};

struct StatsCoreValues {
  uint32_t core = 0;
  uint64_t heartbeat_unix_ns = 0;
  uint64_t revision = 0;
  uint64_t generation = 0;
  std::vector<uint64_t> values;                  ///< One per StatsSnapshot::counters.
  std::vector<StatsHistogramValues> histograms;  ///< One per StatsSnapshot::histograms.
  StatsRuleHits rules;
};

struct StatsSnapshot {
  int32_t pid = 0;
  uint64_t started_unix_ns = 0;
  bool ended = false;
  uint64_t identity_revision = 0;  ///< 0: no identity feed.
  uint64_t identity_addresses = 0;
  uint64_t identity_since_unix_ns = 0;
  uint64_t log_writer_unix_ns = 0;  ///< Last turn of the flow log's writer; 0: none yet.
  std::vector<StatsCounter> counters;
  std::vector<StatsHistogram> histograms;
  std::vector<StatsCoreValues> cores;
  std::vector<StatsRules> rules;  ///< Of the last policies, two at the most.
};

/// A read-only mapping of the stats segment. Believes nothing in the file before it was checked
/// against the file's size, so a truncated or foreign file is an error and never a crash.
class StatsReader {
 public:
  static std::expected<StatsReader, StatsError> open(const std::filesystem::path& path);

  StatsReader(StatsReader&& other) noexcept;
  StatsReader& operator=(StatsReader&&) = delete;
  ~StatsReader();

  /// Everything in the segment now. Each number is read whole; different numbers may be of
  /// slightly different moments, because nothing stops the cores.
  std::expected<StatsSnapshot, StatsError> snapshot() const;

  /// True when the path now names another file, or none: open() again.
  bool replaced() const;

 private:
  /// Copied once when it is checked: a later change in the file cannot move a read.
  struct Layout {
    uint32_t counters = 0;
    uint32_t histograms = 0;
    uint32_t cores = 0;
    uint32_t core_offset = 0;
    uint32_t core_stride = 0;
    uint32_t rules = 0;
    uint32_t rules_offset = 0;
  };

  StatsReader() = default;
  std::expected<void, StatsError> read_layout();
  StatsCoreValues read_core(uint32_t index) const;
  StatsRuleHits read_hits(const std::byte* at) const;
  std::optional<StatsRules> read_rules(size_t which) const;
  StatsError error(StatsFault fault, const std::string& detail = "") const;
  const StatsHeader& header() const noexcept;

  std::filesystem::path path_;
  int fd_ = -1;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  dev_t device_ = 0;
  ino_t inode_ = 0;
  Layout layout_;
};

/// The segment at `path` as it is now.
std::expected<StatsSnapshot, StatsError> read_stats(const std::filesystem::path& path);

/// A core whose last heartbeat is older than this is stalled: it should be 0.1 s at the most.
inline constexpr uint64_t kStalledAfterNs = 1'000'000'000;

/// How long ago the core's last heartbeat was; 0 for one of the future.
uint64_t heartbeat_age_ns(const StatsCoreValues& core, uint64_t now_unix_ns) noexcept;

/// How long ago the flow log's writer last turned, or, if it never has, the data plane started.
uint64_t log_writer_age_ns(const StatsSnapshot& snapshot, uint64_t now_unix_ns) noexcept;

/// Value of `key` in "key=value,other=value", or "".
std::string label_value(const std::string& labels, const std::string& key);

}  // namespace sallyport
