#pragma once

#include <chrono>
#include <cstdint>

namespace sallyport {

/// The wall clock, for those that may ask the kernel: the log's threads.
inline uint64_t unix_now_ns() noexcept {
  return static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch() /
                               std::chrono::nanoseconds(1));
}

}  // namespace sallyport
