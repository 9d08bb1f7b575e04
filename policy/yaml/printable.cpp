#include "policy/yaml/printable.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

namespace sallyport {
namespace {

struct Range {
  char32_t first;
  char32_t last;
};

// After Unicode's EastAsianWidth.txt and emoji-data.txt, with their gaps left in: a caret that is a
// cell off under a rare character misleads nobody.
constexpr std::array<Range, 12> kWide{{{0x1100, 0x115f},
                                       {0x2e80, 0x303e},
                                       {0x3041, 0xa4cf},
                                       {0xa960, 0xa97f},
                                       {0xac00, 0xd7a3},
                                       {0xf900, 0xfaff},
                                       {0xfe30, 0xfe6f},
                                       {0xff00, 0xff60},
                                       {0xffe0, 0xffe6},
                                       {0x1f300, 0x1f64f},
                                       {0x1f900, 0x1f9ff},
                                       {0x20000, 0x3fffd}}};
constexpr std::array<Range, 5> kCombining{
    {{0x300, 0x36f}, {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff}, {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}}};
constexpr std::array<Range, 6> kInvisible{{{0x200b, 0x200f},
                                           {0x2028, 0x202e},
                                           {0x2060, 0x206f},
                                           {0xfeff, 0xfeff},
                                           {0xfff9, 0xfffb},
                                           {0xe0000, 0xe007f}}};

bool is_in(char32_t c, std::span<const Range> ranges) noexcept {
  return std::ranges::any_of(ranges, [c](Range r) { return c >= r.first && c <= r.last; });
}

std::string hexadecimal(char32_t value, size_t digits) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (; value != 0 || out.size() < digits; value >>= 4) out.push_back(kDigits[value & 15]);
  return {out.rbegin(), out.rend()};
}

constexpr size_t kLongestUtf8 = 4;

/// How many bytes a sequence takes that starts with `lead`; 0 where none can.
unsigned sequence_bytes(unsigned char lead) noexcept {
  if (lead < 0x80) return 1;
  if (lead < 0xc2) return 0;  // A continuation byte, or an overlong form of ASCII.
  if (lead < 0xe0) return 2;
  if (lead < 0xf0) return 3;
  return lead < 0xf5 ? kLongestUtf8 : 0;
}

}  // namespace

CodePoint code_point_at(std::string_view text, size_t at) noexcept {
  const auto byte = [text, at](size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const CodePoint invalid{.value = byte(0), .bytes = 1, .valid = false};
  const unsigned bytes = sequence_bytes(byte(0));
  if (bytes == 1) return {.value = byte(0)};
  if (bytes == 0 || bytes > text.size() - at) return invalid;
  char32_t value = byte(0) & (0x7fU >> bytes);
  for (unsigned i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xc0U) != 0x80U) return invalid;
    value = (value << 6) | (byte(i) & 0x3fU);
  }
  // RFC 3629 section 3: no overlong forms, no surrogates, nothing above U+10FFFF.
  constexpr std::array<char32_t, kLongestUtf8 + 1> kLeast{0, 0, 0x80, 0x800, 0x10000};
  if (value < kLeast.at(bytes) || (value >= 0xd800 && value <= 0xdfff) || value > 0x10ffff) {
    return invalid;
  }
  return {.value = value, .bytes = bytes};
}

bool is_control(char32_t c) noexcept {
  return c < 0x20 || (c >= 0x7f && c <= 0x9f);
}

bool is_direction_control(char32_t c) noexcept {
  return (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

unsigned terminal_cells(char32_t c) noexcept {
  if (c < kCombining.front().first) return 1;
  if (is_in(c, kCombining)) return 0;
  return is_in(c, kWide) ? 2 : 1;
}

std::string printable(std::string_view text, size_t at, const CodePoint& point) {
  if (!point.valid || is_control(point.value)) {
    if (point.value == U'\n') return "\\n";
    if (point.value == U'\r') return "\\r";
    if (point.value == U'\t') return "\\t";
    return "\\x" + hexadecimal(point.value, 2);
  }
  if (is_in(point.value, kInvisible)) return "\\u{" + hexadecimal(point.value, 4) + "}";
  return std::string(text.substr(at, point.bytes));
}

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const CodePoint point = code_point_at(text, at);
    out += printable(text, at, point);
    at += point.bytes;
  }
  return out;
}

std::string shortened(std::string_view text, size_t max_bytes) {
  if (text.size() <= max_bytes) return std::string(text);
  size_t end = max_bytes;
  for (size_t i = 0; i + 1 < kLongestUtf8 && end > 0; ++i) {
    if ((static_cast<unsigned char>(text[end]) & 0xc0U) != 0x80U) break;
    --end;
  }
  return std::string(text.substr(0, end)) + "...";
}

}  // namespace sallyport
