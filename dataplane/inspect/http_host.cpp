#include "dataplane/inspect/http_host.h"

#include <algorithm>

#include "dataplane/inspect/http_text.h"

namespace sallyport {
namespace {

constexpr uint32_t kHttpPort = 80;
constexpr uint32_t kHttpsPort = 443;

bool is_digit(char c) noexcept {
  return c >= '0' && c <= '9';
}

bool is_scheme_byte(char c) noexcept {
  const char lower = to_lower_ascii(c);
  return (lower >= 'a' && lower <= 'z') || is_digit(c) || c == '+' || c == '-' || c == '.';
}

// ":" *DIGIT, or nothing. RFC 3986 section 3.2.3 lets the digits be missing.
bool parse_port(std::string_view text, uint32_t& port) noexcept {
  if (text.empty()) return true;
  if (text[0] != ':') return false;
  text.remove_prefix(1);
  constexpr size_t kMaxDigits = 5;
  if (text.size() > kMaxDigits || !std::ranges::all_of(text, is_digit)) return false;
  if (text.empty()) return true;
  uint32_t value = 0;
  for (const char c : text) value = value * 10 + static_cast<uint32_t>(c - '0');
  port = value;
  return value <= 0xffff;
}

std::string_view without_query(std::string_view text) noexcept {
  return text.substr(0, text.find('?'));
}

// scheme "://" authority, then whatever starts with '/', '?' or '#'.
bool parse_absolute(std::string_view text, HttpTarget& out) noexcept {
  const size_t colon = text.find(':');
  if (colon == 0 || colon == std::string_view::npos) return false;
  const auto scheme = text.substr(0, colon);
  if (!std::ranges::all_of(scheme, is_scheme_byte)) return false;
  text.remove_prefix(colon);
  if (!text.starts_with("://")) return false;
  text.remove_prefix(3);
  if (equal_ignoring_case(scheme, "http")) out.default_port = kHttpPort;
  if (equal_ignoring_case(scheme, "https")) out.default_port = kHttpsPort;
  out.host_text = text.substr(0, text.find_first_of("/?#"));
  out.path = without_query(text.substr(out.host_text.size()));
  if (out.path.empty()) out.path = "/";
  return parse_http_host(out.host_text, out.host);
}

}  // namespace

bool HttpHost::same_host(const HttpHost& other) const noexcept {
  return name.view() == other.name.view() && equal_ignoring_case(literal, other.literal);
}

bool parse_http_host(std::string_view text, HttpHost& out) noexcept {
  size_t host_bytes = text.find(':');
  if (text.starts_with('[')) {
    const size_t bracket = text.find(']');
    if (bracket == std::string_view::npos) return false;
    host_bytes = bracket + 1;
  }
  const auto host = text.substr(0, host_bytes);
  if (!parse_port(text.substr(host.size()), out.port)) return false;
  switch (out.name.assign(host)) {
    case HostNameFault::none:
      return true;
    case HostNameFault::address_literal:
      out.literal = host;
      return true;
    default:
      return false;
  }
}

bool parse_http_target(std::string_view method, std::string_view text, HttpTarget& out) noexcept {
  if (method == "CONNECT") {
    out.form = HttpTarget::Form::authority;
    out.host_text = text;
    return parse_http_host(text, out.host) && out.host.port != HttpHost::kNoPort;
  }
  if (text.starts_with('/')) {
    out.form = HttpTarget::Form::origin;
    out.path = without_query(text);
    return true;
  }
  if (text == "*") {
    out.form = HttpTarget::Form::asterisk;
    return method == "OPTIONS";
  }
  out.form = HttpTarget::Form::absolute;
  return parse_absolute(text, out);
}

}  // namespace sallyport
