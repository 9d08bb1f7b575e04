#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "dataplane/inspect/hpack.h"
#include "dataplane/inspect/http2_streams.h"
#include "dataplane/inspect/http_facts.h"
#include "dataplane/inspect/identify.h"

namespace sallyport {

inline constexpr size_t kMaxHttp2OpeningBytes = 128;

/// HEADERS and all its CONTINUATION frames; more than any client sends.
inline constexpr size_t kMaxHttp2BlockFrames = 33;

enum class Http2Preface : uint8_t { need_more, no, yes };

/// Whether a client's stream starts with the connection preface (RFC 9113 section 3.4): HTTP/2 with
/// prior knowledge.
[[nodiscard]] Http2Preface find_http2_preface(std::span<const uint8_t> prefix) noexcept;

/// Follows the client's side of an HTTP/2 connection with prior knowledge: each request of each
/// stream is decided, whatever lies between is checked by frame and passes.
///
/// Used as HttpStream is, see there, with these differences:
/// - Of the connection's first bytes nothing is forwarded before the first request is allowed, but
///   for its opening, if let_opening_go() was called; head_bytes of the first request holds the
///   preface and everything else in front of it that was not forwarded.
/// - Header blocks are decoded once, in order: a request is answered once, and until allow() next()
///   only asks for more. Whoever cannot decide at once keeps the facts.
/// - Where the client goes on with a request that was allowed before the last one, next() says
///   `turn`; whoever counts by request looks who that is, and calls turn().
/// - A denied request denies the connection: the streams share the memory of its header table.
///
/// DATA is followed by length alone: padding in it is the server's to check, and on a stream that
/// CONNECT opened it is the tunnel's.
///
/// About 33 KiB, of which the header table's memory is most; may not move. Keep a bounded pool of
/// them. Never allocates from the process's heap, logs or throws.
class Http2Connection {
 public:
  HttpStep next(std::span<const uint8_t> window, std::span<const std::string_view> header_names,
                HttpScratch& scratch, HttpRequest& out) noexcept;

  /// The opening may leave before the first request is decided: clients of gRPC wait for the
  /// server's SETTINGS before they send one. It is the preface, the first SETTINGS if it has known
  /// settings alone, once each and within their ranges, one WINDOW_UPDATE of the connection and
  /// empty acknowledgements; up to the first frame that is none of these, and to
  /// kMaxHttp2OpeningBytes of them. To be called before next().
  void let_opening_go() noexcept { opening_ = true; }

  /// The request that next() answered with is allowed. It is streams().newest().
  void allow() noexcept;

  /// Whose frame next() answered `turn` for, as Http2Streams::request_of() has it: never kNone.
  uint8_t turns_to() const noexcept { return turns_to_; }
  /// That is seen to; next() goes on with the frame.
  void turn() noexcept { turned_ = true; }

  Http2Streams& streams() noexcept { return streams_; }

  /// Bytes from the window's front on that belong to a frame that was checked, whatever they are,
  /// and pass_body() for those forwarded without a call of next(). As in HttpStream.
  uint32_t body_bytes_left() const noexcept { return requests_ == 0 ? 0 : payload_bytes_; }
  void pass_body(uint32_t bytes) noexcept {
    payload_bytes_ -= bytes;
    if (payload_bytes_ == 0) end_frame();
  }

  uint32_t requests() const noexcept { return requests_; }

 private:
  struct Frame;
  struct Block;
  struct Cursor;
  enum class Stage : uint8_t { preface, settings, frames };

  void read_frame(Cursor& at) noexcept;
  void read_headers(Cursor& at, const Frame& frame) noexcept;
  bool must_turn(const Frame& frame) noexcept;
  void end_frame() noexcept {
    if (ending_stream_ != 0) streams_.end(ending_stream_);
    ending_stream_ = 0;
  }
  bool may_open(const Frame& frame) const noexcept;
  void read_opening(Cursor& at, const Frame& frame) noexcept;
  InspectFault check(const Frame& frame) const noexcept;
  InspectFault find_block(std::span<const uint8_t> rest, const Frame& frame,
                          Block& block) const noexcept;
  template <typename Reader>
  InspectFault decode(std::span<const uint8_t> rest, const Block& block, HttpScratch& scratch,
                      Reader& reader) noexcept;

  HpackDecoder hpack_;
  size_t held_bytes_ = 0;       ///< Of the window's front: checked, but no request was allowed yet.
  uint32_t payload_bytes_ = 0;  ///< Of the current frame, still to come.
  uint32_t last_stream_ = 0;    ///< The highest a client opened.
  uint32_t ending_stream_ = 0;  ///< The client ends it by the current frame; 0: none.
  uint32_t requests_ = 0;
  Http2Streams streams_;
  Stage stage_ = Stage::preface;
  uint8_t turns_to_ = Http2Streams::kNone;
  bool turned_ = false;        ///< turn() was called for the frame at hand.
  bool ends_at_once_ = false;  ///< The request that waits for allow() is all in its HEADERS.
  bool deciding_ = false;
  bool opening_ = false;         ///< Every frame so far was of the opening, and may go.
  bool window_updated_ = false;  ///< In the opening.
  uint8_t opening_bytes_ = 0;
  InspectFault fault_ = InspectFault::none;
};

}  // namespace sallyport
