#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace sallyport {

/// One code point of UTF-8 text, or one byte that is none.
struct CodePoint {
  char32_t value = 0;  ///< The byte itself where `valid` is false.
  unsigned bytes = 1;
  bool valid = true;
};

/// The code point that starts at text[at]; `at` is below text.size().
CodePoint code_point_at(std::string_view text, size_t at) noexcept;

/// C0 (tab, line feed and carriage return, too), DEL and C1: what a terminal obeys.
bool is_control(char32_t c) noexcept;
/// Embeddings, overrides and isolates, which show text in another order than it is read in.
bool is_direction_control(char32_t c) noexcept;

/// Columns that a terminal gives the code point: 0 for combining marks, 2 for wide East Asian
/// characters and emoji, else 1.
unsigned terminal_cells(char32_t c) noexcept;

/// One code point as printable() shows it.
std::string printable(std::string_view text, size_t at, const CodePoint& point);

/// `text` on one line, safe to send to a terminal: control characters, invisible and direction
/// characters and bytes that are not UTF-8 are spelled out, as \n, \x1b or \u{202e}.
std::string printable(std::string_view text);

/// `text`, or when it is longer its first `max_bytes` without a cut code point, and "...".
std::string shortened(std::string_view text, size_t max_bytes);

}  // namespace sallyport
