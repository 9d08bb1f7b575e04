#pragma once

#include <image_generated.h>

#include <algorithm>
#include <bit>
#include <cstdint>

namespace sallyport {

/// One compressed set of clauses in a verified image. Two loads tell whether a word of it is zero,
/// so an intersection touches only words that every set has.
class SetView {
 public:
  SetView() = default;
  SetView(const fb::Set& set, const fb::Summary* summaries, const uint64_t* words) noexcept
      : summaries_(summaries + set.summary()),
        words_(words),
        first_(set.first()),
        count_(set.count()) {}

  uint32_t first() const noexcept { return first_; }
  uint32_t end() const noexcept { return first_ + count_; }

  /// Which of words 64 * i … 64 * i + 63 are not zero.
  uint64_t summary(uint32_t i) const noexcept {
    const uint32_t at = i - first_;  // Wraps below first_, and so is out of range too.
    return at < count_ ? summaries_[at].bits() : 0;
  }

  uint64_t word(uint32_t w) const noexcept {
    const uint32_t at = w / 64 - first_;
    if (at >= count_) return 0;
    const uint64_t bits = summaries_[at].bits();
    const uint64_t bit = uint64_t{1} << (w % 64);
    if ((bits & bit) == 0) return 0;
    return words_[summaries_[at].words() + static_cast<uint32_t>(std::popcount(bits & (bit - 1)))];
  }

 private:
  // Not initialised: decide() keeps arrays of these and fills only what it uses.
  const fb::Summary* summaries_;
  const uint64_t* words_;
  uint32_t first_;
  uint32_t count_;
};

}  // namespace sallyport
