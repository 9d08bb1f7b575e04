#pragma once

#include <atomic>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "dataplane/io/eve_text.h"
#include "dataplane/io/flow_event.h"
#include "dataplane/io/log_lane.h"
#include "dataplane/io/log_options.h"
#include "dataplane/io/policy_names.h"

namespace sallyport {

/// One worker's side of the log.
struct LogSource {
  FlowEventRing* ring = nullptr;
  unsigned core = 0;  ///< lcore id, for records.
};

/// Writes the workers' events as NDJSON to a file and a collector: one thread makes lines, and each
/// sink has its own. A slow, full, dead or stuck sink costs its lines, never packets nor the other
/// sink's; each loss is counted, and said in the log itself.
class FlowLog {
 public:
  /// Opens the sinks and starts the threads.
  /// @param path  Of the file: paths.flow_log.
  /// @return the log, or what is wrong in one line.
  static std::expected<std::unique_ptr<FlowLog>, std::string> start(const std::string& path,
                                                                    const LogOptions& options,
                                                                    std::vector<LogSource> sources,
                                                                    const PolicyNames& names);
  /// See end().
  ~FlowLog();
  FlowLog(const FlowLog&) = delete;
  FlowLog& operator=(const FlowLog&) = delete;

  /// The file was moved away: opens its path anew, between two lines. Any thread.
  void reopen() noexcept { reopen_.store(true, std::memory_order_release); }
  /// From now until end(), calls `watcher` on the log's thread at each of its turns, with the Unix
  /// time at which the slowest of the writers last turned: one that hangs is seen by it.
  void watch(std::function<void(uint64_t turned_unix_ns)> watcher);
  /// Writes what is left in the rings, and ends the threads, within a second and a bit.
  /// @return false: a sink hangs. Its thread is left behind until the process ends, and what waited
  /// for it is counted as lost.
  bool end();
  /// Events that left their ring and reached no sink. Any thread. Those of ring_full are counted
  /// by the workers.
  const LogLosses& losses() const noexcept { return *losses_; }

 private:
  FlowLog(std::vector<LogSource> sources, const PolicyNames& names, bool holds_back);
  void run();
  void add_sink(std::string name, std::unique_ptr<LogSink> sink);
  bool has_room() const;
  bool drain(bool holds_back);
  std::shared_ptr<const LogBatch> take_batch(size_t worker);
  void note_full_rings();
  void report();
  void tell_watcher();

  std::vector<LogSource> sources_;
  const std::vector<unsigned> cores_;
  const bool holds_back_;
  const std::shared_ptr<LogLosses> losses_;
  std::vector<std::unique_ptr<LogLane>> lanes_;
  EveText eve_;
  FlowEvent event_;
  std::vector<std::string> reported_;  // trouble of each lane, as it was last logged
  std::vector<uint64_t> reported_ns_;
  std::atomic<bool> stop_{false};
  std::atomic<bool> reopen_{false};
  std::mutex watcher_mutex_;
  std::function<void(uint64_t)> watcher_;
  std::thread thread_;
};

}  // namespace sallyport
