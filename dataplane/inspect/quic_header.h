#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/inspect/quic_version.h"

namespace sallyport {

inline constexpr size_t kMaxConnectionIdBytes = 20;  ///< RFC 9000 section 17.2.

/// What stands in the clear at the start of one QUIC packet. Views borrow the datagram.
struct QuicHeader {
  enum class Kind : uint8_t {
    none,  ///< Not QUIC as far as one can tell; nothing else is filled.
    short_header,
    initial,
    zero_rtt,
    handshake,
    retry,
    version_negotiation,
    unknown_version,  ///< QUIC of a version that cannot be read: only the ids are filled.
    malformed,  ///< QUIC by its version, and a length runs past the datagram, or is too small.
  };
  Kind kind = Kind::none;
  uint32_t version = 0;
  const QuicVersion* traits = nullptr;  ///< Of `version`; for the readable long headers.
  std::span<const uint8_t> destination_id;
  std::span<const uint8_t> source_id;
  size_t packet_number_offset = 0;  ///< initial, zero_rtt, handshake.
  /// Of the packet in the datagram; what stands behind belongs to the next one. A header without a
  /// length takes all.
  size_t packet_bytes = 0;

  bool is_long() const noexcept { return kind != Kind::none && kind != Kind::short_header; }
};

/// Reads the header at the start of `bytes` (RFC 9000 section 17.2, RFC 9369 section 3.2). The
/// fixed bit is not asked for: clients may clear it (RFC 9287).
QuicHeader read_quic_header(std::span<const uint8_t> bytes) noexcept;

/// Whether a datagram may start a QUIC connection: a long header of a version known by name. For a
/// look at each datagram of a UDP flow that was something else so far.
inline bool may_start_quic(std::span<const uint8_t> datagram) noexcept {
  if (datagram.empty() || datagram[0] < 0x80) return false;
  const QuicHeader header = read_quic_header(datagram);
  return header.is_long() && header.kind != QuicHeader::Kind::version_negotiation;
}

/// Whether it could be the first datagram of a client in a version that find_quic_version() does
/// not know: what all versions have in common (RFC 8999 section 5.1), and what versions so far ask
/// of an Initial. Other protocols look like that once in a thousand datagrams, if their bytes are
/// random.
bool may_be_other_quic(std::span<const uint8_t> datagram) noexcept;

}  // namespace sallyport
