// Segments that a NIC would have cut up are cut up: what comes out is what the wire could have had.
#include <catch2/catch.hpp>

#include "dataplane/inspect/big_endian.h"
#include "dataplane/inspect/packet.h"
#include "dataplane/io/capture_split.h"
#include "tests/support/packet_builder.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

constexpr uint8_t kCwr = 0x80;

Bytes numbered(size_t bytes) {
  Bytes out(bytes);
  for (size_t i = 0; i < bytes; ++i) out[i] = static_cast<uint8_t>(i * 7 + i / 251);
  return out;
}

PacketBuilder v4() {
  return tcp("198.18.0.2", 40000, "198.19.0.2", 443);
}
PacketBuilder v6() {
  return tcp("fd00::1", 40000, "fd00::2", 443);
}

std::vector<Bytes> split(const Bytes& frame) {
  const auto ip = find_ip(frame);
  REQUIRE(ip);
  SegmentSplitter pieces(frame, *ip);
  std::vector<Bytes> out;
  for (Bytes piece; pieces.next(piece);) out.push_back(piece);
  CHECK(pieces.count() == out.size());
  CHECK(pieces.can_split() == !out.empty());
  return out;
}

Packet decoded(const Bytes& frame) {
  Packet out;
  REQUIRE(decode(frame, out) == DecodeFault::none);
  CHECK(l4_checksum_ok(frame, out));
  return out;
}

Bytes payload_of(const Bytes& frame, const Packet& packet) {
  const auto start = frame.begin() + packet.payload_offset;
  return {start, start + packet.payload_bytes};
}

}  // namespace

TEST_CASE("pieces carry the segment's bytes, in order and with right headers", "[capture]") {
  struct Row {
    const char* name;
    PacketBuilder segment;
    size_t bytes;
    size_t pieces;
  };
  const Bytes stamps = from_hex("0101080a0000000100000002");
  const std::vector<Row> rows{
      {"IPv4", v4(), 20'000, 3},
      {"IPv6", v6(), 20'000, 3},
      {"even", v4(), 16'384, 2},
      {"as long as IPv4 can say", v4(), 65'495, 8},
      {"no IP length", v4().ip_length(0), 65'495, 8},
      {"longer than IPv4 can say", v4().ip_length(0), 180'000, 22},
      {"no IPv6 length", v6().ip_length(0), 180'000, 22},
      {"options", v4().tcp_options(stamps).options(Bytes(4, 1)), 20'000, 3},
      {"VLAN tags", v4().vlan(1, 0x88a8).vlan(2), 20'000, 3},
      {"wrong checksums", v4().bad_l4_checksum().bad_ip_checksum(), 20'000, 3},
      {"sequence numbers that wrap", v4().seq(UINT32_MAX - 10'000), 20'000, 3},
      {"ids that wrap", v4().id(0xffff), 20'000, 3},
      {"padding", v4().trailer(50), 20'000, 3},
  };
  for (Row row : rows) {
    CAPTURE(row.name);
    const Bytes sent = numbered(row.bytes);
    const Bytes frame = row.segment.payload(sent).frame();
    const auto pieces = split(frame);
    REQUIRE(pieces.size() == row.pieces);
    const bool is_v4 = std::string_view(row.name).find("IPv6") == std::string_view::npos;
    const uint16_t first_id = is_v4 ? load_be16(&pieces[0][decoded(pieces[0]).l3_offset + 4]) : 0;
    const uint32_t first_sequence = decoded(pieces[0]).tcp_sequence;
    Bytes got;
    for (size_t i = 0; i < pieces.size(); ++i) {
      const Packet packet = decoded(pieces[i]);
      CHECK(packet.tcp_sequence == static_cast<uint32_t>(first_sequence + got.size()));
      CHECK(pieces[i].size() <= kMostFrameBytes);
      const auto id = static_cast<uint16_t>(first_id + i);
      if (is_v4) CHECK(load_be16(&pieces[i][packet.l3_offset + 4]) == id);
      append(got, payload_of(pieces[i], packet));
    }
    CHECK(got == sent);
  }
}

TEST_CASE("flags are where the wire would have had them", "[capture]") {
  const Bytes sent = numbered(20'000);
  const auto pieces = split(v4().flags(kAck | kPsh | kFin | kCwr).payload(sent).frame());
  REQUIRE(pieces.size() == 3);
  const auto flags = [&](size_t i) { return pieces[i][14 + 20 + 13]; };
  CHECK(flags(0) == (kAck | kCwr));
  CHECK(flags(1) == kAck);
  CHECK(flags(2) == (kAck | kPsh | kFin));
}

TEST_CASE("urgent data ends where it did", "[capture]") {
  Bytes frame = v4().flags(kAck | kUrg).payload(numbered(20'000)).frame();
  store16(frame, 14 + 20 + 18, 10'000);
  const auto pieces = split(frame);
  REQUIRE(pieces.size() == 3);
  const auto urgent = [&](size_t i) { return load_be16(&pieces[i][14 + 20 + 18]); };
  const auto is_urgent = [&](size_t i) { return (pieces[i][14 + 20 + 13] & kUrg) != 0; };
  CHECK(urgent(0) == 10'000);
  CHECK(urgent(1) == 10'000 - 8192);
  CHECK(urgent(2) == 0);
  CHECK((is_urgent(0) && is_urgent(1) && !is_urgent(2)));
}

TEST_CASE("of a snapped segment comes what was captured, without its end", "[capture]") {
  const Bytes sent = numbered(40'000);
  const Bytes frame = v4().flags(kAck | kFin | kPsh).payload(sent).frame();
  const auto pieces = split(prefix_of(frame, 54 + 10'000));
  REQUIRE(pieces.size() == 2);
  Bytes got;
  for (const Bytes& piece : pieces) append(got, payload_of(piece, decoded(piece)));
  CHECK(got == prefix_of(sent, 10'000));
  CHECK(decoded(pieces[1]).tcp_flags == kAck);
}

TEST_CASE("what is no stream's data is not cut up", "[capture]") {
  const Bytes sent = numbered(20'000);
  CHECK(split(v4().flags(kSyn).payload(sent).frame()).empty());
  CHECK(split(udp("198.18.0.2", 1, "198.19.0.2", 2).payload(sent).frame()).empty());
  CHECK(split(v4().fragment(0, true).payload(sent).frame()).empty());
  CHECK(split(v4().data_offset(4).payload(sent).frame()).empty());
  CHECK(split(v4().frame()).empty());
  // The jumbo payload option (RFC 2675) would have to go with the length that it holds.
  const Bytes jumbo = from_hex("c2040002bf20");
  CHECK(split(v6().ip_length(0).extension(0, jumbo).payload(sent).frame()).empty());
}

TEST_CASE("every prefix of a segment is cut up into whole frames or not at all", "[capture]") {
  const Bytes options = from_hex("01010101");
  const size_t link_bytes = 14 + 4;
  struct Row {
    Bytes frame;
    size_t ip_header_bytes;
  };
  const auto row = GENERATE_COPY(values<Row>(
      {{v6().vlan(5).extension(60, Bytes(14, 0)).tcp_options(options).payload("x").frame(), 56},
       {v4().vlan(5).options(options).tcp_options(options).payload("x").frame(), 24}}));
  for (size_t size = 0; size < row.frame.size(); ++size) {
    CAPTURE(size, row.ip_header_bytes);
    const Bytes prefix = prefix_of(row.frame, size);
    const auto ip = find_ip(prefix);
    REQUIRE(ip.has_value() == (size >= link_bytes + row.ip_header_bytes));
    if (!ip) continue;
    SegmentSplitter pieces(prefix, *ip);
    for (Bytes piece; pieces.next(piece);) decoded(piece);
  }
}
