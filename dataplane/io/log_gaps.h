#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/io/eve_time.h"

namespace sallyport {

/// Why an event is not in the log.
enum class LogLoss : uint8_t {
  ring_full,     ///< The writer was behind: the worker found no room.
  write_failed,  ///< The file could not be written.
  sink_gone,     ///< Nobody listened at the socket, and what is kept for it was full.
  sink_slow,     ///< File or collector took lines too slowly, and what is kept for it was full.
  count_
};
inline constexpr size_t kLogLosses = static_cast<size_t>(LogLoss::count_);

/// As in counters and records: "ring_full".
std::string_view to_string(LogLoss cause) noexcept;

/// Events that were lost, and when the first and the last of them happened.
struct LogGap {
  uint64_t events = 0;
  uint64_t from_unix_ns = 0;
  uint64_t to_unix_ns = 0;
};

/// Events lost since the start. The log's threads add, any thread reads.
class LogLosses {
 public:
  explicit LogLosses(size_t workers) : counts_(workers * kLogLosses) {}

  void add(size_t worker, LogLoss cause, uint64_t events) noexcept {
    counts_[worker * kLogLosses + static_cast<size_t>(cause)].fetch_add(events,
                                                                        std::memory_order_relaxed);
  }
  uint64_t of(size_t worker, LogLoss cause) const noexcept {
    return counts_[worker * kLogLosses + static_cast<size_t>(cause)].load(
        std::memory_order_relaxed);
  }

 private:
  std::vector<std::atomic<uint64_t>> counts_;
};

/// What one sink has lost and not said yet, by worker and cause. A sink that fails for a week has
/// as much to say as one that failed once.
class LogGaps {
 public:
  /// @param cores  The lcore id of each worker.
  explicit LogGaps(std::vector<unsigned> cores);

  void note(size_t worker, LogLoss cause, const LogGap& gap) noexcept;
  /// All of `more`, of the same workers.
  void note(const LogGaps& more) noexcept;
  bool any() const noexcept { return any_; }
  /// Appends a line for each, with its newline.
  void append(uint64_t now_unix_ns, std::string& out);
  /// They were said.
  void clear() noexcept;
  uint64_t events() const noexcept;

 private:
  std::vector<unsigned> cores_;
  std::vector<std::array<LogGap, kLogLosses>> gaps_;  // by worker
  EveTime time_;
  bool any_ = false;
};

}  // namespace sallyport
