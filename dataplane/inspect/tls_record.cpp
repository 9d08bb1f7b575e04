#include "dataplane/inspect/tls_record.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "dataplane/inspect/big_endian.h"

namespace sallyport {
namespace {

constexpr size_t kRecordHeaderBytes = 5;
constexpr uint8_t kHandshake = 22;
constexpr uint8_t kClientHello = 1;
constexpr uint8_t kServerHello = 2;
constexpr uint8_t kVersionMajor = 3;
constexpr uint8_t kMaxVersionMinor = 3;  // RFC 8446 section 5.1: 0x0301 or 0x0303 in practice
constexpr size_t kMaxProtectedBytes = kMaxTlsRecordBytes + 2048;  // RFC 5246 section 6.2.3

// ServerHello.random of a HelloRetryRequest (RFC 8446 section 4.1.3).
constexpr std::array<uint8_t, 32> kRetryRandom = {
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c};

// The part of a record header that has arrived, checked byte by byte: a stream gets the same answer
// however it is cut. `header` is 1..5 bytes.
bool is_bad_header(std::span<const uint8_t> header) noexcept {
  if (header[0] != kHandshake) return true;
  if (header.size() > 1 && header[1] != kVersionMajor) return true;
  if (header.size() > 2 && header[2] > kMaxVersionMinor) return true;
  if (header.size() < kRecordHeaderBytes) return false;
  const size_t length = load_be16(&header[3]);
  return length == 0 || length > kMaxTlsRecordBytes;
}

/// The handshake message as records bring it.
class HelloJoiner {
 public:
  explicit HelloJoiner(IdentifyScratch& scratch) noexcept : scratch_(scratch) {}

  /// Takes what has arrived of one record's content. `record_bytes` is the record's whole length.
  InspectFault add(std::span<const uint8_t> content, size_t record_bytes) noexcept {
    if (header_bytes_ < kHandshakeHeaderBytes) {
      const size_t taken = std::min(content.size(), kHandshakeHeaderBytes - header_bytes_);
      std::copy_n(content.begin(), taken, header_.begin() + header_bytes_);
      header_bytes_ += taken;
      content = content.subspan(taken);
      record_bytes -= taken;
      if (const auto fault = check_header(); fault != InspectFault::none) return fault;
      if (header_bytes_ < kHandshakeHeaderBytes) return InspectFault::none;
    }
    if (record_bytes > missing()) return InspectFault::tls_trailing_bytes;
    if (body_bytes_ == 0 && content.size() == wanted_) {
      whole_ = content;  // in one piece: not copied
    } else if (!content.empty()) {
      std::memcpy(scratch_.handshake.data() + body_bytes_, content.data(), content.size());
      whole_ = std::span(scratch_.handshake).first(body_bytes_ + content.size());
    }
    body_bytes_ += content.size();
    return InspectFault::none;
  }

  bool knows_length() const noexcept { return header_bytes_ == kHandshakeHeaderBytes; }
  bool complete() const noexcept { return knows_length() && missing() == 0; }

  std::span<const uint8_t> body() const noexcept { return whole_; }

 private:
  size_t missing() const noexcept { return wanted_ - body_bytes_; }

  InspectFault check_header() noexcept {
    if (header_bytes_ > 0 && header_[0] != kClientHello) return InspectFault::tls_not_client_hello;
    if (!knows_length()) return InspectFault::none;
    wanted_ = size_t{header_[1]} << 16 | load_be16(&header_[2]);
    return wanted_ > kMaxHelloBytes - kHandshakeHeaderBytes ? InspectFault::tls_hello_too_long
                                                            : InspectFault::none;
  }

  IdentifyScratch& scratch_;
  std::array<uint8_t, kHandshakeHeaderBytes> header_{};
  size_t header_bytes_ = 0;
  size_t wanted_ = 0;  // body bytes, once the header is whole
  size_t body_bytes_ = 0;
  std::span<const uint8_t> whole_;
};

FramedHello failed(InspectFault fault) noexcept {
  return {.status = Identified::Status::fault, .fault = fault};
}

}  // namespace

FramedHello frame_client_hello(std::span<const uint8_t> prefix, IdentifyScratch& scratch) noexcept {
  HelloJoiner joiner(scratch);
  auto rest = prefix;
  while (!rest.empty()) {
    const auto header = rest.first(std::min(rest.size(), kRecordHeaderBytes));
    if (is_bad_header(header)) return failed(InspectFault::tls_bad_record);
    if (header.size() < kRecordHeaderBytes) break;

    const size_t record_bytes = load_be16(&header[3]);
    rest = rest.subspan(kRecordHeaderBytes);
    const auto content = rest.first(std::min(rest.size(), record_bytes));
    if (const auto fault = joiner.add(content, record_bytes); fault != InspectFault::none) {
      return failed(fault);
    }
    if (joiner.complete()) {
      const size_t end = prefix.size() - rest.size() + record_bytes;
      return {.status = Identified::Status::done, .body = joiner.body(), .end = end};
    }
    if (content.size() < record_bytes) {
      // Inside the body nothing is judged before the record ends; inside the header each byte may
      // be.
      const size_t missing = joiner.knows_length() ? record_bytes - content.size() : 1;
      return {.need_bytes = prefix.size() + missing};
    }
    rest = rest.subspan(record_bytes);
  }
  return {.need_bytes = prefix.size() + 1};
}

NextHello next_client_hello(std::span<const uint8_t> stream, IdentifyScratch& scratch) noexcept {
  using Status = NextHello::Status;
  if (stream.empty()) return {.need_bytes = 1};
  if (stream[0] == kHandshake) {
    const FramedHello framed = frame_client_hello(stream, scratch);
    switch (framed.status) {
      case Identified::Status::need_more:
        return {.need_bytes = framed.need_bytes};
      case Identified::Status::done:
        return {.status = Status::hello, .body = framed.body, .end = framed.end};
      case Identified::Status::fault:
        break;
    }
    if (framed.fault == InspectFault::tls_not_client_hello) return {.status = Status::over};
    return {.status = Status::fault, .fault = framed.fault};
  }
  // Early data (RFC 8446 section 4.2.10) is protected, so it may be longer than plaintext.
  const bool bad_start =
      !is_tls_content_type(stream[0]) || (stream.size() > 1 && stream[1] != kVersionMajor);
  if (!bad_start && stream.size() < kRecordHeaderBytes) return {.need_bytes = kRecordHeaderBytes};
  if (bad_start || load_be16(&stream[3]) > kMaxProtectedBytes) {
    return {.status = Status::fault, .fault = InspectFault::tls_bad_record};
  }
  return {.status = Status::skip, .end = kRecordHeaderBytes + load_be16(&stream[3])};
}

ServerAnswer read_server_answer(std::span<const uint8_t> prefix) noexcept {
  constexpr size_t kRandomOffset = kHandshakeHeaderBytes + 2;
  std::array<uint8_t, kRandomOffset + kRetryRandom.size()> start;
  size_t have = 0;
  for (auto rest = prefix; have < start.size();) {
    if (!rest.empty() && is_bad_header(rest.first(std::min(rest.size(), kRecordHeaderBytes)))) {
      return ServerAnswer::other;
    }
    if (rest.size() <= kRecordHeaderBytes) return ServerAnswer::need_more;
    const size_t record_bytes = load_be16(&rest[3]);
    const auto content = rest.subspan(kRecordHeaderBytes);
    const size_t arrived = std::min(content.size(), record_bytes);
    const size_t taken = std::min(arrived, start.size() - have);
    std::copy_n(content.begin(), taken, start.begin() + have);
    have += taken;
    if (start[0] != kServerHello) return ServerAnswer::other;
    rest = content.subspan(arrived);
  }
  const auto random = std::span(start).subspan(kRandomOffset);
  return std::ranges::equal(random, kRetryRandom) ? ServerAnswer::hello_retry_request
                                                  : ServerAnswer::server_hello;
}

}  // namespace sallyport
