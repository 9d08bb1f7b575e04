#include "control/cli/text_table.h"

#include <spdlog/fmt/fmt.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "control/cli/commands.h"

namespace sallyport {

void print_error(const std::string& what) {
  fmt::print(stderr, "sallyport: error: {}\n", what);
}

Format format_of_output(const CliOptions& options) {
  if (options.asked_format) return *options.asked_format;
  return ::isatty(STDOUT_FILENO) == 1 ? Format::text : Format::json;
}

std::string align(const std::vector<std::vector<std::string>>& rows,
                  const std::vector<bool>& numbers) {
  std::vector<size_t> widths(numbers.size(), 0);
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string out;
  for (size_t r = 0; r < rows.size(); ++r) {
    std::string line;
    for (size_t i = 0; i < rows[r].size(); ++i) {
      if (i != 0) line += "  ";
      const std::string& cell = rows[r][i];
      line += numbers[i] ? fmt::format("{:>{}}", cell, widths[i])
                         : fmt::format("{:<{}}", cell, widths[i]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += (r == 0 ? coloured(line, "1") : line) + "\n";
  }
  return out;
}

bool colours_wanted(int fd) {
  return ::isatty(fd) == 1 && std::getenv("NO_COLOR") == nullptr;
}

std::string coloured(std::string_view text, std::string_view sgr) {
  if (!colours_wanted(STDOUT_FILENO)) return std::string(text);
  return fmt::format("\x1b[{}m{}\x1b[0m", sgr, text);
}

}  // namespace sallyport
