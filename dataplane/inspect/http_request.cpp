#include "dataplane/inspect/http_request.h"

#include <algorithm>
#include <string_view>

#include "dataplane/inspect/http_host.h"
#include "dataplane/inspect/http_lenient.h"
#include "dataplane/inspect/http_text.h"

namespace sallyport {
namespace {

using Status = HttpHead::Status;

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

// What a server that wants no version would take for a target. Not Redis's keys, nor the URLs of
// RTSP and SIP.
bool is_path_or_url(std::string_view text) noexcept {
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  if (text.starts_with('/')) return true;
  constexpr std::string_view kSchemes[] = {"http://", "https://"};
  return std::ranges::any_of(kSchemes, [&](std::string_view scheme) {
    return equal_ignoring_case(text.substr(0, scheme.size()), scheme);
  });
}

struct RequestLine {
  Status status = Status::need_more;  ///< done: the line is whole and HTTP.
  std::string_view method;
  std::string_view rest;  ///< Behind "method SP", without the line end.
  bool bare_lf = false;
  bool has_method = false;   ///< Its SP was seen too.
  bool versionless = false;  ///< Done, and says no HTTP version.
  size_t bytes = 0;          ///< With its line end.
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
  const auto method_end = std::ranges::find_if_not(window, is_http_token_byte);
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

  line.has_method = true;
  const auto rest = text.substr(line.method.size() + 1);
  const auto control = std::ranges::find_if(rest, is_control);
  line.rest = {rest.begin(), control};
  if (control == rest.end()) return line;
  const auto line_end = rest.substr(line.rest.size());
  if (line_end == "\r") return line;
  line.bare_lf = line_end.starts_with('\n');
  if (!line.bare_lf && !line_end.starts_with("\r\n")) {
    line.status = garbled;
    return line;
  }
  line.bytes = line.method.size() + 1 + line.rest.size() + (line.bare_lf ? 1 : 2);
  line.versionless = !is_http_line(line);
  const bool is_http =
      !line.versionless || (is_registered_method(line.method) && is_path_or_url(line.rest));
  line.status = is_http ? Status::done : Status::not_http;
  return line;
}

/// A request head as its lines come.
class RequestHead {
 public:
  explicit RequestHead(HttpRequest& out) noexcept : out_(out) {}

  InspectFault take_request_line(const RequestLine& line) noexcept {
    constexpr auto kFault = InspectFault::http_bad_request_line;
    const size_t space = line.rest.find(' ');
    if (line.versionless) return take_simple_line(line);
    if (line.bare_lf || space == std::string_view::npos) return kFault;
    const auto version = line.rest.substr(space + 1);
    constexpr std::string_view kVersion = "HTTP/1.";
    if (version.size() != kVersion.size() + 1 || !version.starts_with(kVersion)) return kFault;
    const char minor = version.back();
    if (minor < '0' || minor > '9') return kFault;
    is_1_0_ = minor == '0';
    out_.method = line.method;
    out_.target = line.rest.substr(0, space);
    return parse_http_target(out_.method, out_.target, target_) ? InspectFault::none : kFault;
  }

  /// `line` ends before its CRLF and is not the empty line.
  InspectFault take_field(std::string_view line, HttpHeaderSink& sink) noexcept {
    HttpFieldLine field;
    if (!parse_http_field(line, field)) return InspectFault::http_bad_header;
    if (const auto wanted = sink.wanted(field.name); !wanted.empty()) {
      if (!sink.put(wanted, field.value)) return InspectFault::http_many_fields;
    }
    if (equal_ignoring_case(field.name, "host")) return take_host(field.value);
    return framing_.take(field.name, field.value);
  }

  /// At the empty line.
  InspectFault finish(HttpBody& body) noexcept {
    if (!host_seen_ && !is_1_0_) return InspectFault::http_bad_host;
    const bool target_names =
        target_.form == HttpTarget::Form::absolute || target_.form == HttpTarget::Form::authority;
    if (target_names && host_seen_ && conflicts()) return InspectFault::http_host_conflict;
    out_.host = target_names ? target_.host.name : host_.name;
    out_.authority = target_names ? target_.host_text : host_text_;
    const auto fault = framing_.finish(out_.method, is_1_0_, body);
    out_.tunnel = body.tunnel;
    return fault;
  }

  std::string_view path() const noexcept { return target_.path; }

 private:
  // HTTP/0.9 knows GET alone, and nginx and Apache answer it. A target that names a host is
  // refused: servers differ in whether they go there.
  InspectFault take_simple_line(const RequestLine& line) noexcept {
    const bool simple = !line.bare_lf && line.method == "GET" && line.rest.starts_with('/') &&
                        line.rest.find(' ') == std::string_view::npos;
    if (!simple || !parse_http_target(line.method, line.rest, target_)) {
      return InspectFault::http_bad_request_line;
    }
    out_.method = line.method;
    out_.target = line.rest;
    return InspectFault::none;
  }

  InspectFault take_host(std::string_view value) noexcept {
    if (host_seen_) return InspectFault::http_bad_host;
    host_seen_ = true;
    host_text_ = value;
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

  HttpRequest& out_;
  HttpTarget target_;
  HttpHost host_;
  std::string_view host_text_;
  HttpFraming framing_;
  bool host_seen_ = false;
  bool is_1_0_ = false;
};

HttpHead failed(InspectFault fault, bool is_http = true) noexcept {
  return {.status = Status::fault, .fault = fault, .is_http = is_http};
}

HttpHead parse_fields(std::string_view text, bool at_limit, HttpHeaderSink& sink, RequestHead& head,
                      HttpBody& body) noexcept {
  const size_t size = text.size();
  for (;;) {
    const size_t line_end = text.find('\n');
    if (line_end == std::string_view::npos) {
      if (at_limit) return failed(InspectFault::http_head_too_long);
      return {.is_http = true};
    }
    auto line = text.substr(0, line_end);
    if (!line.ends_with('\r')) return failed(InspectFault::http_bad_header);
    line.remove_suffix(1);
    const auto fault = line.empty() ? head.finish(body) : head.take_field(line, sink);
    if (fault != InspectFault::none) return failed(fault);
    text.remove_prefix(line_end + 1);
    if (line.empty()) {
      return {.status = Status::done, .is_http = true, .bytes = size - text.size()};
    }
  }
}

// No request by RFC 9112.
HttpHead take_other(std::string_view text, bool at_limit) noexcept {
  switch (read_lenient_line(text)) {
    case LenientLine::no:
      return {.status = Status::not_http};
    case LenientLine::need_more:
      return at_limit ? failed(InspectFault::http_head_too_long, false) : HttpHead{};
    case LenientLine::request:
      break;
  }
  return failed(InspectFault::http_bad_request_line);
}

HttpHead parse_head(std::span<const uint8_t> prefix, HttpHeaderSink& sink, RequestHead& head,
                    HttpBody& body) noexcept {
  const bool at_limit = prefix.size() >= kMaxRequestHeadBytes;
  const auto all = text_of(prefix.data(), std::min(prefix.size(), kMaxRequestHeadBytes));
  auto text = all;
  const size_t blank = std::min(text.find_first_not_of("\r\n"), text.size());
  text.remove_prefix(blank);

  const RequestLine line = find_request_line(text);
  switch (line.status) {
    case Status::need_more:
      if (at_limit) return failed(InspectFault::http_head_too_long, false);
      return {.in_target = line.has_method,
              .asks_already = is_registered_method(line.method) && is_path_or_url(line.rest)};
    case Status::not_http:
      return take_other(all, at_limit);
    case Status::fault:
      return failed(InspectFault::http_bad_request_line);
    case Status::done:
      break;
  }
  if (const auto fault = head.take_request_line(line); fault != InspectFault::none) {
    return failed(fault);
  }
  if (line.versionless) {
    body.is_last = true;
    return {.status = Status::done, .is_http = true, .bytes = blank + line.bytes};
  }
  HttpHead out = parse_fields(text.substr(line.bytes), at_limit, sink, head, body);
  if (out.status == Status::done) out.bytes += blank + line.bytes;
  return out;
}

}  // namespace

LenientLine find_request_in_body(std::string_view text, bool whole) noexcept {
  const size_t blank = std::min(text.find_first_not_of("\r\n"), text.size());
  const RequestLine line = find_request_line(text.substr(blank));
  LenientLine found = LenientLine::need_more;
  switch (line.status) {
    case Status::done:
    case Status::fault:
      return LenientLine::request;
    case Status::not_http:
      found = read_lenient_line(text);
      break;
    case Status::need_more:
      if (is_registered_method(line.method) && is_path_or_url(line.rest)) {
        return LenientLine::request;
      }
      break;
  }
  return found == LenientLine::need_more && whole ? LenientLine::no : found;
}

bool parse_http_field(std::string_view line, HttpFieldLine& out) noexcept {
  // A name of token bytes right up to the colon rules out folding, which starts with a space, and
  // "Host : x", which servers read in two ways (RFC 9112 sections 5.1 and 5.2).
  const auto colon = std::ranges::find_if_not(line, is_http_token_byte);
  if (colon == line.begin() || colon == line.end() || *colon != ':') return false;
  out.name = {line.begin(), colon};
  out.value = line.substr(out.name.size() + 1);
  if (!is_http_field_value(out.value)) return false;
  out.value = trim_http_space(out.value);
  return true;
}

bool is_http_request_field(std::string_view name) noexcept {
  return equal_ignoring_case(name, "host") || HttpFraming::reads(name);
}

HttpHead parse_http_request(std::span<const uint8_t> prefix,
                            std::span<const std::string_view> header_names, HttpScratch& scratch,
                            HttpRequest& out, HttpBody& body) noexcept {
  out = HttpRequest{};
  body = HttpBody{};
  HttpHeaderSink sink(header_names, scratch.headers);
  RequestHead head(out);
  HttpHead got = parse_head(prefix, sink, head, body);
  out.headers = sink.headers();
  out.head_bytes = got.bytes;
  if (got.status == Status::done && !head.path().empty()) {
    const auto fault = read_http_path(head.path(), scratch.paths, out.paths);
    if (fault != InspectFault::none) return failed(fault);
  }
  return got;
}

}  // namespace sallyport
