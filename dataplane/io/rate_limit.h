#pragma once

#include <algorithm>
#include <cstdint>

namespace sallyport {

/// A token bucket on the worker's own clock. Belongs to one worker.
class RateLimit {
 public:
  /// @param per_second  At least 1 and at most 1,000,000; as many may come at once.
  constexpr explicit RateLimit(uint32_t per_second) noexcept
      : per_second_(per_second), thousandths_(uint64_t{per_second} * 1000) {}

  /// Whether one more may go, at `now_ms` of a clock that may wrap.
  constexpr bool take(uint32_t now_ms) noexcept {
    const uint64_t full = uint64_t{per_second_} * 1000;
    thousandths_ = std::min(full, thousandths_ + uint64_t{now_ms - last_ms_} * per_second_);
    last_ms_ = now_ms;
    if (thousandths_ < 1000) return false;
    thousandths_ -= 1000;
    return true;
  }

 private:
  uint32_t per_second_;
  uint32_t last_ms_ = 0;
  uint64_t thousandths_;
};

}  // namespace sallyport
