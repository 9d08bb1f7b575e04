#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "dataplane/inspect/hpack.h"
#include "dataplane/inspect/http_facts.h"
#include "dataplane/inspect/identify.h"

namespace sallyport {

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
/// - Of the connection's first bytes nothing is forwarded before the first request is allowed; its
///   head_bytes holds the preface and everything else in front of it.
/// - Header blocks are decoded once, in order: a request is answered once, and until allow() next()
///   only asks for more. Whoever cannot decide at once keeps the facts.
/// - A denied request denies the connection: the streams share the memory of its header table.
///
/// DATA is followed by length alone: padding in it is the server's to check, and on a stream that
/// CONNECT opened it is the tunnel's.
///
/// About 32 KiB, of which the header table's memory is most; may not move. Keep a bounded pool of
/// them. Never allocates from the process's heap, logs or throws.
class Http2Connection {
 public:
  HttpStep next(std::span<const uint8_t> window, std::span<const std::string_view> header_names,
                HttpScratch& scratch, HttpRequest& out) noexcept;

  /// The request that next() answered with is allowed.
  void allow() noexcept;

  /// Bytes from the window's front on that belong to a frame that was checked, whatever they are,
  /// and pass_body() for those forwarded without a call of next(). As in HttpStream.
  uint32_t body_bytes_left() const noexcept { return requests_ == 0 ? 0 : payload_bytes_; }
  void pass_body(uint32_t bytes) noexcept { payload_bytes_ -= bytes; }

  uint32_t requests() const noexcept { return requests_; }

 private:
  struct Frame;
  struct Block;
  struct Cursor;
  enum class Stage : uint8_t { preface, settings, frames };

  void read_frame(Cursor& at) noexcept;
  void read_headers(Cursor& at, const Frame& frame) noexcept;
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
  uint32_t requests_ = 0;
  Stage stage_ = Stage::preface;
  bool deciding_ = false;
  InspectFault fault_ = InspectFault::none;
};

}  // namespace sallyport
