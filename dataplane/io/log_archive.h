#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace sallyport {

/// The rotated files beside a log: names them, compresses them and removes the oldest, on a thread
/// of its own that yields to all others, since the log's writer must not wait. What a crash left
/// uncompressed is compressed at the next start, and what could not be compressed is tried again
/// every `retry`.
class LogArchive {
 public:
  /// @param path  Of the log that is written.
  LogArchive(std::string path, uint32_t keep, bool compress,
             std::chrono::milliseconds retry = std::chrono::minutes(1));
  /// A file that is being compressed stays as it was.
  ~LogArchive();
  LogArchive(const LogArchive&) = delete;
  LogArchive& operator=(const LogArchive&) = delete;

  /// Where to move the log at this time. Names sort by time, and each is behind all before it, even
  /// when the clock was set back. A file of that name is left alone until poke(): the log may still
  /// be written to it.
  std::string next_name(uint64_t unix_ns);
  /// What was rotated is written no more.
  void poke();

  /// Rotated files from the oldest to the newest, compressed or not.
  static std::vector<std::string> rotated(const std::string& path);

 private:
  void run();
  /// Waits for work. @return false if the end came instead.
  bool work_came();
  void remove_unfinished();
  /// @return whether there is nothing to try again.
  bool tidy();
  bool is_written(const std::string& file);
  bool compress_file(const std::string& from);
  bool copy_compressed(int in, int out);

  const std::string path_;
  const uint32_t keep_;
  const bool compress_;
  const std::chrono::milliseconds retry_;
  uint64_t last_micros_ = 0;  // of the newest name; the writer's alone
  std::mutex mutex_;
  std::condition_variable poked_;
  bool work_ = true;     // under mutex_; at first to look for what an earlier run left
  bool done_ = true;     // the thread's alone: nothing is to be tried again
  std::string written_;  // under mutex_: the name that was given out last, until poke()
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace sallyport
