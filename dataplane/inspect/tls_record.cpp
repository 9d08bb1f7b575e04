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
constexpr uint8_t kVersionMajor = 3;
constexpr uint8_t kMaxVersionMinor = 3;  // RFC 8446 section 5.1: 0x0301 or 0x0303 in practice

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
      return {.status = Identified::Status::done, .body = joiner.body()};
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

}  // namespace sallyport
