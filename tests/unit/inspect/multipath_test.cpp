#include "dataplane/inspect/multipath.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "tests/support/packet_builder.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

const Bytes kPayload{30, 4, 0, 0x81, 30};  // what looks like an option behind the options

PacketBuilder syn4() {
  return tcp("198.18.0.2", 40000, "198.19.0.2", 443).seq(0xfffffff0).flags(kSyn);
}
PacketBuilder syn6() {
  return tcp("fd00:1::2", 40000, "fd00:2::2", 443).flags(kSyn).payload(kPayload);
}

/// The headers differ in where the options stand and in what the checksum covers.
std::vector<PacketBuilder> headers() {
  return {syn4(), syn4().vlan(7).options({148, 4, 0, 0}).payload(kPayload).trailer(9), syn6(),
          syn6().extension(60, Bytes(14))};
}

// The checksum of what is expected is the builder's own.
void check(const Bytes& before, const Bytes& after) {
  for (const PacketBuilder& header : headers()) {
    Bytes frame = PacketBuilder(header).tcp_options(before).frame();
    Packet packet;
    REQUIRE(decode(frame, packet) == DecodeFault::none);
    CHECK(remove_multipath_options(frame, packet) == (before != after));
    CHECK(frame == PacketBuilder(header).tcp_options(after).frame());
    CHECK(l4_checksum_ok(frame, packet));
  }
}

Bytes joined(const std::vector<Bytes>& options) {
  Bytes out;
  for (const Bytes& option : options) append(out, option);
  return out;
}
Bytes no_operations(size_t count) {
  return Bytes(count, 1);
}

const Bytes kSegmentSize{2, 4, 5, 0xb4};
const Bytes kScale{3, 3, 7};
const Bytes kTimestamps{8, 10, 30, 4, 30, 4, 0, 0, 0, 0};
const Bytes kCapable{30, 4, 0x10, 0x81};
const Bytes kCapableWithKey{30, 12, 0x01, 0x81, 1, 2, 3, 4, 5, 6, 7, 8};
const Bytes kJoin{30, 16, 0x10, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};

}  // namespace

TEST_CASE("Multipath options become no-operations, wherever they stand", "[multipath]") {
  struct Row {
    std::string what;
    Bytes before;
    Bytes after;
  };
  const Row rows[] = {
      {"no options", {}, {}},
      {"none of them", kSegmentSize + kScale + Bytes{1}, kSegmentSize + kScale + Bytes{1}},
      {"inside another option", kTimestamps + Bytes{1, 1}, kTimestamps + Bytes{1, 1}},
      {"alone", kCapable, no_operations(4)},
      {"first", kCapable + kSegmentSize, no_operations(4) + kSegmentSize},
      {"last", kSegmentSize + kCapable, kSegmentSize + no_operations(4)},
      {"behind what looks like it", kTimestamps + Bytes{1, 1} + kCapable,
       kTimestamps + no_operations(6)},
      {"not at a word", Bytes{1} + kCapable + kScale, no_operations(5) + kScale},
      {"two", kCapable + kScale + kCapableWithKey + Bytes{0},
       no_operations(4) + kScale + no_operations(12) + Bytes{0}},
      {"all 40 bytes", kJoin + kCapableWithKey + kCapableWithKey, no_operations(40)},
      {"of 2 bytes", {30, 2, 1, 1}, no_operations(4)},
      {"of all that is left", Bytes{30, 8} + Bytes(6, 30), no_operations(8)},
      {"an odd number", Bytes{30, 3, 0x10, 1}, no_operations(4)},
      {"behind the end of the list", Bytes{1, 1, 1, 0} + kCapable, Bytes{1, 1, 1, 0} + kCapable},
      {"behind an end that looks like an option", Bytes{0, 2, 1, 1} + kCapable,
       Bytes{0, 2, 1, 1} + kCapable},
      {"before the end of the list", kCapable + Bytes{0, 30, 2, 0},
       no_operations(4) + Bytes{0, 30, 2, 0}},
      {"an option without a length", {1, 1, 1, 30}, {1, 1, 1, 30}},
      {"a length of 0", {30, 0, 1, 1}, {30, 0, 1, 1}},
      {"a length of 1", {30, 1, 30, 2}, {30, 1, 30, 2}},
      {"a length past the header", {30, 5, 1, 1}, {30, 5, 1, 1}},
      {"a length of 255", {30, 255, 1, 1}, {30, 255, 1, 1}},
      {"behind another option's bad length", Bytes{8, 0, 1, 1} + kCapable,
       Bytes{8, 0, 1, 1} + kCapable},
      {"behind another option past the header", Bytes{8, 9, 1, 1} + kCapable,
       Bytes{8, 9, 1, 1} + kCapable},
      {"before a bad length", kCapable + Bytes{8, 1, 1, 1}, no_operations(4) + Bytes{8, 1, 1, 1}},
  };
  for (const Row& row : rows) {
    INFO(row.what);
    check(row.before, row.after);
  }
}

// A header may end anywhere in its options: those that it cuts are none.
TEST_CASE("no cut of the options hides a whole one, or is read past", "[multipath]") {
  const std::vector<std::vector<Bytes>> layouts = {
      {kSegmentSize, kCapable, kScale, kCapableWithKey},
      {kJoin, kTimestamps, kCapable},
      {kCapable, kCapable, kCapable},
  };
  for (const std::vector<Bytes>& layout : layouts) {
    const Bytes whole = joined(layout);
    for (size_t size = 0; size <= whole.size(); ++size) {
      CAPTURE(whole, size);
      // In front, so that the cut is the end of the header.
      const Bytes filler = no_operations((4 - size % 4) % 4);
      Bytes after = prefix_of(whole, size);
      size_t at = 0;
      for (const Bytes& option : layout) {
        const size_t end = at + option.size();
        if (option[0] == 30 && end <= size)
          std::fill_n(after.begin() + static_cast<std::ptrdiff_t>(at), option.size(), 1);
        at = end;
      }
      check(filler + prefix_of(whole, size), filler + after);
    }
  }
}

TEST_CASE("a wrong checksum stays wrong where an option is removed", "[multipath]") {
  for (const PacketBuilder& header : headers()) {
    Bytes frame = PacketBuilder(header).tcp_options(kCapable + kScale + Bytes{1}).frame();
    Packet packet;
    REQUIRE(decode(frame, packet) == DecodeFault::none);
    const size_t at = packet.l4_offset + 16u;
    for (const unsigned error : {1u, 0x100u, 0x7fffu, 0xfffeu}) {
      Bytes wrong = frame;
      const unsigned sum = frame[at] * 256u + frame[at + 1] + error;
      store16(wrong, at, sum % 0xffff);
      REQUIRE_FALSE(l4_checksum_ok(wrong, packet));
      CHECK(remove_multipath_options(wrong, packet));
      CHECK_FALSE(l4_checksum_ok(wrong, packet));
    }
  }
}

TEST_CASE("a wrong checksum stays where there is nothing to remove", "[multipath]") {
  Bytes frame = syn4().tcp_options(kSegmentSize).bad_l4_checksum().frame();
  const Bytes before = frame;
  Packet packet;
  REQUIRE(decode(frame, packet) == DecodeFault::none);
  CHECK_FALSE(remove_multipath_options(frame, packet));
  CHECK(frame == before);
}
