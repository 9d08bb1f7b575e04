#include "dataplane/inspect/http_request.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "dataplane/inspect/http_host.h"

namespace sallyport {
namespace {

using Status = HttpHead::Status;

// tchar, RFC 9110 section 5.6.2.
constexpr std::array<bool, 256> kTokenBytes = [] {
  std::array<bool, 256> table{};
  for (int c = '0'; c <= '9'; ++c) table[c] = true;
  for (int c = 'A'; c <= 'Z'; ++c) table[c] = table[c | 0x20] = true;
  for (const char c : std::string_view("!#$%&'*+-.^_`|~")) table[static_cast<uint8_t>(c)] = true;
  return table;
}();

bool is_token_byte(char c) noexcept {
  return kTokenBytes[static_cast<uint8_t>(c)];
}

bool is_control(char c) noexcept {
  const auto byte = static_cast<uint8_t>(c);
  return byte < 0x20 || byte == 0x7f;
}

// RFC 9110 section 9.3 and RFC 5789. Only these make a garbled line a fault: no other protocol
// here opens with one of them and then breaks HTTP's grammar by accident.
bool is_registered_method(std::string_view method) noexcept {
  constexpr std::string_view kMethods[] = {"GET",     "HEAD",    "POST",  "PUT",  "DELETE",
                                           "CONNECT", "OPTIONS", "TRACE", "PATCH"};
  return std::ranges::find(kMethods, method) != std::end(kMethods);
}

bool contains_ignoring_case(std::string_view text, std::string_view wanted) noexcept {
  for (; text.size() >= wanted.size(); text.remove_prefix(1)) {
    if (equal_ignoring_case(text.substr(0, wanted.size()), wanted)) return true;
  }
  return false;
}

std::string_view trim(std::string_view text) noexcept {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

struct RequestLine {
  Status status = Status::need_more;  ///< done: the line is whole and HTTP.
  std::string_view method;
  std::string_view rest;  ///< Behind "method SP", without the line end.
  bool bare_lf = false;
  size_t bytes = 0;  ///< With its line end.
};

bool is_http_line(const RequestLine& line) noexcept {
  // From the byte in front of `rest`, the SP: "GET HTTP/1.1" is HTTP without a target.
  const std::string_view with_space(line.rest.data() - 1, line.rest.size() + 1);
  const bool known = is_registered_method(line.method);
  return contains_ignoring_case(with_space, known ? " HTTP/" : " HTTP/1.");
}

// Finds the first line and whether it is HTTP. Answers at the first byte that makes it certain.
RequestLine find_request_line(std::string_view text) noexcept {
  RequestLine line;
  const auto window = text.substr(0, kMaxHttpMethodBytes + 1);
  const auto method_end = std::ranges::find_if_not(window, is_token_byte);
  if (method_end == window.end()) {
    // Servers take methods of any length: nobody may hide a request behind a long one.
    if (window.size() > kMaxHttpMethodBytes) line.status = Status::fault;
    return line;
  }
  line.method = {window.begin(), method_end};
  const Status garbled = is_registered_method(line.method) ? Status::fault : Status::not_http;
  if (*method_end != ' ') {
    // RFC 9112 section 3: lenient servers take HTAB, VT and FF for the space.
    const bool lenient = *method_end == '\t' || *method_end == '\v' || *method_end == '\f';
    line.status = lenient ? garbled : Status::not_http;
    return line;
  }
  if (line.method.empty()) {
    line.status = Status::not_http;
    return line;
  }

  const auto rest = text.substr(line.method.size() + 1);
  const auto control = std::ranges::find_if(rest, is_control);
  if (control == rest.end()) return line;
  line.rest = {rest.begin(), control};
  const auto line_end = rest.substr(line.rest.size());
  if (line_end == "\r") return line;
  line.bare_lf = line_end.starts_with('\n');
  if (!line.bare_lf && !line_end.starts_with("\r\n")) {
    line.status = garbled;
    return line;
  }
  line.bytes = line.method.size() + 1 + line.rest.size() + (line.bare_lf ? 1 : 2);
  line.status = is_http_line(line) ? Status::done : Status::not_http;
  return line;
}

/// A request head as its lines come.
class RequestHead {
 public:
  InspectFault take_request_line(const RequestLine& line) noexcept {
    constexpr auto kFault = InspectFault::http_bad_request_line;
    const size_t space = line.rest.find(' ');
    if (line.bare_lf || space == std::string_view::npos) return kFault;
    const auto version = line.rest.substr(space + 1);
    constexpr std::string_view kVersion = "HTTP/1.";
    if (version.size() != kVersion.size() + 1 || !version.starts_with(kVersion)) return kFault;
    const char minor = version.back();
    if (minor < '0' || minor > '9') return kFault;
    host_required_ = minor != '0';
    return parse_http_target(line.method, line.rest.substr(0, space), target_) ? InspectFault::none
                                                                               : kFault;
  }

  /// `line` ends before its LF and is not the empty line.
  InspectFault take_field(std::string_view line) noexcept {
    // A name of token bytes right up to the colon rules out folding, which starts with a space,
    // and "Host : x", which servers read in two ways (RFC 9112 sections 5.1 and 5.2).
    const auto colon = std::ranges::find_if_not(line, is_token_byte);
    if (colon == line.begin() || colon == line.end() || *colon != ':') {
      return InspectFault::http_bad_header;
    }
    const std::string_view name(line.begin(), colon);
    const auto value = line.substr(name.size() + 1);
    // CR and NUL are never valid (RFC 9110 section 5.5), no other control is worth the doubt.
    if (std::ranges::any_of(value, [](char c) { return is_control(c) && c != '\t'; })) {
      return InspectFault::http_bad_header;
    }
    return equal_ignoring_case(name, "host") ? take_host(trim(value)) : InspectFault::none;
  }

  /// At the empty line.
  InspectFault finish(HostName& name) const noexcept {
    if (!host_seen_ && host_required_) return InspectFault::http_bad_host;
    const bool target_names =
        target_.form == HttpTarget::Form::absolute || target_.form == HttpTarget::Form::authority;
    if (target_names && host_seen_ && conflicts()) return InspectFault::http_host_conflict;
    name = target_names ? target_.host.name : host_.name;
    return InspectFault::none;
  }

 private:
  InspectFault take_host(std::string_view value) noexcept {
    if (host_seen_) return InspectFault::http_bad_host;
    host_seen_ = true;
    if (value.empty()) return InspectFault::none;  // RFC 9112 section 3.2 allows it
    return parse_http_host(value, host_) ? InspectFault::none : InspectFault::http_bad_host;
  }

  // Servers differ in whom they believe, so both must say the same. A Host without a port means the
  // scheme's; beside CONNECT, whose target always has one, some clients leave it out.
  bool conflicts() const noexcept {
    if (!host_.same_host(target_.host)) return true;
    if (target_.form == HttpTarget::Form::authority) return false;
    return or_default(host_.port) != or_default(target_.host.port);
  }

  uint32_t or_default(uint32_t port) const noexcept {
    return port == HttpHost::kNoPort ? target_.default_port : port;
  }

  HttpTarget target_;
  HttpHost host_;
  bool host_seen_ = false;
  bool host_required_ = false;
};

HttpHead failed(InspectFault fault, bool is_http = true) noexcept {
  return {.status = Status::fault, .fault = fault, .is_http = is_http};
}

HttpHead parse_fields(std::string_view text, bool at_limit, RequestHead& head,
                      HostName& name) noexcept {
  for (;;) {
    const size_t line_end = text.find('\n');
    if (line_end == std::string_view::npos) {
      if (at_limit) return failed(InspectFault::http_head_too_long);
      return {.is_http = true};
    }
    auto line = text.substr(0, line_end);
    if (!line.ends_with('\r')) return failed(InspectFault::http_bad_header);
    line.remove_suffix(1);
    const auto fault = line.empty() ? head.finish(name) : head.take_field(line);
    if (fault != InspectFault::none) return failed(fault);
    if (line.empty()) return {.status = Status::done, .is_http = true};
    text.remove_prefix(line_end + 1);
  }
}

}  // namespace

HttpHead parse_http_head(std::span<const uint8_t> prefix, HostName& name) noexcept {
  name.clear();
  const bool at_limit = prefix.size() >= kMaxRequestHeadBytes;
  std::string_view text(reinterpret_cast<const char*>(prefix.data()),
                        std::min(prefix.size(), kMaxRequestHeadBytes));
  text.remove_prefix(std::min(text.find_first_not_of("\r\n"), text.size()));

  const RequestLine line = find_request_line(text);
  switch (line.status) {
    case Status::need_more:
      if (at_limit) return failed(InspectFault::http_head_too_long, false);
      return {};
    case Status::not_http:
      return {.status = Status::not_http};
    case Status::fault:
      return failed(InspectFault::http_bad_request_line);
    case Status::done:
      break;
  }
  RequestHead head;
  if (const auto fault = head.take_request_line(line); fault != InspectFault::none) {
    return failed(fault);
  }
  return parse_fields(text.substr(line.bytes), at_limit, head, name);
}

}  // namespace sallyport
