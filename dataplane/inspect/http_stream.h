#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

#include "dataplane/inspect/http_answers.h"
#include "dataplane/inspect/http_facts.h"
#include "dataplane/inspect/http_framing.h"
#include "dataplane/inspect/identify.h"

namespace sallyport {

/// Longest chunk-size line with its extensions, and longest trailer section: held until they are
/// whole, and more than any client sends.
inline constexpr size_t kMaxChunkLineBytes = 1024;
inline constexpr size_t kMaxTrailerBytes = 4096;
/// Of a body that a server may not read: how far a request is looked for in its first line.
inline constexpr size_t kMaxBodyStartBytes = 8192;

/// Follows the client's side of an HTTP/1 connection from request to request (RFC 9112): heads to
/// be decided, the bodies behind them, pipelining, keep-alive.
///
/// The caller keeps the client's bytes, in order, from the first that was not forwarded:
///
///     step = stream.next(window, ended, names, scratch, request);
///     forward window[0, step.forward_bytes), which leaves the window
///     need_more: come back when the window has grown
///     request:   decide it. Allowed: stream.allow(), forward window[0, request.head_bytes), which
///                leaves the window, and call next() for the rest. Else: nothing more may leave.
///
/// next() does not change what it will answer: until allow(), it gives the same request again. The
/// answers do not depend on how the stream was cut into calls.
///
/// Plain data of one connection, to be kept with its flow. Never allocates, logs or throws. Each
/// call costs one pass over what is new, and one over a head when it is whole.
class HttpStream {
 public:
  /// @param window        See above. Borrowed for the call.
  /// @param ended         The client has sent FIN right behind the window.
  /// @param header_names  Lower-case names of the fields to report, at most kMaxHttpHeaderLines.
  /// @param out           With request: the request. With fault: what was read of one, for records.
  HttpStep next(std::span<const uint8_t> window, bool ended,
                std::span<const std::string_view> header_names, HttpScratch& scratch,
                HttpRequest& out) noexcept;

  /// The request that next() answered with is allowed: what stands behind its head is its body.
  void allow() noexcept;

  /// Bytes from the window's front on that belong to an allowed body, whatever they are. Callers
  /// that forward them without a call of next() say so by pass_body().
  uint64_t body_bytes_left() const noexcept {
    return phase_ == Phase::body || phase_ == Phase::chunk_data ? remaining_bytes_ : 0;
  }
  /// @param bytes  At most body_bytes_left().
  void pass_body(uint64_t bytes) noexcept;

  /// The client asked for a tunnel, and what it sends now waits for the server's answer.
  bool awaits_response() const noexcept { return phase_ == Phase::await_response; }

  /// The server's next bytes, in order, from the connection's first. A final answer to the request
  /// that asked for a tunnel agrees to it, or makes what follows the next request.
  void read_server(std::span<const uint8_t> bytes) noexcept;

  /// Bytes of the server's, from the next one on, that say nothing: an answer's body.
  uint64_t answer_body_left() const noexcept { return answers_.body_bytes_left(); }
  /// So many of them are missing, and are not waited for.
  void pass_answer_body(uint64_t bytes) noexcept { answers_.pass_body(bytes); }

  /// Some of the server's bytes were not seen: no tunnel can be agreed to from here on.
  void lose_server() noexcept { answers_.lose(); }
  /// read_server() still has a use for bytes.
  bool reads_server() const noexcept { return !opaque() && !answers_.is_lost(); }

  /// The server agreed to a tunnel: every byte is forwarded.
  bool opaque() const noexcept { return phase_ == Phase::opaque; }

  /// The next byte is a head's.
  bool at_head() const noexcept { return phase_ == Phase::head; }

  /// Each allowed request has its whole final answer, as far as answers can be followed.
  bool all_answered() const noexcept { return answers_.all_answered(); }

  /// Requests allowed so far.
  uint32_t requests() const noexcept { return requests_; }

 private:
  enum class Phase : uint8_t {
    head,
    body_start,      ///< Of a body that a server may take for the next request.
    body,            ///< remaining_bytes_ of Content-Length.
    chunk_line,      ///< A chunk's size and extensions, up to CRLF.
    chunk_data,      ///< remaining_bytes_ of it.
    chunk_end,       ///< The CRLF behind it.
    trailers,        ///< Field lines up to an empty one.
    await_response,  ///< A tunnel was asked for.
    opaque,
    over,  ///< Behind HTTP/0.9: nothing may follow.
  };
  struct Cursor;

  void read_head(Cursor& at) noexcept;
  void read_body_start(Cursor& at) noexcept;
  void read_data(Cursor& at) noexcept;
  void read_chunk_line(Cursor& at) noexcept;
  void read_chunk_end(Cursor& at) noexcept;
  void read_trailers(Cursor& at) noexcept;
  void read_behind_last(Cursor& at) noexcept;
  InspectFault place_fault() const noexcept;
  void take_status(uint16_t code) noexcept;
  Phase phase_of_body() const noexcept;
  void end_request() noexcept;
  bool head_is_unchanged(std::string_view text, std::span<const std::string_view> names) noexcept;
  void note_head(std::string_view text, bool in_target, bool is_http) noexcept;

  uint64_t remaining_bytes_ = 0;
  uint32_t requests_ = 0;
  /// Of a head that is not whole: bytes of the window that were looked at, and where its last,
  /// unfinished line starts. 0: nothing is known of it.
  uint32_t seen_bytes_ = 0;
  uint32_t line_start_ = 0;
  Phase phase_ = Phase::head;
  bool in_fields_ = false;  ///< line_start_ is behind the request line.
  HttpBody next_body_;      ///< Of the request that waits for allow().
  HttpAnswers answers_;
};
static_assert(std::is_trivially_copyable_v<HttpStream>);
static_assert(sizeof(HttpStream) <= 168);

}  // namespace sallyport
