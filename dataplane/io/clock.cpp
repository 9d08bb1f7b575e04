#include "dataplane/io/clock.h"

#include <rte_cycles.h>

#include <chrono>

namespace sallyport {

Clock::Clock() : start_tsc_(rte_rdtsc()), tsc_hz_(rte_get_tsc_hz()) {
  follow_wall_clock();
}

uint64_t Clock::monotonic_ns(uint64_t tsc) const noexcept {
  const uint64_t ticks = tsc - start_tsc_;
  // In two steps, so that the product does not wrap after a few seconds.
  constexpr uint64_t kNsPerSecond = 1'000'000'000;
  return ticks / tsc_hz_ * kNsPerSecond + ticks % tsc_hz_ * kNsPerSecond / tsc_hz_;
}

void Clock::follow_wall_clock() noexcept {
  const auto wall = static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch() /
                                          std::chrono::nanoseconds(1));
  unix_offset_ns_.store(wall - monotonic_ns(rte_rdtsc()), std::memory_order_relaxed);
}

Now Clock::now() const noexcept {
  const uint64_t tsc = rte_rdtsc();
  const uint64_t ns = monotonic_ns(tsc);
  return {.ms = static_cast<uint32_t>(ns / 1'000'000),
          .unix_ns = ns + unix_offset_ns_.load(std::memory_order_relaxed),
          .ns = ns,
          .ticks = tsc};
}

}  // namespace sallyport
