#pragma once

#include <atomic>
#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "dataplane/io/eve_text.h"
#include "dataplane/io/flow_event.h"
#include "dataplane/io/log_options.h"
#include "dataplane/io/log_sink.h"
#include "dataplane/io/policy_names.h"

namespace sallyport {

/// One worker's side of the log.
struct LogSource {
  FlowEventRing* ring = nullptr;
  unsigned core = 0;  ///< lcore id, for records.
};

/// Writes the workers' events as NDJSON to a file and a collector, on a thread of its own. A slow,
/// full or dead sink costs lines, never packets; each loss is counted, and said in the log itself.
class FlowLog {
 public:
  /// Opens the sinks and starts the thread.
  /// @param path  Of the file: paths.flow_log.
  /// @return the log, or what is wrong in one line.
  static std::expected<std::unique_ptr<FlowLog>, std::string> start(const std::string& path,
                                                                    const LogOptions& options,
                                                                    std::vector<LogSource> sources,
                                                                    const PolicyNames& names);
  /// Writes what is left in the rings, then ends the thread.
  ~FlowLog();
  FlowLog(const FlowLog&) = delete;
  FlowLog& operator=(const FlowLog&) = delete;

  /// The file was moved away: opens its path anew, between two lines. Any thread.
  void reopen() noexcept { reopen_.store(true, std::memory_order_release); }
  /// Where the writer puts the Unix time in nanoseconds at each of its turns, from now on: whoever
  /// looks sees whether it is alive. `heartbeat` outlives the log. Any thread.
  void beat_at(std::atomic<uint64_t>& heartbeat) noexcept {
    heartbeat_.store(&heartbeat, std::memory_order_release);
  }
  /// Events that reached the writer and not their sink. Any thread. Those of ring_full are counted
  /// by the workers.
  const LogLosses& losses() const noexcept { return losses_; }

 private:
  FlowLog(std::vector<LogSource> sources, const PolicyNames& names);
  void run();
  bool drain();
  bool take_batch(size_t worker);
  void note_full_rings();
  void report();
  void beat() noexcept;

  std::vector<LogSource> sources_;
  LogLosses losses_;
  std::vector<std::unique_ptr<LogSink>> sinks_;
  EveText eve_;
  FlowEvent event_;
  LogBatch batch_;
  std::vector<std::string> reported_;  // trouble of each sink, as it was last logged
  std::vector<uint64_t> reported_ns_;
  std::atomic<bool> stop_{false};
  std::atomic<bool> reopen_{false};
  std::atomic<std::atomic<uint64_t>*> heartbeat_{nullptr};
  std::thread thread_;
};

}  // namespace sallyport
