#include "policy/runtime/set_pool.h"

#include <bit>

namespace sallyport {

void SetPool::append(std::span<const uint32_t> clauses, Set& set) {
  constexpr uint32_t kClausesPerSummary = 64 * 64;
  set = {static_cast<uint32_t>(summaries_.size()), 0, 0};
  if (clauses.empty()) return;
  set.first = clauses.front() / kClausesPerSummary;
  set.count = clauses.back() / kClausesPerSummary - set.first + 1;
  summaries_.resize(summaries_.size() + set.count);
  size_t at = 0;
  for (uint32_t i = 0; i < set.count; ++i) {
    Summary& summary = summaries_[set.summary + i];
    summary.words = static_cast<uint32_t>(words_.size());
    for (; at < clauses.size() && clauses[at] / kClausesPerSummary == set.first + i; ++at) {
      const uint64_t bit = uint64_t{1} << (clauses[at] / 64 % 64);
      if ((summary.bits & bit) == 0) words_.push_back(0);
      summary.bits |= bit;
      words_.back() |= uint64_t{1} << (clauses[at] % 64);
    }
  }
}

uint64_t SetPool::hash(const Set& set) const noexcept {
  uint64_t out = set.first;
  const auto mix = [&out](uint64_t value) {
    out = (out ^ value) * 0x9e3779b97f4a7c15;
    out ^= out >> 29;
  };
  for (uint32_t i = 0; i < set.count; ++i) {
    const Summary& summary = summaries_[set.summary + i];
    mix(summary.bits);
    for (int w = 0; w < std::popcount(summary.bits); ++w) {
      mix(words_[summary.words + static_cast<uint32_t>(w)]);
    }
  }
  return out;
}

bool SetPool::equal(const Set& a, const Set& b) const noexcept {
  if (a.first != b.first || a.count != b.count) return false;
  for (uint32_t i = 0; i < a.count; ++i) {
    const Summary& x = summaries_[a.summary + i];
    const Summary& y = summaries_[b.summary + i];
    if (x.bits != y.bits) return false;
    for (int w = 0; w < std::popcount(x.bits); ++w) {
      const auto offset = static_cast<uint32_t>(w);
      if (words_[x.words + offset] != words_[y.words + offset]) return false;
    }
  }
  return true;
}

uint32_t SetPool::add(std::span<const uint32_t> clauses) {
  if (full()) return 0;
  const size_t words = words_.size();
  const size_t summaries = summaries_.size();
  Set set;
  append(clauses, set);
  const uint64_t key = hash(set);
  const auto [first, last] = by_hash_.equal_range(key);
  for (auto it = first; it != last; ++it) {
    if (!equal(sets_[it->second], set)) continue;
    words_.resize(words);
    summaries_.resize(summaries);
    return it->second;
  }
  const auto index = static_cast<uint32_t>(sets_.size());
  sets_.push_back(set);
  by_hash_.emplace(key, index);
  return index;
}

}  // namespace sallyport
