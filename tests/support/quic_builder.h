#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "tests/support/bytes.h"

namespace sallyport::test {

/// A client's Initial keys, made by OpenSSL's own HKDF: not by the code under test.
struct InitialKeys {
  Bytes key;
  Bytes iv;
  Bytes hp;
};
InitialKeys initial_keys(uint32_t version, const Bytes& first_id, std::string_view side = "client");

/// QUIC's variable-length integer, in `width` bytes, or in as few as it needs.
Bytes varint(uint64_t value, size_t width = 0);

/// Frames of RFC 9000 section 19.
Bytes crypto_frame(uint64_t offset, const Bytes& data);
Bytes ack_frame(uint64_t largest);
inline const Bytes kPingFrame = {1};

/// `message` cut into CRYPTO frames at the offsets named, which rise.
std::vector<Bytes> crypto_frames(const Bytes& message, const std::vector<size_t>& cuts);

/// Builds protected Initial packets field by field; sent to the connection id of RFC 9001 appendix
/// A unless to() says otherwise.
class InitialBuilder {
 public:
  explicit InitialBuilder(Bytes frames);

  InitialBuilder& version(uint32_t value) {
    version_ = value;
    return *this;
  }
  /// Destination connection id; the keys are made of it too, unless keys_of() says otherwise.
  InitialBuilder& to(Bytes id) {
    destination_ = std::move(id);
    return *this;
  }
  InitialBuilder& keys_of(Bytes first_id) {
    first_id_ = std::move(first_id);
    has_first_id_ = true;
    return *this;
  }
  InitialBuilder& from(Bytes id) {
    source_ = std::move(id);
    return *this;
  }
  InitialBuilder& token(Bytes bytes) {
    token_ = std::move(bytes);
    return *this;
  }
  InitialBuilder& number(uint64_t value, size_t bytes = 4) {
    number_ = value;
    number_bytes_ = bytes;
    return *this;
  }
  /// PADDING up to this size of the packet.
  InitialBuilder& pad_to(size_t packet_bytes) {
    pad_to_ = packet_bytes;
    return *this;
  }
  /// XORed into the first byte before it is protected.
  InitialBuilder& flip_first_byte(uint8_t bits) {
    flipped_ = bits;
    return *this;
  }
  InitialBuilder& bad_tag() {
    bad_tag_ = true;
    return *this;
  }
  InitialBuilder& as_server() {
    side_ = "server";
    return *this;
  }

  Bytes packet() const;

 private:
  Bytes frames_;
  uint32_t version_ = 1;
  Bytes destination_;
  Bytes first_id_;
  bool has_first_id_ = false;
  Bytes source_;
  Bytes token_;
  uint64_t number_ = 0;
  size_t number_bytes_ = 4;
  size_t pad_to_ = 0;
  uint8_t flipped_ = 0;
  bool bad_tag_ = false;
  std::string_view side_ = "client";
};

inline InitialBuilder initial(Bytes frames) {
  return InitialBuilder(std::move(frames));
}

/// Any long-header packet but an Initial, with `payload` as it is. `type` is that of version 1:
/// 1 is 0-RTT, 2 Handshake.
Bytes long_packet(uint8_t type, const Bytes& destination, const Bytes& payload,
                  uint32_t version = 1);
/// A server's Retry for version 1, or its version negotiation with `version` 0.
Bytes unnumbered_packet(uint8_t first_byte, uint32_t version, const Bytes& destination,
                        const Bytes& source, const Bytes& rest);

}  // namespace sallyport::test
