#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "policy/runtime/budget_state.h"
#include "policy/runtime/ip_address.h"
#include "policy/runtime/rule.h"

namespace sallyport {

/// A place in the ledger, and which of the keys that were ever there it stands for.
using BudgetHandle = uint32_t;
inline constexpr BudgetHandle kNoBudget = UINT32_MAX;

/// What is counted together. The names, and not the table they come from: a count outlives a push.
struct BudgetKey {
  std::string_view policy;
  std::string_view rule;
  uint32_t window_seconds = 0;
  BudgetScope scope = BudgetScope::rule;
  IpAddress source;         ///< Scope source, or subject without labels; else all zero.
  std::string_view labels;  ///< Scope subject: PolicyTable::labels_of().
};

/// One budget of a rule as its worker knows it.
struct BudgetTerms {
  uint64_t limit = 0;
  uint32_t window_seconds = 1;
};

/// What each budget has let out in its window, shared by all workers. They take bytes from it in
/// leases, before they send: so no more than the limit ever leaves, whatever they do at the same
/// time. Windows are [n × length, (n + 1) × length) of Unix time. Bounded: entries are never made
/// beyond a number given once. Atomics only; nothing waits.
///
/// Any worker: open, find, take, take_over, left and give_back. All else is the control thread's.
class BudgetLedger {
 public:
  static constexpr uint32_t kMostEntries = 1u << 19;
  /// So much at most is one worker ever ahead of what it has sent, for one budget.
  static constexpr uint64_t kLargestLease = uint64_t{64} * 1024;
  /// No budget counts beyond; a larger one is held to it.
  static constexpr uint64_t kMostBytes = (uint64_t{1} << 53) - 1;

  /// @param entries  At most kMostEntries.
  /// @param seed     Secret: whoever knows it can make keys share a count.
  BudgetLedger(uint32_t entries, unsigned workers, uint64_t seed);

  /// How many places there are: what BudgetMeter keeps for each.
  uint32_t places() const noexcept { return mask_ + 1; }
  static uint32_t place_of(BudgetHandle handle) noexcept { return handle & (kMostPlaces - 1); }
  static uint32_t generation_of(BudgetHandle handle) noexcept { return handle / kMostPlaces; }

  /// Finds the count of `key`, or begins it. @return kNoBudget: there is no room. Or, hardly ever,
  /// the control thread stood still in the middle of freeing entries.
  BudgetHandle open(const BudgetKey& key, uint64_t limit) noexcept;

  struct Lease {
    uint64_t bytes = 0;  ///< 0: `least` is not left.
    int64_t until = 0;   ///< Unix seconds: the end of its window.
    bool stale = false;  ///< The handle's entry is gone: open() it again.
  };
  /// Takes `least` bytes, or more where plenty is left.
  Lease take(BudgetHandle handle, const BudgetTerms& terms, int64_t now, uint64_t least) noexcept;
  /// Counts bytes beyond the limit: audit lets them out.
  /// @return false when the handle is stale.
  bool take_over(BudgetHandle handle, const BudgetTerms& terms, int64_t now,
                 uint64_t bytes) noexcept;
  /// What is left of the window that `now` is in. All of it for a stale handle: its entry went
  /// because it had nothing to count.
  uint64_t left(BudgetHandle handle, const BudgetTerms& terms, int64_t now) const noexcept;
  /// Puts back what a lease did not use. Nothing when its window is over.
  void give_back(BudgetHandle handle, const BudgetTerms& terms, const Lease& lease) noexcept;

  uint32_t entries() const noexcept { return live_.load(std::memory_order_relaxed); }
  /// Whether open() could begin a count now.
  bool has_room() const noexcept { return entries() < most_; }
  bool crowded() const noexcept { return entries() >= most_ / 4 * 3; }

  /// Begins a count where a file left it; one whose window is over is passed over.
  /// @return false when there is no room.
  bool restore(const BudgetCount& count, int64_t now) noexcept;
  /// Every count that is not zero in its present window.
  std::vector<BudgetCount> snapshot(int64_t now) const;
  /// Zeroes the counts of windows that are over, so that window numbers never wrap unnoticed. To be
  /// called at least once in 500 of the shortest windows.
  void roll(int64_t now) noexcept;
  /// Frees entries of windows that are over. Counts go on, and others may begin, meanwhile.
  /// @param all_passed  Waits until no worker can be in a call that it began before; false: not
  /// yet.
  void collect(int64_t now, const std::function<bool()>& all_passed);

 private:
  static constexpr uint32_t kMostPlaces = 2 * kMostEntries;
  static constexpr uint32_t kGenerations = 1u << 12;

  /// A cache line each: workers meet on those of one budget only.
  struct alignas(64) Place {
    std::atomic<uint64_t> tag{0};  ///< Hash of the key; kFree, or kFreed: passed over in search.
    std::atomic<uint64_t> account{0};  ///< Window number and bytes: see budget_ledger.cpp.
    std::atomic<uint64_t> limit{0};    ///< To be shown.
    std::atomic<uint32_t> generation{0};
    std::atomic<bool> described{false};  ///< `descriptions_` of it is whole.
  };
  struct Description {
    std::array<char, 64> policy{};
    std::array<char, 64> rule{};
    std::array<char, kMostBudgetLabelsBytes + 1> labels{};
    IpAddress source;
    uint32_t window_seconds = 1;
    BudgetScope scope{};
  };

  uint64_t tag_of(const BudgetKey& key) const noexcept;
  enum class Begin : uint8_t { begun, full, not_now };
  uint32_t find(uint64_t tag) const noexcept;
  Begin begin(uint64_t tag, const BudgetKey& key) noexcept;
  Begin insert(uint64_t tag, const BudgetKey& key) noexcept;
  void describe(uint32_t place, const BudgetKey& key) noexcept;
  BudgetHandle handle_of(uint32_t place) const noexcept;
  bool is_stale(BudgetHandle handle, uint64_t account) const noexcept;
  void kill(int64_t now);
  bool close() noexcept;
  void free_dying() noexcept;
  void free_place(uint32_t place) noexcept;

  const uint32_t most_;
  const unsigned workers_;
  const uint64_t seed_;
  uint32_t mask_ = 0;
  std::unique_ptr<Place[]> places_;
  std::unique_ptr<Description[]> descriptions_;
  std::atomic<uint32_t> live_{0};
  std::atomic<bool> closed_{false};     // by the control thread: no worker may begin a count
  std::atomic<uint32_t> beginning_{0};  // workers that do
  std::vector<uint32_t> dying_;         // control thread only
};

}  // namespace sallyport
