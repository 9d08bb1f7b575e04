#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "dataplane/inspect/http_framing.h"

namespace sallyport {

/// Follows the server's side of an HTTP/1 connection from answer to answer (RFC 9112), for one
/// question: whose answer is it that agrees to a tunnel?
///
/// Only an answer whose end stands in it is followed: by exactly one Content-Length, or by chunked
/// alone, every line ended by CRLF. At the first byte that leaves a doubt the server is lost for
/// good: an answer to HEAD, 204 or 304, one that ends with the connection, 101 that nobody asked
/// for, folded lines, bytes that nobody asked for.
///
/// Plain data of one connection. Never allocates, logs or throws. A body costs nothing a byte.
class HttpAnswers {
 public:
  /// One more request was allowed to leave.
  /// @param of_head  It is a HEAD.
  void asked(bool of_head) noexcept;

  /// The server's next bytes, in order. Reads on behind each status code.
  /// @param bytes  What was read leaves its front.
  /// @return       The status code of the oldest request without a final answer, 100 to 999; 0 when
  ///               `bytes` are used up, or is_lost().
  [[nodiscard]] uint16_t next_status(std::span<const uint8_t>& bytes) noexcept;

  /// Where answers start is not known any more: bytes are missing, or may be.
  void lose() noexcept { state_ = State::lost; }
  bool is_lost() const noexcept { return state_ == State::lost; }

  /// Requests without the end of a final answer.
  uint32_t waiting() const noexcept { return waiting_; }
  /// Whatever the server says next answers what it is asked next.
  bool all_answered() const noexcept { return state_ == State::status && waiting_ == 0; }

 private:
  enum class State : uint8_t {
    status,
    field,
    body,        ///< remaining_bytes_ of Content-Length.
    chunk_line,  ///< A chunk's size and extensions.
    chunk_data,  ///< remaining_bytes_ of it.
    chunk_end,   ///< The CRLF behind it.
    trailer,
    lost,
  };

  void skip(std::span<const uint8_t>& bytes) noexcept;
  bool put(uint8_t byte) noexcept;
  bool read_status() noexcept;
  bool end_line() noexcept;
  bool take_field(std::string_view line) noexcept;
  bool end_head() noexcept;
  bool end_answer() noexcept;

  /// Longer lines are cut: none that says where an answer ends is as long.
  static constexpr size_t kLineBytes = 64;

  uint64_t remaining_bytes_ = 0;
  HttpFraming framing_;
  uint32_t waiting_ = 0;
  uint16_t code_ = 0;  ///< Of the answer that is read.
  State state_ = State::status;
  bool is_1_0_ = false;
  bool after_cr_ = false;
  bool cut_ = false;  ///< The line is longer than line_.
  uint8_t line_bytes_ = 0;
  std::array<char, kLineBytes> line_;
};
static_assert(std::is_trivially_copyable_v<HttpAnswers>);
static_assert(sizeof(HttpAnswers) <= 120);

}  // namespace sallyport
