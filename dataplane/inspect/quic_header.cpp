#include "dataplane/inspect/quic_header.h"

#include <algorithm>

#include "dataplane/inspect/byte_reader.h"

namespace sallyport {
namespace {

using Kind = QuicHeader::Kind;

constexpr uint8_t kLongHeader = 0x80;
// A packet number of up to 4 bytes, then at least the 16 bytes that header protection samples
// (RFC 9001 section 5.4.2).
constexpr size_t kMinProtectedBytes = 4 + 16;

constexpr std::array<Kind, 4> kLongKinds = {Kind::initial, Kind::zero_rtt, Kind::handshake,
                                            Kind::retry};

Kind long_kind(const QuicVersion& traits, uint8_t first_byte) noexcept {
  const uint8_t bits = first_byte >> 4 & 3;
  const auto* const at = std::ranges::find(traits.types, bits);
  return kLongKinds[static_cast<size_t>(at - traits.types.begin())];
}

// The two ids, as every version has them (RFC 8999 section 5.1).
bool read_ids(ByteReader& in, QuicHeader& out) noexcept {
  out.destination_id = in.block8().rest();
  out.source_id = in.block8().rest();
  return in.ok() && out.destination_id.size() <= kMaxConnectionIdBytes &&
         out.source_id.size() <= kMaxConnectionIdBytes;
}

}  // namespace

QuicHeader read_quic_header(std::span<const uint8_t> bytes) noexcept {
  QuicHeader out;
  out.packet_bytes = bytes.size();
  ByteReader in(bytes);
  const uint8_t first_byte = in.u8();
  if (bytes.empty()) return out;
  if ((first_byte & kLongHeader) == 0) {
    out.kind = Kind::short_header;
    return out;
  }
  out.version = in.u32();
  if (!in.ok()) return out;
  out.traits = find_quic_version(out.version);
  if (out.traits == nullptr) {
    const bool has_ids = read_ids(in, out);
    if (!has_ids) return out;
    if (out.version == 0) out.kind = Kind::version_negotiation;
    if (is_unread_quic_version(out.version)) out.kind = Kind::unknown_version;
    return out;
  }

  out.kind = Kind::malformed;
  if (!read_ids(in, out)) return out;
  const Kind kind = long_kind(*out.traits, first_byte);
  if (kind == Kind::retry) {
    out.kind = kind;
    return out;
  }
  if (kind == Kind::initial) {
    const uint64_t token_bytes = in.varint();
    in.bytes(token_bytes);
  }
  const uint64_t length = in.varint();
  if (!in.ok() || length > in.rest().size() || length < kMinProtectedBytes) return out;
  out.kind = kind;
  out.packet_number_offset = bytes.size() - in.rest().size();
  out.packet_bytes = out.packet_number_offset + length;
  return out;
}

bool may_be_other_quic(std::span<const uint8_t> datagram) noexcept {
  constexpr uint8_t kLongAndFixed = 0xc0;
  constexpr size_t kLeastInitialBytes = 1200;  // RFC 9000 section 14.1
  constexpr size_t kLeastFirstIdBytes = 8;     // RFC 9000 section 7.2
  ByteReader in(datagram);
  const uint8_t first_byte = in.u8();
  const uint32_t version = in.u32();
  if (datagram.size() < kLeastInitialBytes || (first_byte & kLongAndFixed) != kLongAndFixed ||
      version == 0 || find_quic_version(version) != nullptr) {
    return false;
  }
  QuicHeader ids;
  return read_ids(in, ids) && ids.destination_id.size() >= kLeastFirstIdBytes;
}

}  // namespace sallyport
