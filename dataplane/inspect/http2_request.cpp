#include "dataplane/inspect/http2_request.h"

#include <algorithm>

#include "dataplane/inspect/http_text.h"

namespace sallyport {
namespace {

constexpr size_t kFieldOverheadBytes = 32;  // RFC 9113 section 10.5.1
constexpr uint32_t kHttpPort = 80;
constexpr uint32_t kHttpsPort = 443;

// RFC 9113 section 8.2.1: a token without upper case.
bool is_field_name(std::string_view name) noexcept {
  return !name.empty() && std::ranges::all_of(name, [](char c) {
    return is_http_token_byte(c) && to_lower_ascii(c) == c;
  });
}

// The same section: no control, no white space around it.
bool is_field_value(std::string_view value) noexcept {
  return is_http_field_value(value) && trim_http_space(value).size() == value.size();
}

// Fields of one HTTP/1 connection (RFC 9113 section 8.2.2), which a gateway to HTTP/1 might
// believe.
bool is_connection_field(std::string_view name, std::string_view value) noexcept {
  constexpr std::string_view kNames[] = {"connection",        "proxy-connection", "keep-alive",
                                         "transfer-encoding", "upgrade",          "http2-settings"};
  if (name == "te") return value != "trailers";
  return std::ranges::find(kNames, name) != std::end(kNames);
}

uint32_t default_port(std::string_view scheme) noexcept {
  if (scheme == "http") return kHttpPort;
  return scheme == "https" ? kHttpsPort : HttpHost::kNoPort;
}

}  // namespace

Http2RequestReader::Http2RequestReader(std::span<const std::string_view> header_names,
                                       HttpScratch& scratch, HttpRequest& out) noexcept
    : scratch_(scratch), out_(out), sink_(header_names, scratch.headers) {
  out = HttpRequest{};
}

// The list's bound is the space's: every text fits.
std::string_view Http2RequestReader::keep(std::string_view text) noexcept {
  char* const at = scratch_.text.data() + kept_bytes_;
  std::ranges::copy(text, at);
  kept_bytes_ += text.size();
  return {at, text.size()};
}

InspectFault Http2RequestReader::take(const HpackField& field) noexcept {
  list_bytes_ += field.name.size() + field.value.size() + kFieldOverheadBytes;
  if (list_bytes_ > kMaxHttp2HeaderListBytes) return InspectFault::http2_headers_too_long;
  if (!is_field_value(field.value)) return InspectFault::http2_bad_field;
  if (field.name.starts_with(':')) return take_pseudo(field.name, field.value);
  fields_seen_ = true;
  if (!is_field_name(field.name) || is_connection_field(field.name, field.value)) {
    return InspectFault::http2_bad_field;
  }
  return take_named(field.name, field.value);
}

InspectFault Http2RequestReader::take_pseudo(std::string_view name,
                                             std::string_view value) noexcept {
  Pseudo* const slot = name == ":method"      ? &method_
                       : name == ":scheme"    ? &scheme_
                       : name == ":path"      ? &path_
                       : name == ":authority" ? &authority_
                       : name == ":protocol"  ? &protocol_
                                              : nullptr;
  if (slot == nullptr || slot->seen || fields_seen_) return InspectFault::http2_bad_pseudo_header;
  *slot = {keep(value), true};
  return InspectFault::none;
}

InspectFault Http2RequestReader::take_named(std::string_view name,
                                            std::string_view value) noexcept {
  std::string_view kept;
  if (const auto wanted = sink_.wanted(name); !wanted.empty()) {
    kept = keep(value);
    if (!sink_.put(wanted, kept)) return InspectFault::http_many_fields;
    out_.headers = sink_.headers();
  }
  if (name == "host") {
    if (host_seen_) return InspectFault::http_bad_host;
    host_seen_ = true;
    host_text_ = kept.data() != nullptr ? kept : keep(value);
    return parse_http_host(host_text_, host_) ? InspectFault::none : InspectFault::http_bad_host;
  }
  if (name == "content-length") {
    const bool digits = std::ranges::all_of(value, [](char c) { return c >= '0' && c <= '9'; });
    if (length_seen_ || value.empty() || !digits) return InspectFault::http_bad_length;
    length_seen_ = true;
  }
  return InspectFault::none;
}

void Http2RequestReader::record() noexcept {
  out_.method = method_.value;
  out_.target = path_.value;
  out_.authority = authority_.seen ? authority_.value : host_text_;
}

InspectFault Http2RequestReader::finish() noexcept {
  record();
  if (method_.value.empty() || !std::ranges::all_of(method_.value, is_http_token_byte)) {
    return InspectFault::http2_bad_pseudo_header;
  }
  if (const auto fault = finish_authority(); fault != InspectFault::none) return fault;
  return finish_target();
}

InspectFault Http2RequestReader::finish_authority() noexcept {
  HttpHost named;
  if (authority_.seen && !parse_http_host(authority_.value, named)) {
    return InspectFault::http_bad_host;
  }
  if (!authority_.seen && !host_seen_) return InspectFault::http_bad_host;
  // RFC 9113 section 8.3.1: they must agree, and servers differ in which they believe.
  if (authority_.seen && host_seen_) {
    const auto port_of = [this](const HttpHost& host) {
      return host.port == HttpHost::kNoPort ? default_port(scheme_.value) : host.port;
    };
    if (!named.same_host(host_) || port_of(named) != port_of(host_)) {
      return InspectFault::http_host_conflict;
    }
  }
  out_.host = authority_.seen ? named.name : host_.name;
  return InspectFault::none;
}

InspectFault Http2RequestReader::finish_target() noexcept {
  constexpr auto kFault = InspectFault::http2_bad_pseudo_header;
  const bool connect = method_.value == "CONNECT";
  if (connect && !protocol_.seen) {  // RFC 9113 section 8.5
    out_.tunnel = HttpTunnel::connect;
    return scheme_.seen || path_.seen || !authority_.seen ? kFault : InspectFault::none;
  }
  if (protocol_.seen) {  // RFC 8441 section 4
    if (!connect || !authority_.seen) return kFault;
    if (protocol_.value != "websocket") return InspectFault::http_upgrade_refused;
    out_.tunnel = HttpTunnel::websocket;
  }
  if (scheme_.value.empty() || path_.value.empty()) return kFault;
  if (path_.value == "*") return method_.value == "OPTIONS" ? InspectFault::none : kFault;
  // A gateway to HTTP/1 would end the request line there.
  if (path_.value.find_first_of(" \t") != std::string_view::npos)
    return InspectFault::http_bad_path;
  const auto path = path_.value.substr(0, path_.value.find('?'));
  return read_http_path(path, scratch_.paths, out_.paths);
}

InspectFault Http2RequestReader::finish_trailers() const noexcept {
  const bool pseudo =
      method_.seen || scheme_.seen || path_.seen || authority_.seen || protocol_.seen;
  if (pseudo) return InspectFault::http2_bad_pseudo_header;
  return host_seen_ || length_seen_ ? InspectFault::http2_bad_field : InspectFault::none;
}

}  // namespace sallyport
