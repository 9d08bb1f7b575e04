#include "dataplane/inspect/quic_frames.h"

#include <cstring>

namespace sallyport {
namespace {

// RFC 9000 section 19. Each fits the first byte of a varint, and a longer form of the same type is
// a protocol violation (section 12.4), so a byte is all there is to read.
enum FrameType : uint8_t {
  kPadding = 0x00,
  kPing = 0x01,
  kAck = 0x02,
  kAckEcn = 0x03,
  kCrypto = 0x06,
  kConnectionClose = 0x1c,
};

// Initials are padded to 1200 bytes, so most of one may be zeros.
void skip_padding(ByteReader& in) noexcept {
  const auto rest = in.rest();
  size_t zeros = 0;
  for (uint64_t word = 0; rest.size() - zeros >= sizeof word; zeros += sizeof word) {
    std::memcpy(&word, &rest[zeros], sizeof word);
    if (word != 0) break;
  }
  while (zeros < rest.size() && rest[zeros] == kPadding) ++zeros;
  in.bytes(zeros);
}

bool skip_ack(ByteReader& in, bool with_ecn) noexcept {
  in.varint();  // largest acknowledged
  in.varint();  // delay
  const uint64_t ranges = in.varint();
  in.varint();  // first range
  // Each range takes two bytes at least, so the loop ends with the packet.
  for (uint64_t i = 0; i < ranges && in.ok(); ++i) {
    in.varint();
    in.varint();
  }
  for (int i = 0; with_ecn && i < 3; ++i) in.varint();
  return in.ok();
}

bool skip_close(ByteReader& in) noexcept {
  in.varint();  // error code
  in.varint();  // frame type
  const uint64_t reason_bytes = in.varint();
  in.bytes(reason_bytes);
  return in.ok();
}

bool read_crypto(ByteReader& in, CryptoFrame& frame) noexcept {
  frame.offset = in.varint();
  const uint64_t length = in.varint();
  frame.data = in.bytes(length);
  return in.ok();
}

}  // namespace

InitialFrames::InitialFrames(std::span<const uint8_t> payload) noexcept : in_(payload) {
  if (payload.empty()) fail();  // RFC 9000 section 12.4: at least one frame
}

bool InitialFrames::next(CryptoFrame& frame) noexcept {
  while (fault_ == InspectFault::none) {
    skip_padding(in_);
    if (in_.empty()) return false;
    const uint8_t type = in_.u8();
    switch (type) {
      case kPing:
        break;
      case kAck:
      case kAckEcn:
        if (!skip_ack(in_, type == kAckEcn)) return fail();
        break;
      case kCrypto:
        return read_crypto(in_, frame) || fail();
      case kConnectionClose:
        if (!skip_close(in_)) return fail();
        break;
      default:
        return fail();
    }
  }
  return false;
}

}  // namespace sallyport
