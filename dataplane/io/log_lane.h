#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "dataplane/io/log_sink.h"

namespace sallyport {

/// A sink and its thread, so that one that hangs hangs alone. Batches wait for it up to a bound;
/// what finds no room is lost to this sink, counted as sink_slow, and said in it as a gap.
/// Everything here is the reader's thread, and nothing here waits but end().
class LogLane {
 public:
  static constexpr size_t kMostWaiting = size_t{16} << 20;

  /// @param name    For messages.
  /// @param cores   The lcore id of each worker.
  /// @param losses  Those that `sink` counts in, too.
  LogLane(std::string name, const std::vector<unsigned>& cores, std::shared_ptr<LogLosses> losses,
          std::unique_ptr<LogSink> sink);
  ~LogLane();
  LogLane(const LogLane&) = delete;
  LogLane& operator=(const LogLane&) = delete;

  void offer(const std::shared_ptr<const LogBatch>& batch);
  /// Whether a batch would be taken.
  bool has_room() const;
  /// Events that the workers' rings had no room for: missing here, too.
  void note_missing(size_t worker, const LogGap& gap);
  /// The file was moved away by someone else.
  void reopen();
  /// When the sink last came back from whatever it did.
  uint64_t turned_unix_ns() const noexcept;
  /// What is wrong at present, and what to do; empty: nothing is.
  std::string trouble(uint64_t now_unix_ns) const;

  const std::string& name() const noexcept { return name_; }

  /// Nothing more comes. Its thread writes what waits, and ends.
  void close();
  struct Ending {
    bool ended = false;  ///< If not, its thread hangs, is left behind, and may write on.
    uint64_t lost = 0;   ///< Events that waited for it.
  };
  /// Waits for that.
  Ending end(std::chrono::steady_clock::time_point deadline);

 private:
  struct Shared;
  static void serve(Shared& shared);

  const std::string name_;
  const std::shared_ptr<Shared> shared_;  // with the thread, which may outlive the lane
  std::thread thread_;
};

}  // namespace sallyport
