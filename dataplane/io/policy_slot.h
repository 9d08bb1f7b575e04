#pragma once

#include <rte_rcu_qsbr.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <vector>

#include "policy/runtime/table.h"

namespace sallyport {

/// A table and the number it has in this process.
struct ActivePolicy {
  std::unique_ptr<PolicyTable> table;
  uint32_t generation = 0;
  /// By their index in the table before this one, the rules that still are: their index in this.
  std::vector<uint32_t> rules_now;
};

/// The table every worker reads. One publisher (the control thread), many readers, no lock on the
/// read side.
class PolicySlot {
 public:
  explicit PolicySlot(unsigned workers);
  ~PolicySlot();
  PolicySlot(const PolicySlot&) = delete;
  PolicySlot& operator=(const PolicySlot&) = delete;

  /// Worker: before its first current(), and after its last.
  void join(unsigned worker) noexcept;
  void leave(unsigned worker) noexcept;

  /// Worker: the table in force, or nullptr when none ever was. Good until the calling worker's
  /// next quiescent().
  const ActivePolicy* current() const noexcept { return active_.load(std::memory_order_acquire); }
  /// Worker: no reference from current() outlives this call.
  void quiescent(unsigned worker) noexcept { rte_rcu_qsbr_quiescent(qsbr_, worker); }

  /// Control thread: puts `table` in force; nullptr is no policy, under which all is denied. The
  /// old one is freed once every worker has passed a burst boundary; a worker that does not within
  /// `patience` leaves it to a later call.
  /// @return whether every worker has let go of every older table.
  bool publish(std::unique_ptr<PolicyTable> table, std::chrono::milliseconds patience);

  /// Control thread: waits until every worker has passed a burst boundary.
  /// @return false: one did not within `patience`.
  bool wait_for_workers(std::chrono::milliseconds patience);

  uint32_t generation() const noexcept { return generation_; }

 private:
  struct Retired {
    std::unique_ptr<const ActivePolicy> policy;
    uint64_t token;
  };
  bool free_retired(std::chrono::milliseconds patience);

  std::atomic<const ActivePolicy*> active_{nullptr};
  rte_rcu_qsbr* qsbr_ = nullptr;
  uint32_t generation_ = 0;       // control thread only
  std::vector<Retired> retired_;  // control thread only
};

}  // namespace sallyport
