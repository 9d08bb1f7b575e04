#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace sallyport {

/// A QUIC version whose Initial packets can be read.
struct QuicVersion {
  uint32_t first;  ///< The lowest and highest version number that share all of the below.
  uint32_t last;
  std::array<uint8_t, 20> salt;  ///< RFC 9001 section 5.2.
  std::string_view label;        ///< Before "key", "iv" and "hp" in their labels.
  /// Long packet type bits of Initial, 0-RTT, Handshake and Retry.
  std::array<uint8_t, 4> types;
};

/// @return nullptr for a version whose keys are not known.
const QuicVersion* find_quic_version(uint32_t version) noexcept;

/// Whether a version number whose keys are not known is QUIC's all the same: reserved to provoke
/// version negotiation (RFC 9000 section 15), a draft, or one of Google's or Meta's own. Any other
/// number is more likely to be another protocol.
bool is_unread_quic_version(uint32_t version) noexcept;

inline constexpr uint32_t kQuicV1 = 1;
inline constexpr uint32_t kQuicV2 = 0x6b3343cf;  // RFC 9369 section 3.1
inline constexpr uint32_t kQuicDraft29 = 0xff00001d;

}  // namespace sallyport
