#include "dataplane/io/rule_hits.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <new>
#include <string_view>

namespace sallyport {
namespace {

/// Marks what changes for those that read it meanwhile.
class Rewrite {
 public:
  explicit Rewrite(std::atomic<uint64_t>& sequence) noexcept
      : sequence_(sequence), before_(sequence.load(std::memory_order_relaxed)) {
    sequence_.store(before_ + 1, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_release);
  }
  ~Rewrite() { sequence_.store(before_ + 2, std::memory_order_release); }
  Rewrite(const Rewrite&) = delete;
  Rewrite& operator=(const Rewrite&) = delete;

 private:
  std::atomic<uint64_t>& sequence_;
  const uint64_t before_;
};

void put(StatsRuleName& out, const RuleInfo& rule) noexcept {
  std::array<char, kStatsRuleNameBytes> text{};
  size_t at = 0;
  for (const std::string_view part : {rule.policy, std::string_view("/"), rule.name}) {
    at += part.copy(text.data() + at, text.size() - 1 - at);
  }
  for (size_t i = 0; i < out.size(); ++i) {
    uint64_t word = 0;
    std::memcpy(&word, text.data() + i * sizeof word, sizeof word);
    out[i].store(word, std::memory_order_relaxed);
  }
}

}  // namespace

void RuleHits::begin(uint64_t revision) noexcept {
  const Rewrite rewrite(head_->sequence);
  head_->revision.store(revision, std::memory_order_relaxed);
  for (size_t i = 0; i < kRulesCounted + kStatsMoreHits; ++i) {
    hits_[i].store(0, std::memory_order_relaxed);
  }
}

RuleTables::RuleTables(uint8_t* base) noexcept : base_(base) {
  for (size_t which = 0; which < 2; ++which) {
    uint8_t* at = base_ + which * stats_rule_table_bytes(kRulesCounted);
    new (at) StatsRuleTable;
    new (at + sizeof(StatsRuleTable)) StatsRuleName[kRulesCounted]();
  }
}

StatsRuleTable& RuleTables::table(size_t which) const noexcept {
  return *reinterpret_cast<StatsRuleTable*>(base_ + which * stats_rule_table_bytes(kRulesCounted));
}

void RuleTables::name(const PolicyTable& policy) noexcept {
  for (const size_t which : {newest_, 1 - newest_}) {
    if (table(which).revision.load(std::memory_order_relaxed) != policy.revision()) continue;
    newest_ = which;  // a new feed, or the policy before is put back
    return;
  }
  newest_ = 1 - newest_;
  StatsRuleTable& into = table(newest_);
  auto* names = reinterpret_cast<StatsRuleName*>(
      base_ + newest_ * stats_rule_table_bytes(kRulesCounted) + sizeof(StatsRuleTable));
  const Rewrite rewrite(into.sequence);
  into.revision.store(policy.revision(), std::memory_order_relaxed);
  into.rules.store(policy.rule_count(), std::memory_order_relaxed);
  const uint32_t named = std::min(policy.rule_count(), kRulesCounted);
  for (uint32_t i = 0; i < named; ++i) put(names[i], policy.rule(i));
}

}  // namespace sallyport
