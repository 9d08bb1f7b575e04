#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/inspect/identify.h"
#include "policy/runtime/host_name.h"

namespace sallyport {

inline constexpr size_t kMaxHttpMethodBytes = 8192;

/// What the first bytes of a stream are to an HTTP/1 server.
struct HttpHead {
  enum class Status : uint8_t {
    need_more,  ///< Still may become a request head, or more of one.
    not_http,   ///< No HTTP/1 request starts like this.
    done,       ///< A whole head; `name` holds its host, or is empty.
    fault,      ///< An HTTP/1 request that RFC 9112 forbids.
  };
  Status status = Status::need_more;
  InspectFault fault = InspectFault::none;
  bool is_http = false;  ///< The request line was whole and HTTP/1: what follows is held to it.
};

/// Reads the head of the first HTTP/1 request of a stream (RFC 9112).
///
/// The bytes are HTTP when the first line is "method SP … HTTP/1."; line ends in front of it are
/// skipped, as servers do (section 2.2). Anything else, such as SMTP, IRC, Redis, NATS, RTSP, SSH
/// or the HTTP/2 preface, is not_http as soon as that is certain. A line that a lenient server
/// could still take for a request is a fault, so that no policy on names is evaded by it.
///
/// @param prefix  The stream from its first byte. Borrowed for the call.
/// @param name    The host the request is for, canonical: the target's when that names one, else
///                the Host field's. Left empty for an address, an empty Host, or HTTP/1.0 with
///                none.
///
/// The answer depends only on the bytes up to where it is certain: any longer prefix gives it too.
[[nodiscard]] HttpHead parse_http_head(std::span<const uint8_t> prefix, HostName& name) noexcept;

}  // namespace sallyport
