#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sallyport {

/// "7 rules", "1 rule".
std::string count_text(uint64_t count, std::string_view singular, std::string_view plural);

/// "950 B", "12.3 KiB", "4.0 MiB".
std::string bytes_text(uint64_t bytes);

/// "12 ms", "3.4 s", "5 min 2 s", "3 h 12 min", "2 d 4 h".
std::string duration_text(uint64_t nanoseconds);

}  // namespace sallyport
