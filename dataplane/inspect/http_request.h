#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "dataplane/inspect/http_facts.h"
#include "dataplane/inspect/http_framing.h"
#include "dataplane/inspect/http_lenient.h"
#include "dataplane/inspect/identify.h"
#include "policy/runtime/host_name.h"

namespace sallyport {

inline constexpr size_t kMaxHttpMethodBytes = 8192;

/// What the first bytes of a stream are to an HTTP/1 server.
struct HttpHead {
  enum class Status : uint8_t {
    need_more,  ///< Still may become a request head, or more of one.
    not_http,   ///< No HTTP/1 request starts like this.
    done,       ///< A whole head.
    fault,      ///< An HTTP/1 request that RFC 9112 forbids.
  };
  Status status = Status::need_more;
  InspectFault fault = InspectFault::none;
  bool is_http = false;  ///< The request line was whole and HTTP/1: what follows is held to it.
  /// With need_more: the method is read, so only a control byte or the limit can end the line.
  bool in_target = false;
  /// With need_more: some server takes the line for a request if the stream ends in it.
  bool asks_already = false;
  size_t bytes = 0;  ///< With done: of the prefix, up to behind the empty line.
};

/// Reads the head of an HTTP/1 request (RFC 9112), and everything of it that a policy may ask for.
///
/// The bytes are HTTP when the first line is "method SP … HTTP/1."; line ends in front of it are
/// skipped, as servers do (section 2.2). So is "GET SP /path" alone (HTTP/0.9, RFC 1945 section
/// 4.1), which servers still answer: a whole request without fields, whose host nobody names. Any
/// other line without a version in which a registered method asks for a path or an http URL is a
/// fault. Anything else, such as SMTP, IRC, Redis, NATS, RTSP, SSH is not_http as soon as that is
/// certain. A line that a lenient server could still take for a request is a fault
/// (read_lenient_line()), so that no policy on names is evaded by it. So is the HTTP/2 preface:
/// look for it before.
///
/// @param prefix        The stream from the request's first byte. Borrowed.
/// @param header_names  Lower-case names of the fields to report.
/// @param scratch       Any content; overwritten.
/// @param out           Overwritten; borrows from prefix, header_names and scratch. Its host is the
///                      target's when that names one, else the Host field's; empty for an address,
///                      an empty Host, or HTTP/1.0 with none. With fault: what was read before it,
///                      for records only.
/// @param body          With done: what stands behind the head.
///
/// The answer depends only on the bytes up to where it is certain: any longer prefix gives it too.
[[nodiscard]] HttpHead parse_http_request(std::span<const uint8_t> prefix,
                                          std::span<const std::string_view> header_names,
                                          HttpScratch& scratch, HttpRequest& out,
                                          HttpBody& body) noexcept;

/// Whether a server that reads no body behind a request would take the body for the next one: any
/// line that parse_http_request() calls HTTP, whole or not.
///
/// @param text   The body from its first byte.
/// @param whole  Nothing more of it comes, or is looked at.
[[nodiscard]] LenientLine find_request_in_body(std::string_view text, bool whole) noexcept;

/// One field line (RFC 9112 section 5), without its CRLF.
struct HttpFieldLine {
  std::string_view name;
  std::string_view value;  ///< Without white space around it.
};

/// @return  False for a line RFC 9112 section 5 forbids, a folded one among them.
[[nodiscard]] bool parse_http_field(std::string_view line, HttpFieldLine& out) noexcept;

/// Whether parse_http_request() looks at what a field of this name says, but for those asked for.
[[nodiscard]] bool is_http_request_field(std::string_view name) noexcept;

}  // namespace sallyport
