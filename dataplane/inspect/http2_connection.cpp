#include "dataplane/inspect/http2_connection.h"

#include <algorithm>
#include <array>

#include "dataplane/inspect/byte_reader.h"
#include "dataplane/inspect/http2_request.h"
#include "dataplane/inspect/http_text.h"

namespace sallyport {
namespace {

using Status = HttpStep::Status;

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr size_t kFrameHeaderBytes = 9;
constexpr uint32_t kMaxPlainFrameBytes = 16384;

enum Type : uint8_t {
  kData,
  kHeaders,
  kPriority,
  kRstStream,
  kSettings,
  kPushPromise,
  kPing,
  kGoaway,
  kWindowUpdate,
  kContinuation,
};

enum Flags : uint8_t {
  kAck = 1,        // SETTINGS
  kEndStream = 1,  // DATA, HEADERS
  kEndHeaders = 4,
  kPadded = 8,
  kWithPriority = 0x20,
};

// RFC 9113 section 6.5.2, RFC 8441, RFC 9218, and gRPC's own.
bool is_plain_setting(uint16_t id, uint32_t value) noexcept {
  switch (id) {
    case 1:  // HEADER_TABLE_SIZE
    case 3:  // MAX_CONCURRENT_STREAMS
    case 6:  // MAX_HEADER_LIST_SIZE
      return true;
    case 2:       // ENABLE_PUSH
    case 8:       // ENABLE_CONNECT_PROTOCOL
    case 9:       // NO_RFC7540_PRIORITIES
    case 0xfe03:  // GRPC_ALLOW_TRUE_BINARY_METADATA
      return value <= 1;
    case 4:  // INITIAL_WINDOW_SIZE
      return value <= 0x7fffffff;
    case 5:       // MAX_FRAME_SIZE
    case 0xfe04:  // GRPC_PREFERRED_RECEIVE_CRYPTO_FRAME_SIZE
      return value >= 0x4000 && value <= 0x7fffffff;
    default:
      return false;
  }
}

bool are_plain_settings(std::span<const uint8_t> payload) noexcept {
  ByteReader in(payload);
  for (size_t at = 0; at < payload.size(); at += 6) {
    const uint16_t id = in.u16();
    const uint32_t high = in.u16();
    if (!is_plain_setting(id, high << 16 | in.u16())) return false;
    for (size_t before = 0; before < at; before += 6) {
      if (payload[before] == id >> 8 && payload[before + 1] == (id & 0xff)) return false;
    }
  }
  return true;
}

}  // namespace

struct Http2Connection::Frame {
  uint32_t payload_bytes;
  uint8_t type;
  uint8_t flags;
  uint32_t stream;

  // RFC 9113 section 4.1. `rest` holds at least a header.
  static Frame read(std::span<const uint8_t> rest) noexcept {
    ByteReader in(rest.first(kFrameHeaderBytes));
    const uint32_t high = in.u8();
    const uint32_t low = in.u16();
    const uint8_t type = in.u8();
    const uint8_t flags = in.u8();
    const uint32_t stream = uint32_t{in.u16()} << 16;
    return {high << 16 | low, type, flags, (stream | in.u16()) & 0x7fffffff};
  }
};

/// Where the pieces of one header block stand behind `rest`.
struct Http2Connection::Block {
  struct Piece {
    size_t offset;
    size_t bytes;
  };
  std::array<Piece, kMaxHttp2BlockFrames> pieces;
  size_t count = 0;
  size_t bytes = 0;  ///< Of all frames, headers and padding too. 0: not whole yet.
};

/// One call of next().
struct Http2Connection::Cursor {
  const std::span<const uint8_t> window;
  const std::span<const std::string_view> header_names;
  HttpScratch& scratch;
  HttpRequest& request;
  size_t at;          ///< Bytes of the window read.
  size_t opened = 0;  ///< So many of them are the opening, and may go.
  Status status = Status::need_more;
  InspectFault fault = InspectFault::none;
  bool stop = false;

  std::span<const uint8_t> rest() const noexcept { return window.subspan(at); }
  void answer(Status answer_status) noexcept {
    status = answer_status;
    stop = true;
  }
  void fail(InspectFault why) noexcept {
    fault = why;
    answer(Status::fault);
  }
};

Http2Preface find_http2_preface(std::span<const uint8_t> prefix) noexcept {
  const auto text = text_of(prefix.data(), std::min(prefix.size(), kPreface.size()));
  if (!kPreface.starts_with(text)) return Http2Preface::no;
  return text.size() == kPreface.size() ? Http2Preface::yes : Http2Preface::need_more;
}

HttpStep Http2Connection::next(std::span<const uint8_t> window,
                               std::span<const std::string_view> header_names, HttpScratch& scratch,
                               HttpRequest& out) noexcept {
  if (fault_ != InspectFault::none) {
    out = HttpRequest{};
    return {.status = Status::fault, .fault = fault_};
  }
  if (deciding_) return {};
  out = HttpRequest{};
  Cursor at{.window = window,
            .header_names = header_names,
            .scratch = scratch,
            .request = out,
            .at = held_bytes_};
  if (stage_ == Stage::preface) {
    const Http2Preface preface = find_http2_preface(window);
    if (preface == Http2Preface::no) return {.status = Status::not_http};
    if (preface == Http2Preface::need_more) return {};
    stage_ = Stage::settings;
    at.at = kPreface.size();
  }
  while (!at.stop) {
    const size_t taken = std::min<size_t>(payload_bytes_, at.rest().size());
    at.at += taken;
    pass_body(static_cast<uint32_t>(taken));
    if (payload_bytes_ != 0 || at.rest().size() < kFrameHeaderBytes) {
      at.answer(Status::need_more);
    } else {
      read_frame(at);
    }
  }
  fault_ = at.fault;
  HttpStep step{.status = at.status, .fault = at.fault};
  if (requests_ == 0) {
    step.forward_bytes = at.opened;
    held_bytes_ = at.at - at.opened;
    if (at.status == Status::request) out.head_bytes += held_bytes_;
  } else {
    step.forward_bytes = at.at;
  }
  return step;
}

void Http2Connection::allow() noexcept {
  ++requests_;
  streams_.set_current(streams_.newest());
  if (!ends_at_once_) streams_.open(last_stream_);
  held_bytes_ = 0;
  deciding_ = false;
}

void Http2Connection::read_frame(Cursor& at) noexcept {
  const Frame frame = Frame::read(at.rest());
  if (const auto fault = check(frame); fault != InspectFault::none) return at.fail(fault);
  if (must_turn(frame)) return at.answer(Status::turn);
  turned_ = false;
  if (frame.type == kHeaders) {
    opening_ = false;
    return read_headers(at, frame);
  }
  if (opening_) return read_opening(at, frame);
  if ((frame.flags & kAck) == 0) stage_ = Stage::frames;
  at.at += kFrameHeaderBytes;
  payload_bytes_ = frame.payload_bytes;
  const bool ends = frame.type == kData && (frame.flags & kEndStream) != 0;
  if (ends || frame.type == kRstStream) ending_stream_ = frame.stream;
  if (payload_bytes_ == 0) end_frame();
}

// Whether its bytes belong to another request than those in front of it, and nobody was told.
bool Http2Connection::must_turn(const Frame& frame) noexcept {
  if (turned_ || frame.stream == 0 || frame.stream > last_stream_) return false;
  turns_to_ = streams_.request_of(frame.stream);
  // Of a stream that is over the client may still update windows and the like.
  const bool has_content = frame.type == kData || frame.type == kHeaders;
  if (turns_to_ == Http2Streams::kLost) return has_content;
  return turns_to_ != Http2Streams::kNone && turns_to_ != streams_.current();
}

// By its header alone.
bool Http2Connection::may_open(const Frame& frame) const noexcept {
  constexpr uint8_t kPlain = 0;
  switch (frame.type) {
    case kSettings:
      // The first alone; an acknowledgement is empty (check()).
      return frame.flags == kAck || (frame.flags == kPlain && stage_ == Stage::settings);
    case kWindowUpdate:
      return frame.flags == kPlain && frame.stream == 0 && !window_updated_;
    default:
      return false;
  }
}

// Everything that leaves so is known beforehand but for a few numbers in their ranges: no more than
// the handshake of TCP tells.
void Http2Connection::read_opening(Cursor& at, const Frame& frame) noexcept {
  const size_t whole = kFrameHeaderBytes + frame.payload_bytes;
  opening_ = may_open(frame) && opening_bytes_ + whole <= kMaxHttp2OpeningBytes;
  if (opening_ && at.rest().size() < whole) return at.answer(Status::need_more);
  const auto payload = opening_ ? at.rest().subspan(kFrameHeaderBytes, frame.payload_bytes)
                                : std::span<const uint8_t>{};
  if (frame.type == kSettings) opening_ = opening_ && are_plain_settings(payload);
  if ((frame.flags & kAck) == 0) stage_ = Stage::frames;
  if (!opening_) {
    at.at += kFrameHeaderBytes;
    payload_bytes_ = frame.payload_bytes;
    return;
  }
  window_updated_ |= frame.type == kWindowUpdate;
  opening_bytes_ = static_cast<uint8_t>(opening_bytes_ + whole);
  at.at += whole;
  at.opened = at.at;
}

// What RFC 9113 section 6 demands of a frame by its header alone. A server ends the connection over
// any of these; here they also keep the two from reading different frames.
InspectFault Http2Connection::check(const Frame& frame) const noexcept {
  const bool opened = frame.stream != 0 && frame.stream <= last_stream_ && frame.stream % 2 == 1;
  const bool ack = (frame.flags & kAck) != 0;
  // Section 4.2: longer only if the server has said that it takes them, which is not read here. But
  // then only bodies, which pass by their length, and header blocks, which have a bound, grow.
  const bool may_be_long =
      frame.type == kData || frame.type == kHeaders || frame.type == kContinuation;
  if (frame.payload_bytes > kMaxPlainFrameBytes && !may_be_long) {
    return InspectFault::http2_bad_frame;
  }
  bool good = true;
  switch (frame.type) {
    case kData:
      // Section 5.1: nothing more of a request comes on a stream that its client has ended.
      good = opened && streams_.request_of(frame.stream) != Http2Streams::kNone;
      break;
    case kHeaders:
      good = frame.stream % 2 == 1;
      break;
    case kPriority:
      good = frame.stream != 0 && frame.payload_bytes == 5;
      break;
    case kRstStream:
      good = opened && frame.payload_bytes == 4;
      break;
    case kSettings:
      good =
          frame.stream == 0 && frame.payload_bytes % 6 == 0 && (!ack || frame.payload_bytes == 0);
      break;
    case kPing:
      good = frame.stream == 0 && frame.payload_bytes == 8;
      break;
    case kGoaway:
      good = frame.stream == 0 && frame.payload_bytes >= 8;
      break;
    case kWindowUpdate:
      good = frame.payload_bytes == 4;
      break;
    case kPushPromise:
      good = false;  // never a client's
      break;
    case kContinuation:
      return InspectFault::http2_bad_continuation;
    default:  // section 5.5: unknown types are ignored
      break;
  }
  // Section 3.4: SETTINGS end the preface. An acknowledgement in front of them does no harm, and
  // there are clients that send one.
  if (stage_ == Stage::settings && frame.type != kSettings) good = false;
  return good ? InspectFault::none : InspectFault::http2_bad_frame;
}

InspectFault Http2Connection::find_block(std::span<const uint8_t> rest, const Frame& first,
                                         Block& block) const noexcept {
  size_t at = 0;
  for (Frame frame = first;;) {
    const size_t frame_bytes = kFrameHeaderBytes + frame.payload_bytes;
    if (frame_bytes > kMaxRequestHeadBytes - at) return InspectFault::http2_headers_too_long;
    if (block.count == kMaxHttp2BlockFrames) return InspectFault::http2_bad_continuation;
    if (frame_bytes > rest.size() - at) return InspectFault::none;
    block.pieces[block.count++] = {at + kFrameHeaderBytes, frame.payload_bytes};
    at += frame_bytes;
    if ((frame.flags & kEndHeaders) != 0) break;
    if (rest.size() - at < kFrameHeaderBytes) return InspectFault::none;
    frame = Frame::read(rest.subspan(at));
    // Section 6.10: nothing may stand in between.
    if (frame.type != kContinuation || frame.stream != first.stream) {
      return InspectFault::http2_bad_continuation;
    }
  }
  // Section 6.2: padding and priority stand around the first piece.
  auto& piece = block.pieces[0];
  ByteReader in(rest.subspan(piece.offset, piece.bytes));
  const size_t padding = (first.flags & kPadded) != 0 ? in.u8() : 0;
  if ((first.flags & kWithPriority) != 0) in.bytes(5);
  if (!in.ok() || padding > in.rest().size()) return InspectFault::http2_bad_frame;
  piece.offset += piece.bytes - in.rest().size();
  piece.bytes = in.rest().size() - padding;
  block.bytes = at;
  return InspectFault::none;
}

template <typename Reader>
InspectFault Http2Connection::decode(std::span<const uint8_t> rest, const Block& block,
                                     HttpScratch& scratch, Reader& reader) noexcept {
  hpack_.begin_block(scratch.hpack);
  for (size_t i = 0; i < block.count; ++i) {
    auto fragment = rest.subspan(block.pieces[i].offset, block.pieces[i].bytes);
    HpackField field;
    for (;;) {
      const auto step = hpack_.next(fragment, i + 1 == block.count, field);
      if (step == HpackDecoder::Step::fault) return InspectFault::http2_bad_header_block;
      if (step == HpackDecoder::Step::end) break;
      if (const auto fault = reader.take(field); fault != InspectFault::none) return fault;
    }
  }
  return hpack_.end_block() ? InspectFault::none : InspectFault::http2_bad_header_block;
}

void Http2Connection::read_headers(Cursor& at, const Frame& frame) noexcept {
  Block block;
  const auto rest = at.rest();
  if (const auto fault = find_block(rest, frame, block); fault != InspectFault::none) {
    return at.fail(fault);
  }
  if (block.bytes == 0) return at.answer(Status::need_more);

  Http2RequestReader reader(at.header_names, at.scratch, at.request);
  if (const auto fault = decode(rest, block, at.scratch, reader); fault != InspectFault::none) {
    reader.record();
    return at.fail(fault);
  }
  // A block on a stream that was opened before is its trailers (section 8.1).
  if (frame.stream <= last_stream_) {
    const bool ends = (frame.flags & kEndStream) != 0;
    const bool open = streams_.request_of(frame.stream) != Http2Streams::kNone;
    auto fault = ends ? reader.finish_trailers() : InspectFault::http2_bad_frame;
    if (fault == InspectFault::none && !open) fault = InspectFault::http2_bad_frame;
    if (fault != InspectFault::none) return at.fail(fault);
    at.at += block.bytes;
    streams_.end(frame.stream);
    return;
  }
  last_stream_ = frame.stream;
  ends_at_once_ = (frame.flags & kEndStream) != 0;
  if (const auto fault = reader.finish(); fault != InspectFault::none) return at.fail(fault);
  at.request.head_bytes = block.bytes;
  deciding_ = true;
  at.answer(Status::request);
}

}  // namespace sallyport
