#pragma once

#include <cstdint>
#include <span>

namespace sallyport {

/// The status line a server's bytes start with (RFC 9112 section 4).
struct HttpStatus {
  enum class State : uint8_t {
    need_more,  ///< A prefix of one.
    not_http,   ///< No HTTP/1 response starts like this.
    done,       ///< `code` is the status code, 100 to 999.
  };
  State state = State::need_more;
  uint16_t code = 0;
};

/// @param prefix  The server's stream from where a response starts. Borrowed for the call.
[[nodiscard]] HttpStatus parse_http_status(std::span<const uint8_t> prefix) noexcept;

}  // namespace sallyport
