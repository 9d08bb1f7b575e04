#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "dataplane/inspect/identify.h"

namespace sallyport {

inline constexpr size_t kMaxHttpPathBytes = 8192;  ///< Of one canonical reading.
inline constexpr size_t kMaxHttpPathReadings = 4;

/// Where the readings of one path are written: one a worker, any content.
using HttpPathSpace = std::array<std::array<char, kMaxHttpPathBytes>, kMaxHttpPathReadings>;

/// What a server may take a path for, in one spelling each, without repetition.
///
/// Servers disagree on what "/a%2Fb", "/a//b", "/a\b", "/a%252Fb" and "/a;v=1/b" are, and refusing
/// all of them would refuse much that is honest (npm's "/@scope%2fname", for one). So a path with
/// any of these has several readings, and a request passes only if the policy lets each of them
/// pass: whichever the server takes, it was decided.
struct HttpPathReadings {
  std::array<std::string_view, kMaxHttpPathReadings> text;
  size_t count = 0;

  std::span<const std::string_view> view() const noexcept { return std::span(text).first(count); }
};

/// Reads the path of a request target (RFC 3986 sections 3.3 and 6.2.2).
///
/// Each reading starts with '/'. Dot segments are removed, whether their dots are encoded or not.
/// Bytes that may stand in a path (pchar) stand for themselves, all others as %XX with upper-case
/// digits, however the client wrote them; an encoded '/' therefore stays "%2F".
///
///   1st  the path by RFC 3986 alone
///   2nd  and "%2F", "\", "%5C" separate segments, encodings of encodings are undone ("%252e"), and
///        empty segments vanish; there only if that makes a difference
///   3rd, 4th  the 1st and 2nd without what stands behind a ';' in each segment
///
/// @param path  From its '/' on, without query. Borrowed for the call.
/// @param out   Its texts stand in `space`.
/// @return      none, or http_bad_path: a '%' without two hex digits; an encoded control, NUL among
///              them; a raw control or '#'; overlong UTF-8 (what decodes to '/' or '.' in more
///              bytes than it needs, RFC 3629 section 3); no '/' first; over kMaxHttpPathBytes.
[[nodiscard]] InspectFault read_http_path(std::string_view path, HttpPathSpace& space,
                                          HttpPathReadings& out) noexcept;

}  // namespace sallyport
