#include "dataplane/inspect/http_lenient.h"

#include <algorithm>
#include <array>

#include "dataplane/inspect/http_text.h"

namespace sallyport {
namespace {

using namespace std::string_view_literals;

constexpr auto kSeparators = " \t\v\f"sv;
constexpr auto kInFront = " \t\v\f\r\n\0"sv;
// Protocols begin with a length or a version of few zero bytes; a line that many NULs precede is no
// server's request.
constexpr size_t kMostNuls = 8;

bool is_separator(char c) noexcept {
  return kSeparators.find(c) != kSeparators.npos;
}

bool starts_ignoring_case(std::string_view text, std::string_view start) noexcept {
  return equal_ignoring_case(text.substr(0, start.size()), start);
}

// Separator and "HTTP/", in whatever case.
bool has_version(std::string_view line) noexcept {
  constexpr auto kVersion = "HTTP/"sv;
  for (size_t i = 1; i + kVersion.size() <= line.size(); ++i) {
    if (is_separator(line[i - 1]) && starts_ignoring_case(line.substr(i), kVersion)) return true;
  }
  return false;
}

// What a server of HTTP may look up: a path, or a whole URI. While it is short it may become one.
bool is_target(std::string_view text) noexcept {
  if (text[0] == '/' || text[0] == '*') return true;
  return std::ranges::any_of(std::to_array({"http://"sv, "https://"sv}), [&](auto scheme) {
    return starts_ignoring_case(text, scheme.substr(0, text.size()));
  });
}

LenientLine read_line(std::string_view text) noexcept {
  const size_t line_end = text.find('\n');
  const bool whole = line_end != text.npos;
  const auto line = text.substr(0, line_end);
  const LenientLine open = whole ? LenientLine::no : LenientLine::need_more;

  const auto method_end = std::ranges::find_if_not(line, is_http_token_byte);
  if (method_end == line.end()) return open;
  if (method_end == line.begin() || !is_separator(*method_end)) return LenientLine::no;
  const auto method_bytes = static_cast<size_t>(method_end - line.begin());
  const size_t target = line.find_first_not_of(kSeparators, method_bytes);
  if (target == line.npos) return open;
  if (is_target(line.substr(target))) return has_version(line) ? LenientLine::request : open;

  // Of anything else a control ends the line: other protocols have them soon.
  const auto control =
      std::ranges::find_if(line, [](char c) { return is_control(c) && !is_separator(c); });
  if (has_version({line.begin(), control})) return LenientLine::request;
  return control == line.end() ? open : LenientLine::no;
}

LenientLine read_proxy(std::string_view text) noexcept {
  constexpr auto kVersion2 = "\r\n\r\n\0\r\nQUIT\n"sv;
  constexpr auto kVersion1 = std::to_array({"PROXY TCP4 "sv, "PROXY TCP6 "sv, "PROXY UNKNOWN"sv});
  if (text.starts_with(kVersion2)) return LenientLine::request;
  if (kVersion2.starts_with(text)) return LenientLine::need_more;
  const bool first = std::ranges::any_of(kVersion1, [&](auto v) { return text.starts_with(v); });
  return first ? LenientLine::request : LenientLine::no;
}

}  // namespace

LenientLine read_lenient_line(std::string_view text) noexcept {
  const LenientLine proxy = read_proxy(text);
  if (proxy != LenientLine::no) return proxy;
  const size_t start = std::min(text.find_first_not_of(kInFront), text.size());
  if (std::ranges::count(text.substr(0, start), '\0') > static_cast<int>(kMostNuls)) {
    return LenientLine::no;
  }
  return start == text.size() ? LenientLine::need_more : read_line(text.substr(start));
}

}  // namespace sallyport
