#include "control/top/top_screen.h"

#include <algorithm>

namespace sallyport {

void Screen::put(size_t row, size_t column, std::string_view text, Emphasis emphasis) {
  if (row >= height() || column >= width()) return;
  const size_t length = std::min(text.size(), width() - column);
  std::transform(text.begin(), text.begin() + static_cast<ptrdiff_t>(length),
                 lines[row].begin() + static_cast<ptrdiff_t>(column),
                 [](char byte) { return byte < 0x20 || byte > 0x7e ? '?' : byte; });
  if (emphasis != Emphasis::none && length != 0) {
    stretches.push_back({.row = row, .column = column, .length = length, .emphasis = emphasis});
  }
}

std::string Screen::text() const {
  std::string out;
  for (const std::string& line : lines) {
    out += line.substr(0, line.find_last_not_of(' ') + 1);
    out += '\n';
  }
  return out;
}

}  // namespace sallyport
