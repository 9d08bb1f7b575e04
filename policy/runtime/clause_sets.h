#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "policy/runtime/set_view.h"

namespace sallyport {

inline constexpr uint32_t kNoClause = UINT32_MAX;

/// A union of any number of sets, in memory sized for the whole table beforehand. Belongs to one
/// worker. Costs what the sets added hold, not what the table holds.
class ClauseUnion {
 public:
  ClauseUnion() = default;
  explicit ClauseUnion(uint32_t clauses)
      : words_((clauses + 63) / 64), summaries_((words_.size() + 63) / 64) {}

  void clear() noexcept {
    for (uint32_t i = first_; i < end_; ++i) {
      for (uint64_t bits = summaries_[i]; bits != 0; bits &= bits - 1) {
        words_[i * 64 + static_cast<uint32_t>(std::countr_zero(bits))] = 0;
      }
      summaries_[i] = 0;
    }
    first_ = end_ = 0;
  }

  void add(SetView set) noexcept {
    if (set.first() == set.end()) return;
    first_ = first_ == end_ ? set.first() : std::min(first_, set.first());
    end_ = std::max(end_, set.end());
    for (uint32_t i = set.first(); i < set.end(); ++i) {
      const uint64_t bits = set.summary(i);
      summaries_[i] |= bits;
      for (uint64_t left = bits; left != 0; left &= left - 1) {
        const uint32_t w = i * 64 + static_cast<uint32_t>(std::countr_zero(left));
        words_[w] |= set.word(w);
      }
    }
  }

  uint32_t first() const noexcept { return first_; }
  uint32_t end() const noexcept { return end_; }
  uint64_t summary(uint32_t i) const noexcept { return i < summaries_.size() ? summaries_[i] : 0; }
  uint64_t word(uint32_t w) const noexcept { return w < words_.size() ? words_[w] : 0; }

 private:
  std::vector<uint64_t> words_;
  std::vector<uint64_t> summaries_;
  uint32_t first_ = 0;
  uint32_t end_ = 0;
};

/// The clauses that one dimension of a flow satisfies: the union of a few sets, of an intersection
/// of a few, and of what went into `spill` for want of room.
class Dimension {
 public:
  void add(SetView set) noexcept {
    if (set.first() == set.end()) return;  // The empty set.
    if (count_ == kMaxParts) {
      spill_->add(set);
      spilled_ = true;
      widen(spill_->first(), spill_->end());
      return;
    }
    widen(set.first(), set.end());
    parts_[count_++] = set;
  }

  /// Where sets go once there are more than a few; cleared here. Without it, no more than
  /// kMaxParts may be added.
  void use_spill(ClauseUnion& spill) noexcept {
    spill.clear();
    spill_ = &spill;
  }

  /// Narrows the intersection that is part of the union. False when there is no room.
  [[nodiscard]] bool intersect(SetView set) noexcept {
    if (common_count_ == kMaxParts) return false;
    if (common_count_ == 0) widen(set.first(), set.end());
    common_[common_count_++] = set;
    return true;
  }
  void drop_intersection() noexcept { common_count_ = 0; }

  uint32_t first() const noexcept { return first_; }
  uint32_t end() const noexcept { return end_; }

  uint64_t summary(uint32_t i) const noexcept {
    return combine([i](const auto& set) { return set.summary(i); });
  }
  uint64_t word(uint32_t w) const noexcept {
    return combine([w](const auto& set) { return set.word(w); });
  }
  bool contains(uint32_t clause) const noexcept {
    return (word(clause / 64) >> (clause % 64) & 1) != 0;
  }

  static constexpr unsigned kMaxParts = 8;

 private:
  void widen(uint32_t first, uint32_t end) noexcept {
    first_ = first_ == end_ ? first : std::min(first_, first);
    end_ = std::max(end_, end);
  }

  template <typename Bits>
  uint64_t combine(Bits bits_of) const noexcept {
    uint64_t bits = 0;
    for (unsigned part = 0; part < count_; ++part) bits |= bits_of(parts_[part]);
    if (common_count_ > 0) {
      uint64_t common = ~uint64_t{0};
      for (unsigned part = 0; part < common_count_; ++part) common &= bits_of(common_[part]);
      bits |= common;
    }
    if (spilled_) bits |= bits_of(*spill_);
    return bits;
  }

  std::array<SetView, kMaxParts> parts_;
  std::array<SetView, kMaxParts> common_;
  unsigned count_ = 0;
  unsigned common_count_ = 0;
  uint32_t first_ = 0;
  uint32_t end_ = 0;
  bool spilled_ = false;
  ClauseUnion* spill_ = nullptr;
};

using Dimensions = std::span<const Dimension* const>;

/// The first clause in [from, end) that is in every dimension, or kNoClause. Quickest when those
/// that tell most apart come first.
inline uint32_t first_common(Dimensions dimensions, uint32_t from, uint32_t end) noexcept {
  constexpr uint32_t kClausesPerSummary = 64 * 64;
  uint32_t first_summary = from / kClausesPerSummary;
  uint32_t end_summary = (end + kClausesPerSummary - 1) / kClausesPerSummary;
  for (const Dimension* dimension : dimensions) {
    first_summary = std::max(first_summary, dimension->first());
    end_summary = std::min(end_summary, dimension->end());
  }
  for (uint32_t i = first_summary; i < end_summary; ++i) {
    uint64_t summary = ~uint64_t{0};
    for (const Dimension* dimension : dimensions) {
      summary &= dimension->summary(i);
      if (summary == 0) break;
    }
    for (; summary != 0; summary &= summary - 1) {
      const uint32_t w = i * 64 + static_cast<uint32_t>(std::countr_zero(summary));
      if (w < from / 64) continue;
      uint64_t word = w == from / 64 ? ~uint64_t{0} << (from % 64) : ~uint64_t{0};
      for (const Dimension* dimension : dimensions) {
        word &= dimension->word(w);
        if (word == 0) break;
      }
      if (word == 0) continue;
      const uint32_t clause = w * 64 + static_cast<uint32_t>(std::countr_zero(word));
      return clause < end ? clause : kNoClause;
    }
  }
  return kNoClause;
}

}  // namespace sallyport
