#pragma once

#include <cstdint>
#include <span>

#include "dataplane/inspect/byte_reader.h"
#include "dataplane/inspect/identify.h"

namespace sallyport {

struct CryptoFrame {
  uint64_t offset = 0;
  std::span<const uint8_t> data;
};

/// Walks the frames of an Initial packet: PADDING, PING, ACK, CRYPTO and CONNECTION_CLOSE, and no
/// other may stand there (RFC 9000 section 12.4).
class InitialFrames {
 public:
  /// @param payload  Of one packet, without protection. Borrowed.
  explicit InitialFrames(std::span<const uint8_t> payload) noexcept;

  /// Goes on to the next CRYPTO frame. False at the end, and at the first fault.
  bool next(CryptoFrame& frame) noexcept;

  /// After next() said false: none, or quic_bad_frame.
  InspectFault fault() const noexcept { return fault_; }

 private:
  bool fail() noexcept {
    fault_ = InspectFault::quic_bad_frame;
    return false;
  }

  ByteReader in_;
  InspectFault fault_ = InspectFault::none;
};

}  // namespace sallyport
