#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "dataplane/inspect/hpack.h"
#include "dataplane/inspect/http_path.h"
#include "policy/runtime/facts.h"
#include "policy/runtime/host_name.h"

namespace sallyport {

/// Lines of the header fields that the policy asks for, of one request.
inline constexpr size_t kMaxHttpHeaderLines = 64;

/// Bytes of a request's fields as HTTP/2 counts them (RFC 9113 section 10.5.1): text and 32 each.
inline constexpr size_t kMaxHttp2HeaderListBytes = size_t{1} << 16;

/// Working space for reading requests: one a worker, no content kept between calls.
struct HttpScratch {
  HttpPathSpace paths;
  std::array<HttpHeader, kMaxHttpHeaderLines> headers;
  std::array<char, kMaxHttp2HeaderListBytes> text;  ///< HTTP/2: decoded fields.
  HpackPassing hpack;
};

/// What the client's bytes are behind a request, should the server agree.
enum class HttpTunnel : uint8_t {
  none,
  connect,    ///< Opaque once the server answers 2xx (RFC 9110 section 9.3.6).
  websocket,  ///< Opaque once the server answers 101 (RFC 6455 section 1.3).
};

/// One request, as the policy sees it. Borrows from the bytes read and from the HttpScratch.
struct HttpRequest {
  std::string_view method;     ///< As sent: case matters (RFC 9110 section 9.1).
  HostName host;               ///< Canonical; empty for an address, or where nothing names one.
  std::string_view authority;  ///< The same with port as sent, addresses too; for records.
  std::string_view target;     ///< As sent, query and all; for records.
  /// Each must be allowed. None: CONNECT, or "*" (FlowFacts.path_known is absent).
  HttpPathReadings paths;
  std::span<const HttpHeader> headers;  ///< One for each line of a field that was asked for.
  HttpTunnel tunnel = HttpTunnel::none;
  size_t head_bytes = 0;  ///< Of the client's stream, line ends in front of it too.
};

/// What HttpStream and Http2Connection answer. "The window" is the client's stream from the first
/// byte that the caller has not yet forwarded on this answer's word.
struct HttpStep {
  enum class Status : uint8_t {
    need_more,  ///< Forward `forward_bytes`; call again with more of the stream.
    request,    ///< A whole request head stands behind `forward_bytes`: decide it.
    turn,       ///< HTTP/2: behind `forward_bytes` stands a frame of another request, allowed
                ///< before: Http2Connection::turn().
    not_http,   ///< The stream does not start like a request.
    fault,      ///< `fault` says what is wrong; nothing behind `forward_bytes` may ever leave.
  };
  Status status = Status::need_more;
  InspectFault fault = InspectFault::none;
  /// How much of the window's front belongs to requests that allow() was called for.
  size_t forward_bytes = 0;
};

/// Gathers the fields that a policy asks for.
class HttpHeaderSink {
 public:
  /// @param names  Lower-case names, from PolicyTable::header_names().
  HttpHeaderSink(std::span<const std::string_view> names, std::span<HttpHeader> out) noexcept
      : names_(names), out_(out) {}

  /// The name as the policy spells it, or empty when it does not ask for `name`.
  std::string_view wanted(std::string_view name) const noexcept;
  /// @return  False when there is no room for another line.
  [[nodiscard]] bool put(std::string_view wanted_name, std::string_view value) noexcept {
    if (count_ == out_.size()) return false;
    out_[count_++] = {wanted_name, value};
    return true;
  }
  std::span<const HttpHeader> headers() const noexcept { return out_.first(count_); }

 private:
  std::span<const std::string_view> names_;
  std::span<HttpHeader> out_;
  size_t count_ = 0;
};

}  // namespace sallyport
