#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "policy/runtime/budget_state.h"

namespace sallyport {

/// Writes the budgets' counts to their file, in a thread of its own: a disk that hangs holds up
/// nothing else. One snapshot waits at a time, the newest.
class BudgetWriter {
 public:
  /// Puts `text` in the place of the file. @return 0 or errno.
  using Replace = std::function<int(const std::string& path, const std::string& text)>;

  /// @param path  Of the file; what stands there is replaced whole, or not at all.
  explicit BudgetWriter(std::string path, Replace replace = replace_file);
  ~BudgetWriter() { finish(); }
  BudgetWriter(const BudgetWriter&) = delete;
  BudgetWriter& operator=(const BudgetWriter&) = delete;

  /// Never waits for the disk. Counts as they are in the file already are not written again.
  void put(std::vector<BudgetCount> counts, int64_t now);
  /// Writes what was put last, and ends the thread. Waits for the disk. Nothing may be put after.
  void finish();

  /// Times the file could not be written.
  uint64_t failures() const noexcept { return failures_.load(std::memory_order_relaxed); }
  /// How long the file has lacked something that was put: 0 when it is whole.
  uint32_t behind_seconds(int64_t now) const;

  static int replace_file(const std::string& path, const std::string& text);

 private:
  struct Snapshot {
    std::vector<BudgetCount> counts;
    int64_t at = 0;
  };

  void run();
  bool write(const Snapshot& snapshot);

  const std::string path_;
  const Replace replace_;
  std::string written_;   // what the file holds; the thread's
  bool failing_ = false;  // the thread's
  std::atomic<uint64_t> failures_ = 0;
  mutable std::mutex mutex_;  // over what follows
  std::condition_variable wake_;
  std::optional<Snapshot> waiting_;
  std::optional<int64_t> behind_since_;
  bool ending_ = false;
  std::thread thread_;  // last: it uses all the rest
};

}  // namespace sallyport
