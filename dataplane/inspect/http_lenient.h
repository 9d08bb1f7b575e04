#pragma once

#include <cstdint>
#include <string_view>

namespace sallyport {

/// What the first line of a stream that is no request by RFC 9112 may be to a lenient server.
enum class LenientLine : uint8_t {
  no,         ///< No server takes it for a request.
  need_more,  ///< Not certain yet.
  request,    ///< Some server may.
};

/// Looks for a request line with white space in front of it or NULs, tabs and form feeds for its
/// spaces, controls in its target, or a version that is not 1.x; and for a PROXY header, behind
/// which any protocol may stand (the PROXY protocol, sections 2.1 and 2.2). Under a policy that
/// lets pass what it cannot name, none of them may hide a host.
///
/// @param text  The stream from its first byte.
LenientLine read_lenient_line(std::string_view text) noexcept;

}  // namespace sallyport
