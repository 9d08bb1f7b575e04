#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sallyport {

/// Columns aligned with spaces. The first row is the header; column 0 is left-aligned, and so are
/// the others unless `numbers` says that they hold numbers.
std::string align(const std::vector<std::vector<std::string>>& rows,
                  const std::vector<bool>& numbers);

/// True when the open file is a terminal that wants colours (NO_COLOR unset).
bool colours_wanted(int fd);

/// `text` in an SGR colour ("31" red, "32" green, "1" bold) when standard output wants colours.
std::string coloured(std::string_view text, std::string_view sgr);

/// "7 rules", "1 rule".
std::string count_text(uint64_t count, std::string_view singular, std::string_view plural);

/// "950 B", "12.3 KiB", "4.0 MiB".
std::string bytes_text(uint64_t bytes);

/// "12 ms", "3.4 s", "5 min 2 s", "3 h 12 min", "2 d 4 h".
std::string duration_text(uint64_t nanoseconds);

}  // namespace sallyport
