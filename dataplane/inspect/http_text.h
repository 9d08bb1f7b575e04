#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

namespace sallyport {

/// tchar, RFC 9110 section 5.6.2.
inline constexpr std::array<bool, 256> kHttpTokenBytes = [] {
  std::array<bool, 256> table{};
  for (int c = '0'; c <= '9'; ++c) table[c] = true;
  for (int c = 'A'; c <= 'Z'; ++c) table[c] = table[c | 0x20] = true;
  for (const char c : std::string_view("!#$%&'*+-.^_`|~")) table[static_cast<uint8_t>(c)] = true;
  return table;
}();

inline bool is_http_token_byte(char c) noexcept {
  return kHttpTokenBytes[static_cast<uint8_t>(c)];
}

inline bool is_control(char c) noexcept {
  const auto byte = static_cast<uint8_t>(c);
  return byte < 0x20 || byte == 0x7f;
}

/// CR and NUL are never valid in a value (RFC 9110 section 5.5), no other control is worth the
/// doubt.
inline bool is_http_field_value(std::string_view text) noexcept {
  return std::ranges::none_of(text, [](char c) { return is_control(c) && c != '\t'; });
}

inline char to_lower_ascii(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
}

/// ASCII case folded; no locale.
inline bool equal_ignoring_case(std::string_view a, std::string_view b) noexcept {
  return std::ranges::equal(a, b, {}, to_lower_ascii, to_lower_ascii);
}

/// Without the white space around it that RFC 9110 section 5.6.3 calls OWS.
inline std::string_view trim_http_space(std::string_view text) noexcept {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

inline std::string_view text_of(const uint8_t* bytes, size_t size) noexcept {
  return {reinterpret_cast<const char*>(bytes), size};
}

}  // namespace sallyport
