// Packets out of pcap and pcapng files of every shape.
#include <catch2/catch.hpp>

#include "tests/support/capture_builder.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

constexpr uint64_t kSecond = 1'000'000'000;
const Bytes kOne = bytes_of("one");
const Bytes kTwo = bytes_of("second packet");

}  // namespace

TEST_CASE("pcap is read in every byte order and resolution", "[capture]") {
  struct Row {
    const char* name;
    uint32_t magic;
    uint64_t ns_per_tick;
  };
  const auto row = GENERATE(values<Row>({{"microseconds", 0xa1b2c3d4, 1000},
                                         {"nanoseconds", 0xa1b23c4d, 1},
                                         {"modified", 0xa1b2cd34, 1000}}));
  const bool big_endian = GENERATE(false, true);
  CAPTURE(row.name, big_endian);
  PcapBuilder pcap{.magic = row.magic, .big_endian = big_endian, .network = 101};
  pcap.packet(kOne, 1'700'000'000, 999).packet(kTwo, 5, 7, 100);
  const ReadCapture got = read_capture(pcap.file());
  CHECK(got.fault == CaptureFault::none);
  REQUIRE(got.packets.size() == 2);
  CHECK(got.packets[0].bytes == kOne);
  CHECK(got.packets[0].link_type == 101);
  CHECK(got.packets[0].wire_bytes == 3);
  CHECK(got.packets[0].unix_ns == 1'700'000'000 * kSecond + 999 * row.ns_per_tick);
  CHECK(got.packets[1].bytes == kTwo);
  CHECK(got.packets[1].wire_bytes == 100);
  CHECK(got.packets[1].unix_ns == 5 * kSecond + 7 * row.ns_per_tick);
}

TEST_CASE("a pcap's link type leaves out what stands above it", "[capture]") {
  PcapBuilder pcap{.network = 0x40000001};  // and: its frames have a check sequence
  CHECK(read_capture(pcap.packet(kOne).file()).packets.at(0).link_type == 1);
}

TEST_CASE("lengths of old captures stand the other way round", "[capture]") {
  const auto minor = GENERATE(1U, 2U, 3U);
  PcapBuilder pcap{.minor_version = minor};
  OrderedBytes record;
  record.number(1, 4).number(0, 4).number(100, 4).number(kOne.size(), 4).raw(kOne);
  pcap.records = record.bytes;
  const ReadCapture got = read_capture(pcap.file());
  REQUIRE(got.packets.size() == 1);
  CHECK(got.packets[0].bytes == kOne);
  CHECK(got.packets[0].wire_bytes == 100);
}

TEST_CASE("only today's plain Ethernet pcap is fit for libpcap as it is", "[capture]") {
  const auto plain = [](const PcapBuilder& pcap) {
    return CaptureReader(pcap.file()).is_plain_ethernet(9216);
  };
  CHECK(plain({}));
  CHECK(plain({.magic = 0xa1b23c4d, .big_endian = true}));
  CHECK_FALSE(plain({.magic = 0xa1b2cd34}));
  CHECK_FALSE(plain({.network = 101}));
  CHECK_FALSE(plain({.network = 0x40000001}));
  CHECK_FALSE(plain({.minor_version = 3}));
  CHECK_FALSE(plain({.snapped_to = 1500}));
  CHECK_FALSE(CaptureReader(PcapngBuilder().section().interface(1).file()).is_plain_ethernet(1));
}

TEST_CASE("pcapng has sections, interfaces and packets of several kinds", "[capture]") {
  const bool first_big = GENERATE(false, true);
  const bool second_big = GENERATE(false, true);
  CAPTURE(first_big, second_big);
  PcapngBuilder file;
  file.section(first_big).interface(1, 65535).interface(113, 96, 9).interface(101, 0, 6, 100);
  file.block(4, bytes_of("names")).block(5, bytes_of("statistics")).block(0x80000bad, kTwo);
  file.enhanced(0, 5'000'001, kOne).enhanced(1, 5 * kSecond + 3, kTwo, 900);
  file.enhanced(2, 2'000'000, kOne).obsolete(1, 7 * kSecond, kTwo);
  file.section(second_big).interface(228, 4).simple(bytes_of("cuts"), 20).simple(kOne, 3);
  const ReadCapture got = read_capture(file.file());
  CHECK(got.fault == CaptureFault::none);
  REQUIRE(got.packets.size() == 6);
  const std::vector<uint32_t> links{1, 113, 101, 113, 228, 228};
  const std::vector<uint64_t> times{5 * kSecond + 1000, 5 * kSecond + 3, 102 * kSecond,
                                    7 * kSecond,        7 * kSecond,     7 * kSecond};
  const std::vector<uint32_t> wire{3, 900, 3, 13, 20, 3};
  const std::vector<Bytes> bytes{kOne, kTwo, kOne, kTwo, bytes_of("cuts"), kOne};
  for (size_t i = 0; i < 6; ++i) {
    CAPTURE(i);
    CHECK(got.packets[i].link_type == links[i]);
    CHECK(got.packets[i].unix_ns == times[i]);
    CHECK(got.packets[i].wire_bytes == wire[i]);
    CHECK(got.packets[i].bytes == bytes[i]);
  }
}

TEST_CASE("an interface may count time in any power of ten or two", "[capture]") {
  struct Row {
    int resolution;
    uint64_t ticks;
    uint64_t unix_ns;
  };
  const auto row = GENERATE(values<Row>({
      {-1, 1'500'000, kSecond * 3 / 2},
      {0, 7, 7 * kSecond},
      {3, 1'500, kSecond * 3 / 2},
      {6, 1'700'000'000'999'999, 1'700'000'000 * kSecond + 999'999'000},
      {9, 1'700'000'000'999'999'999, 1'700'000'000'999'999'999},
      {10, 15'000'000'019, kSecond * 3 / 2 + 1},
      {12, 1'500'000'000'000, kSecond * 3 / 2},
      {19, 15'000'000'000'000'000'000U, kSecond * 3 / 2},
      {20, UINT64_MAX, 0},
      {127, UINT64_MAX, 0},
      {0x80, 7, 7 * kSecond},
      {0x80 | 10, 1536, kSecond * 3 / 2},
      {0x80 | 40, uint64_t{3} << 39, kSecond * 3 / 2},
      {0x80 | 63, uint64_t{3} << 62, kSecond * 3 / 2},
      {0x80 | 64, UINT64_MAX, 0},
      {0, UINT64_MAX, UINT32_MAX * kSecond},
  }));
  CAPTURE(row.resolution, row.ticks);
  PcapngBuilder file;
  file.section().interface(1, 0, row.resolution).enhanced(0, row.ticks, kOne);
  const ReadCapture got = read_capture(file.file());
  REQUIRE(got.packets.size() == 1);
  CHECK(got.packets[0].unix_ns == row.unix_ns);
}

TEST_CASE("an interface's clock may be off by years either way", "[capture]") {
  const auto at = [](int64_t offset) {
    PcapngBuilder file;
    file.section().interface(1, 0, 0, offset).enhanced(0, 1000, kOne);
    return read_capture(file.file()).packets.at(0).unix_ns;
  };
  CHECK(at(-400) == 600 * kSecond);
  CHECK(at(-4000) == 0);
  CHECK(at(INT64_MIN) == 0);
  CHECK(at(INT64_MAX) == UINT32_MAX * kSecond);
}

TEST_CASE("damage is told from a cut", "[capture]") {
  struct Row {
    const char* name;
    Bytes file;
    CaptureFault fault;
    size_t packets;
  };
  const Bytes pcap = PcapBuilder().packet(kOne).file();
  const auto good = [] { return PcapngBuilder().section().interface(1).enhanced(0, 1, kOne); };
  Bytes bad_trailer = good().file();
  bad_trailer[bad_trailer.size() - 4] ^= 4;
  Bytes bad_order = PcapngBuilder().section().file();
  bad_order[8] ^= 1;
  const std::vector<Row> rows{
      {"nothing", {}, CaptureFault::not_a_capture, 0},
      {"text", bytes_of("#!/bin/sh and more of it, to be long"), CaptureFault::not_a_capture, 0},
      {"pcap header", prefix_of(pcap, 23), CaptureFault::cut_header, 0},
      {"pcap record", prefix_of(pcap, pcap.size() - 1), CaptureFault::cut_short, 0},
      {"huge pcap record",
       PcapBuilder().packet(kOne).file() + OrderedBytes().number(1, 8).number(1U << 31, 8).bytes,
       CaptureFault::bad_block, 1},
      {"pcapng section", prefix_of(good().file(), 20), CaptureFault::cut_header, 0},
      {"pcapng without its magic", bad_order, CaptureFault::not_a_capture, 0},
      {"pcapng block", prefix_of(good().file(), good().file().size() - 1), CaptureFault::cut_short,
       0},
      {"lengths that differ", bad_trailer, CaptureFault::bad_block, 0},
      {"odd length",
       good().file() + OrderedBytes().number(99, 4).number(13, 4).number(0, 1).number(13, 4).bytes,
       CaptureFault::bad_block, 1},
      {"short length",
       good().file() + OrderedBytes().number(6, 4).number(8, 4).bytes + Bytes(20, 0),
       CaptureFault::bad_block, 1},
      {"no such interface", good().enhanced(1, 1, kOne).file(), CaptureFault::unknown_interface, 1},
      {"simple without one", PcapngBuilder().section().simple(kOne, 3).file(),
       CaptureFault::unknown_interface, 0},
      {"interface of another section", good().section().enhanced(0, 1, kOne).file(),
       CaptureFault::unknown_interface, 1},
      {"packet past its block",
       good()
           .block(6, OrderedBytes().number(0, 4).number(0, 8).number(50, 4).number(50, 4).bytes)
           .file(),
       CaptureFault::bad_block, 1},
      {"simple past its block", good().simple(kOne, 50).file(), CaptureFault::bad_block, 1},
      {"interface too short", good().block(1, Bytes(4, 0)).file(), CaptureFault::bad_block, 1},
      {"option past its block",
       good().block(1, OrderedBytes().number(1, 8).number(9, 2).number(500, 2).bytes).file(),
       CaptureFault::bad_block, 1},
      {"no more order", good().block(0x0a0d0d0a, Bytes(16, 7)).file(), CaptureFault::bad_block, 1},
  };
  for (const Row& row : rows) {
    CAPTURE(row.name);
    const ReadCapture got = read_capture(row.file);
    CHECK(got.fault == row.fault);
    CHECK(got.packets.size() == row.packets);
    CHECK(to_string(got.fault).starts_with("it is "));
  }
}

TEST_CASE("every prefix of a capture has fewer packets or none, and says so", "[capture]") {
  PcapBuilder pcap;
  pcap.packet(kOne).packet(kTwo).packet(kOne);
  PcapngBuilder next;
  next.section(true).interface(1, 0, 9, 5).enhanced(0, 1, kOne).section().interface(101);
  next.simple(kOne, 3).obsolete(0, 2, kTwo);
  for (const Bytes& file : {pcap.file(), next.file()}) {
    const size_t whole = read_capture(file).packets.size();
    REQUIRE(whole == 3);
    size_t before = 0;
    for (size_t size = 0; size < file.size(); ++size) {
      CAPTURE(size);
      const ReadCapture got = read_capture(prefix_of(file, size));
      CHECK(got.packets.size() < whole);
      CHECK(got.packets.size() >= before);
      before = got.packets.size();
    }
  }
}
