#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sallyport {

/// How a stretch of text stands out. Whatever it says is in its words, too.
enum class Emphasis : uint8_t {
  none,
  title,     ///< Headings.
  good,      ///< "running".
  alarm,     ///< What an operator has to look at.
  selected,  ///< The row that the cursor stands on; it begins with '>' besides.
  quiet,     ///< What is 0, and hints.
};

struct ScreenStretch {
  size_t row = 0;
  size_t column = 0;
  size_t length = 0;
  Emphasis emphasis{};
};

/// One picture of a terminal, as text: printable ASCII, each line as wide as the terminal.
struct Screen {
  Screen(size_t height, size_t width) : lines(height, std::string(width, ' ')) {}

  size_t height() const { return lines.size(); }
  size_t width() const { return lines.empty() ? 0 : lines[0].size(); }
  /// Writes over what is there. What does not fit is left out.
  void put(size_t row, size_t column, std::string_view text, Emphasis emphasis = Emphasis::none);
  /// The lines without the spaces at their ends, joined by newlines.
  std::string text() const;

  std::vector<std::string> lines;
  std::vector<ScreenStretch> stretches;  ///< In the order in which they were put.
};

}  // namespace sallyport
