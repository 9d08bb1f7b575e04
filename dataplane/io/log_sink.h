#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/io/log_gaps.h"

namespace sallyport {

/// Whole lines on their way from a ring to the sinks.
struct LogBatch {
  struct Line {
    size_t end = 0;  ///< Behind its newline, in `text`.
    uint64_t unix_ns = 0;
  };
  size_t worker = 0;
  std::string text;
  std::vector<Line> lines;
};

/// Where the log's lines go. Everything here is the thread of its LogLane, and may hang. What a
/// sink cannot take is lost to it alone: counted, and said in it as soon as it takes lines again.
class LogSink {
 public:
  LogSink(std::vector<unsigned> cores, LogLosses& losses)
      : losses_(losses), gaps_(std::move(cores)) {}
  virtual ~LogSink() = default;
  LogSink(const LogSink&) = delete;
  LogSink& operator=(const LogSink&) = delete;

  virtual void take(const LogBatch& batch, uint64_t now_unix_ns) = 0;
  /// Between batches, and every few milliseconds without one: what has to be done in time.
  virtual void tick(uint64_t now_unix_ns) = 0;
  /// The file was moved away by someone else.
  virtual void reopen() {}
  /// Nothing more comes: last words, within half a second.
  virtual void finish(uint64_t now_unix_ns) = 0;

  /// Events that never came here, counted elsewhere.
  void note_missing(const LogGaps& missing) noexcept { gaps_.note(missing); }
  /// What is wrong at present, and what to do; empty: nothing is.
  const std::string& trouble() const noexcept { return trouble_; }

 protected:
  /// The lines of `batch` from `from` on are lost.
  void lose(const LogBatch& batch, size_t from, LogLoss cause) noexcept {
    for (size_t i = from; i < batch.lines.size(); ++i) {
      gaps_.note(batch.worker, cause, {1, batch.lines[i].unix_ns, batch.lines[i].unix_ns});
    }
    losses_.add(batch.worker, cause, batch.lines.size() - from);
  }
  /// Whether `period` is over; a clock that was set back starts it anew.
  static bool is_over(uint64_t since_unix_ns, std::chrono::nanoseconds period,
                      uint64_t now_unix_ns) noexcept {
    return now_unix_ns < since_unix_ns ||
           now_unix_ns - since_unix_ns >= static_cast<uint64_t>(period.count());
  }

  LogLosses& losses_;
  LogGaps gaps_;
  std::string trouble_;
};

/// While a loss goes on, each sink says so this often.
inline constexpr std::chrono::milliseconds kGapsSaidEvery{100};
inline constexpr std::chrono::seconds kTryAgainEvery{1};

}  // namespace sallyport
