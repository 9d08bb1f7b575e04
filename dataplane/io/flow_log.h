#pragma once

#include <atomic>
#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "dataplane/io/flow_event.h"
#include "dataplane/io/policy_names.h"

namespace sallyport {

/// Writes the workers' events to a file as NDJSON, on a thread of its own. A slow or full disk
/// costs lines, never packets.
class FlowLog {
 public:
  /// Opens `path` for appending (created with mode 0640) and starts the thread.
  /// @return the log, or what is wrong in one line.
  static std::expected<std::unique_ptr<FlowLog>, std::string> start(
      const std::string& path, std::vector<FlowEventRing*> rings, const PolicyNames& names);
  /// Writes what is left in the rings, then ends the thread.
  ~FlowLog();
  FlowLog(const FlowLog&) = delete;
  FlowLog& operator=(const FlowLog&) = delete;

  /// Lines that could not be written. Any thread.
  uint64_t lost() const noexcept { return lost_.load(std::memory_order_relaxed); }

 private:
  FlowLog(int fd, std::vector<FlowEventRing*> rings, const PolicyNames& names);
  void run();
  bool drain();
  void write_all(const std::string& text, uint64_t lines);

  int fd_;
  std::vector<FlowEventRing*> rings_;
  const PolicyNames& names_;
  std::vector<FlowEvent> batch_;
  std::atomic<bool> stop_{false};
  std::atomic<uint64_t> lost_{0};
  std::thread thread_;
};

}  // namespace sallyport
