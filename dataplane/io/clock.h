#pragma once

#include <atomic>
#include <cstdint>

namespace sallyport {

/// One reading of the clock; a whole burst sees the same.
struct Now {
  uint32_t ms = 0;       ///< Monotonic, wraps after 49 days: compare by difference only.
  uint64_t unix_ns = 0;  ///< Wall clock, for records.
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
  uint64_t monotonic_ns() const noexcept;

  uint64_t start_tsc_ = 0;
  uint64_t tsc_hz_ = 1;
  std::atomic<uint64_t> unix_offset_ns_{0};  // written by the control thread, read by workers
};

}  // namespace sallyport
