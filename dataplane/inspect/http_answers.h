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
/// alone, every line ended by CRLF; to HEAD, and with 204 or 304, it ends with its head (section
/// 6.3). At the first byte that leaves a doubt the server is lost for good: an answer that ends
/// with the connection, 101 that nobody asked for, folded lines, bytes that nobody asked for.
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
  /// An answer that has no body announced one, to HEAD or with 304 as it may: a wrong server might
  /// still send it, as what looks like the next answer.
  bool is_in_doubt() const noexcept { return in_doubt_; }
  /// Bytes from the next one on that are an answer's body, whatever they are.
  uint64_t body_bytes_left() const noexcept {
    return state_ == State::body || state_ == State::chunk_data ? remaining_bytes_ : 0;
  }
  /// So many of them come later, or never. @param bytes  At most body_bytes_left().
  void pass_body(uint64_t bytes) noexcept;

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
  uint32_t heads_ = 0;  ///< Bit n: the request that n others wait in front of is a HEAD.
  uint16_t code_ = 0;   ///< Of the answer that is read.
  State state_ = State::status;
  bool is_1_0_ = false;
  bool in_doubt_ = false;
  bool after_cr_ = false;
  bool cut_ = false;  ///< The line is longer than line_.
  uint8_t line_bytes_ = 0;
  std::array<char, kLineBytes> line_;
};
static_assert(std::is_trivially_copyable_v<HttpAnswers>);
static_assert(sizeof(HttpAnswers) <= 120);

}  // namespace sallyport
