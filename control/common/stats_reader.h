#pragma once

#include <sys/types.h>

#include <cstdint>
#include <expected>
#include <filesystem>
#include <string>
#include <vector>

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
};

struct StatsCoreValues {
  uint32_t core = 0;
  uint64_t heartbeat_unix_ns = 0;
  uint64_t revision = 0;
  uint64_t generation = 0;
  std::vector<uint64_t> values;  ///< One per StatsSnapshot::counters.
};

struct StatsSnapshot {
  int32_t pid = 0;
  uint64_t started_unix_ns = 0;
  bool ended = false;
  std::vector<StatsCounter> counters;
  std::vector<StatsCoreValues> cores;
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
  StatsReader() = default;
  std::expected<void, StatsError> read_layout();
  StatsCoreValues read_core(uint32_t index) const;
  StatsError error(StatsFault fault, const std::string& detail = "") const;
  const StatsHeader& header() const noexcept;

  std::filesystem::path path_;
  int fd_ = -1;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  dev_t device_ = 0;
  ino_t inode_ = 0;
  // Copied once when they are checked: a later change in the file cannot move a read.
  uint32_t counters_ = 0;
  uint32_t cores_ = 0;
  uint32_t core_offset_ = 0;
  uint32_t core_stride_ = 0;
};

/// Value of `key` in "key=value,other=value", or "".
std::string label_value(const std::string& labels, const std::string& key);

}  // namespace sallyport
