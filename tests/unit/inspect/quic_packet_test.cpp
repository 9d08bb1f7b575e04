// Headers, keys and protection of single packets, against the vectors of the RFCs.
#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/inspect/quic_crypto.h"
#include "dataplane/inspect/quic_header.h"
#include "tests/support/quic_builder.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

using Kind = QuicHeader::Kind;

const Bytes kId = from_hex("8394c8f03e515708");

// RFC 9001 appendix A.2, and RFC 9369 appendix A.2: the same frame.
const Bytes kRfcFrame = from_hex(
    "060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e86804fe3a47f06a2b69484c000004"
    "13011302010000c000000010000e00000b6578616d706c652e636f6dff01000100000a00080006001d00170018"
    "001000070005"
    "04616c706e000500050100000000003300260024001d00209370b2c9caa47fbabaf4559fedba753de171fa71f5"
    "0f1ce15d43e994ec74d748002b0003020304000d0010000e0403050306030203080408050806002d0002010100"
    "1c00024001003900320408ffffffffffffffff05048000ffff07048000ffff0801100104800075300901100f08"
    "8394c8f03e51570806048000ffff");

Bytes tail_of(const Bytes& whole, size_t size) {
  return {whole.end() - static_cast<std::ptrdiff_t>(size), whole.end()};
}

template <size_t kSize>
Bytes bytes_of(const std::array<uint8_t, kSize>& array) {
  return {array.begin(), array.end()};
}

struct Opened {
  bool ok;
  uint64_t number;
  Bytes payload;
};

Opened open(const Bytes& packet, uint64_t next_number = 0) {
  static const auto cipher = std::make_unique<QuicCipher>();
  Bytes buffer(packet.size());
  const QuicHeader header = read_quic_header(packet);
  REQUIRE(header.kind == Kind::initial);
  const QuicKeys keys = client_initial_keys(*header.traits, header.destination_id);
  const OpenedPacket got =
      cipher->open(keys, packet, header.packet_number_offset, next_number, buffer);
  return {got.ok, got.packet_number, {got.payload.begin(), got.payload.end()}};
}

Kind kind_of(const Bytes& bytes) {
  return read_quic_header(bytes).kind;
}

}  // namespace

TEST_CASE("Initial keys are those of the RFCs", "[quic]") {
  struct Row {
    uint32_t version;
    std::string key, iv, hp;
  };
  const std::vector<Row> rows = {
      // RFC 9001 appendix A.1
      {kQuicV1, "1f369613dd76d5467730efcbe3b1a22d", "fa044b2f42a3fd3b46fb255c",
       "9f50449e04a0e810283a1e9933adedd2"},
      // RFC 9369 appendix A.1
      {kQuicV2, "8b1a0bc121284290a29e0971b5cd045d", "91f73e2351d8fa91660e909f",
       "45b95e15235d6f45a6b19cbcb0294ba9"},
      // draft-ietf-quic-tls-29 appendix A.1
      {kQuicDraft29, "175257a31eb09dea9366d8bb79ad80ba", "6b26114b9cba2b63a9e8dd4f",
       "9ddd12c994c0698b89374a9c077a3077"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.version);
    const QuicKeys keys = client_initial_keys(*find_quic_version(row.version), kId);
    CHECK(bytes_of(keys.key) == from_hex(row.key));
    CHECK(bytes_of(keys.iv) == from_hex(row.iv));
    CHECK(bytes_of(keys.header_protection) == from_hex(row.hp));
  }
}

TEST_CASE("the client Initials of the RFCs are opened", "[quic]") {
  struct Row {
    uint32_t version;
    std::string start, end;  // header and first payload bytes; the tag, which hangs on all of it
  };
  const std::vector<Row> rows = {
      {kQuicV1, "c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11d242",
       "e221af44860018ab0856972e194cd934"},
      {kQuicV2, "d76b3343cf088394c8f03e5157080000449ea0c95e82ffe67b6abcdb4298b485dd04",
       "a18b2faa745b6fe189cf772a9f84cbfc"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.version);
    const Bytes packet =
        initial(kRfcFrame).version(row.version).to(kId).number(2).pad_to(1200).packet();
    REQUIRE(packet.size() == 1200);
    REQUIRE(prefix_of(packet, row.start.size() / 2) == from_hex(row.start));
    REQUIRE(tail_of(packet, 16) == from_hex(row.end));
    const Opened got = open(packet);
    REQUIRE(got.ok);
    CHECK(got.number == 2);
    CHECK(got.payload.size() == 1162);
    CHECK(prefix_of(got.payload, kRfcFrame.size()) == kRfcFrame);
  }
}

TEST_CASE("a packet with any bit changed is not opened", "[quic]") {
  const Bytes good = initial(kPingFrame).to(kId).pad_to(60).packet();
  REQUIRE(open(good).ok);
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    Bytes bad = good;
    bad[bit / 8] ^= static_cast<uint8_t>(1U << bit % 8);
    if (kind_of(bad) != Kind::initial) continue;
    CAPTURE(bit);
    CHECK_FALSE(open(bad).ok);
  }
}

TEST_CASE("packet numbers are completed as RFC 9000 appendix A.3 has it", "[quic]") {
  struct Row {
    uint64_t number;
    size_t bytes;
    uint64_t next;
  };
  for (const Row& row : std::vector<Row>{{0, 1, 0},
                                         {0xa82f9b32, 2, 0xa82f30eb},
                                         {0x100, 1, 0xff},
                                         {0xff, 1, 0x100},
                                         {0x17f, 1, 0x101},
                                         {0x80, 1, 0xff},
                                         {0x200, 1, 0x180},
                                         {0x191, 1, 0x210},
                                         {7, 1, 250},
                                         {3, 4, 0xfffff},
                                         {0xffffffff, 4, 0},
                                         {(uint64_t{1} << 62) - 1, 1, (uint64_t{1} << 62) - 1}}) {
    CAPTURE(row.number, row.bytes, row.next);
    const Opened got =
        open(initial(kPingFrame).number(row.number, row.bytes).pad_to(60).packet(), row.next);
    CHECK(got.ok);
    CHECK(got.number == row.number);
  }
  // Two numbers of one byte that only fit if the bits before are known.
  CHECK_FALSE(open(initial(kPingFrame).number(0x300, 1).pad_to(60).packet(), 0).ok);
}

TEST_CASE("long headers are told apart", "[quic]") {
  const Bytes rest = varint(20) + Bytes(20);
  const auto header = [&](uint8_t first, uint32_t version, const Bytes& behind) {
    return unnumbered_packet(first, version, kId, {1, 2}, behind);
  };
  struct Row {
    std::string what;
    Bytes bytes;
    Kind kind;
  };
  const std::vector<Row> rows = {
      {"nothing", {}, Kind::none},
      {"a short header", {0x40, 1, 2}, Kind::short_header},
      {"zeros", Bytes(30), Kind::short_header},
      {"Initial", header(0xc0, 1, varint(0) + rest), Kind::initial},
      {"Initial with a token", header(0xc0, 1, block({9, 9}, 1) + rest), Kind::initial},
      {"Initial without the fixed bit", header(0x80, 1, varint(0) + rest), Kind::initial},
      {"0-RTT", header(0xd0, 1, rest), Kind::zero_rtt},
      {"Handshake", header(0xe0, 1, rest), Kind::handshake},
      {"Retry", header(0xf0, 1, Bytes(20)), Kind::retry},
      {"Initial of version 2", header(0xd0, kQuicV2, varint(0) + rest), Kind::initial},
      {"0-RTT of version 2", header(0xe0, kQuicV2, rest), Kind::zero_rtt},
      {"Handshake of version 2", header(0xf0, kQuicV2, rest), Kind::handshake},
      {"Retry of version 2", header(0xc0, kQuicV2, Bytes(20)), Kind::retry},
      {"draft 23", header(0xc0, 0xff000017, varint(0) + rest), Kind::initial},
      {"draft 34", header(0xc0, 0xff000022, varint(0) + rest), Kind::initial},
      {"draft 22", header(0xc0, 0xff000016, varint(0) + rest), Kind::unknown_version},
      {"draft 35", header(0xc0, 0xff000023, varint(0) + rest), Kind::unknown_version},
      {"beyond all drafts", header(0xc0, 0xff000040, Bytes(9)), Kind::none},
      {"version negotiation", header(0xca, 0, {0, 0, 0, 1}), Kind::version_negotiation},
      {"a reserved version", header(0xc0, 0x1a2a3a4a, Bytes(9)), Kind::unknown_version},
      {"Q050", header(0xc0, 0x51303530, Bytes(9)), Kind::unknown_version},
      {"mvfst", header(0xc0, 0xfaceb003, Bytes(9)), Kind::unknown_version},
      {"another version", header(0xc0, 0x12345678, Bytes(9)), Kind::none},
      {"a reserved version, id cut", {0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 9, 1}, Kind::none},
      {"id of 20 bytes", unnumbered_packet(0xc0, 1, Bytes(20), {}, varint(0) + rest),
       Kind::initial},
      {"id of 21 bytes", unnumbered_packet(0xc0, 1, Bytes(21), {}, varint(0) + rest),
       Kind::malformed},
      {"source id of 21 bytes", unnumbered_packet(0xc0, 1, {}, Bytes(21), varint(0) + rest),
       Kind::malformed},
      {"token past the end", header(0xc0, 1, varint(90, 2) + rest), Kind::malformed},
      {"token of 2^62 - 1", header(0xc0, 1, varint((uint64_t{1} << 62) - 1, 8) + rest),
       Kind::malformed},
      {"length past the end", header(0xc0, 1, varint(0) + varint(21) + Bytes(20)), Kind::malformed},
      {"too short to sample", header(0xc0, 1, varint(0) + varint(19) + Bytes(19)), Kind::malformed},
  };
  for (const Row& row : rows) {
    INFO(row.what);
    CHECK(kind_of(row.bytes) == row.kind);
  }
}

TEST_CASE("no prefix of a header is one", "[quic]") {
  const Bytes whole = initial(kPingFrame).from({5, 6}).token({1, 2, 3}).packet();
  CHECK(kind_of(whole) == Kind::initial);
  for (size_t size = 0; size < whole.size(); ++size) {
    CAPTURE(size);
    CHECK(kind_of(prefix_of(whole, size)) == (size < 5 ? Kind::none : Kind::malformed));
  }
}

TEST_CASE("a header says where its packet ends", "[quic]") {
  const Bytes first = initial(kPingFrame).from({5, 6}).token({1, 2, 3}).packet();
  const Bytes datagram = first + Bytes(9, 0xc0);
  const QuicHeader header = read_quic_header(datagram);
  CHECK(header.packet_bytes == first.size());
  CHECK(header.packet_number_offset == 1 + 4 + 1 + 8 + 1 + 2 + 1 + 3 + 2);
  CHECK(Bytes(header.destination_id.begin(), header.destination_id.end()) == kId);
  CHECK(Bytes(header.source_id.begin(), header.source_id.end()) == Bytes{5, 6});
}
