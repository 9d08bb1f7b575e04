#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "policy/runtime/measuring.h"
#include "policy/runtime/rule_name.h"
#include "policy/runtime/stats_layout.h"
#include "policy/runtime/table.h"

namespace sallyport {

/// For so many rules of a policy there are names and hits in the stats segment.
inline constexpr uint32_t kRulesCounted = 4096;
/// What hits take of a core's slots.
inline constexpr size_t kRuleHitSlots =
    sizeof(StatsHits) / sizeof(std::atomic<uint64_t>) + kRulesCounted + kStatsMoreHits;
static_assert(2 * kMaxRuleNameBytes + sizeof("/") <= kStatsRuleNameBytes);

/// How often each rule has decided on one core: the core's part of the stats segment. Only the core
/// writes, without waiting for anyone.
class RuleHits {
 public:
  /// @param slots  kRuleHitSlots of them, in a segment.
  explicit RuleHits(std::atomic<uint64_t>* slots) noexcept
      : head_(reinterpret_cast<StatsHits*>(slots)),
        hits_(slots + sizeof(StatsHits) / sizeof(std::atomic<uint64_t>)) {}

  /// The verdicts from now on are those of another policy.
  void begin(uint64_t revision) noexcept;

  /// `rule`: its index, or kNoRule.
  void add(uint32_t rule) noexcept {
    if constexpr (!kMeasures) return;
    size_t slot = rule;
    if (rule >= kRulesCounted) {
      slot = kRulesCounted + (rule == kNoRule ? kStatsNoRule : kStatsOtherRules);
    }
    hits_[slot].store(hits_[slot].load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }

 private:
  StatsHits* head_;
  std::atomic<uint64_t>* hits_;
};

/// What the rules are called, for the readers of the stats segment: its two rule tables. Control
/// thread only.
class RuleTables {
 public:
  /// Makes them at `base`: 2 * stats_rule_table_bytes(kRulesCounted).
  explicit RuleTables(uint8_t* base) noexcept;

  /// Before `policy` is put in force. The names of the one put in force before it stay.
  void name(const PolicyTable& policy) noexcept;

 private:
  StatsRuleTable& table(size_t which) const noexcept;

  uint8_t* base_;
  size_t newest_ = 0;
};

}  // namespace sallyport
