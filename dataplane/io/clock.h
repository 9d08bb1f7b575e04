#pragma once

#include <atomic>
#include <cstdint>

namespace sallyport {

/// One reading of the clock; a whole burst sees the same.
struct Now {
  uint32_t ms = 0;       ///< Monotonic, wraps after 49 days: compare by difference only.
  uint64_t unix_ns = 0;  ///< Wall clock, for records.
  uint64_t ns = 0;       ///< The monotonic clock of `ms`, finer; it does not wrap.
  uint64_t ticks = 0;    ///< Of the CPU's counter, for what is measured; 0: nothing is.
};

/// Turns ticks of the CPU's counter into nanoseconds, for times of up to an hour.
class TickScale {
 public:
  explicit TickScale(uint64_t hz) noexcept : scaled_ns_((uint64_t{1'000'000'000} << kBits) / hz) {}
  uint64_t ns(uint64_t ticks) const noexcept { return ticks * scaled_ns_ >> kBits; }

 private:
  static constexpr unsigned kBits = 20;
  uint64_t scaled_ns_;  ///< Of a tick, in units of 2^-kBits.
};

/// Turns the CPU's time-stamp counter into time. Workers read, the control thread corrects the wall
/// clock's offset now and then, so that records follow NTP.
class Clock {
 public:
  Clock();

  Now now() const noexcept;
  /// Control thread only.
  void follow_wall_clock() noexcept;

 private:
  uint64_t monotonic_ns(uint64_t tsc) const noexcept;

  uint64_t start_tsc_ = 0;
  uint64_t tsc_hz_ = 1;
  std::atomic<uint64_t> unix_offset_ns_{0};  // written by the control thread, read by workers
};

}  // namespace sallyport
