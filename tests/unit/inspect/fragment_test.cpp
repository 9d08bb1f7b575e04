#include "dataplane/inspect/fragment.h"

#include <catch2/catch.hpp>
#include <string>

#include "dataplane/inspect/fault_info.h"
#include "tests/support/fragment_builder.h"
#include "tests/support/packet_builder.h"

using namespace sallyport;
using namespace sallyport::test;
using enum DecodeFault;

namespace {

constexpr auto kA = "198.18.0.2";
constexpr auto kB = "198.19.0.2";
constexpr auto kA6 = "fd00:1::2";
constexpr auto kB6 = "fd00:2::2";

PacketBuilder udp4() {
  return udp(kA, 5353, kB, 53).payload(Bytes(100, 'q'));
}
PacketBuilder udp6() {
  return udp(kA6, 5353, kB6, 53).payload(Bytes(100, 'q'));
}

// A fragment header's fields behind its type and length bytes.
Bytes place(uint16_t offset, bool more, uint32_t id = 7) {
  Bytes out;
  put16(out, offset | (more ? 1U : 0U));
  put32(out, id);
  return out;
}

// The first fragment of a chain of headers, cut after `bytes` behind the fragment header.
Bytes first_of(PacketBuilder builder, size_t bytes) {
  return fragments::cut(builder.frame(), 0, bytes);
}

struct Row {
  std::string what;
  Bytes frame;
  DecodeFault fault = none;
};

}  // namespace

TEST_CASE("a fragment's key and place", "[fragment]") {
  Fragment fragment;
  REQUIRE(decode_fragment(fragments::cut(udp4().vlan(7, 0x88a8).vlan(8).frame(), 16, 32),
                          fragment) == none);
  CHECK(to_string(fragment.key.source) == kA);
  CHECK(to_string(fragment.key.destination) == kB);
  CHECK(fragment.key.id == 0x1234);
  CHECK(fragment.key.protocol == 17);
  CHECK(fragment.key.vlan_ids[1] == 0x70);
  CHECK(fragment.key.vlan_ids[2] == 8);
  CHECK(fragment.is_v4);
  CHECK(fragment.more);
  CHECK(fragment.from == 16);
  CHECK(fragment.bytes == 16);
  CHECK(fragment.l3_offset == 22);
  CHECK(fragment.payload_offset == 42);
  CHECK(fragment.packet_bytes() == 36);

  REQUIRE(decode_fragment(udp6().extension(0).extension(44, place(0, false)).frame(), fragment) ==
          none);
  CHECK(fragment.key.id == 7);
  CHECK(fragment.key.protocol == 0);
  CHECK(fragment.is_atomic());
  CHECK(fragment.next_header == 17);
  CHECK(fragment.type_at == 14 + 40);
  CHECK(fragment.payload_offset == 14 + 40 + 8 + 8);
  CHECK(fragment.bytes == 108);

  REQUIRE(decode_fragment(fragments::cut(udp6().frame(), 96, 999), fragment) == none);
  CHECK_FALSE(fragment.more);
  CHECK(fragment.from == 96);
  CHECK(fragment.bytes == 12);
  CHECK(fragment.type_at == 14 + 6);
}

TEST_CASE("what no fragment may be", "[fragment]") {
  const Bytes whole4 = udp4().frame();
  const Bytes whole6 = udp6().frame();
  const auto tcp6 = tcp(kA6, 1, kB6, 443).tcp_options(Bytes(12, 1)).payload(Bytes(64));
  const auto echo6 = icmp(kA6, kB6, 128).payload(Bytes(64));
  const std::vector<Row> rows{
      {"whole IPv4", whole4, bad_fragment},
      {"whole IPv6", whole6, bad_fragment},
      {"ARP", arp(kA, kB), bad_fragment},
      {"no bytes", fragments::make(whole4, 8, {}, false), bad_fragment},
      {"no bytes, IPv6", fragments::make(whole6, 8, {}, true), bad_fragment},
      {"nine bytes and more to come", fragments::make(whole4, 8, Bytes(9), true), bad_fragment},
      {"nine bytes at the end", fragments::make(whole4, 8, Bytes(9), false)},
      {"nine bytes and more, IPv6", fragments::make(whole6, 8, Bytes(9), true), bad_fragment},
      {"past 65,535", fragments::make(whole4, 65528, Bytes(8), false), bad_fragment},
      {"the last that fits", fragments::make(whole4, 65504, Bytes(11), false)},
      {"past 65,535, IPv6", fragments::make(whole6, 65528, Bytes(8), false), bad_fragment},
      {"wrong checksum", udp4().fragment(1, true).bad_ip_checksum().frame(), bad_ip_checksum},
      {"source route", udp4().options({0x83, 7, 4, 10, 0, 0, 1}).fragment(1, false).frame(),
       source_route},
      {"routing before it", udp6().extension(43, {4, 0}).extension(44, place(8, true)).frame(),
       source_route},
      {"cut header", ip(kA6, kB6, 44).payload(Bytes(7)).frame(), bad_extension_header},
      {"over 400 bytes of headers before it",
       [] {
         auto out = udp6().payload(Bytes(8));
         for (int i = 0; i < 7; ++i) out.extension(60, Bytes(62));
         return out.extension(44, place(8, true)).frame();
       }(),
       bad_extension_header},
      // RFC 7112
      {"UDP header whole", first_of(udp6(), 8)},
      {"TCP with options whole", first_of(tcp6, 32)},
      {"TCP without its options", first_of(tcp6, 24), partial_header_chain},
      {"TCP, 16 bytes", first_of(tcp6, 16), partial_header_chain},
      {"TCP, 8 bytes", first_of(tcp6, 8), partial_header_chain},
      {"ICMPv6, 8 bytes", first_of(echo6, 8)},
      {"GRE, 8 bytes", first_of(ip(kA6, kB6, 47).payload(Bytes(64)), 8)},
      {"options behind, UDP cut off",
       udp(kA6, 1, kB6, 2).extension(44, place(0, true)).extension(60).ip_length(16).frame(),
       partial_header_chain},
      {"options behind, cut themselves",
       udp(kA6, 1, kB6, 2)
           .extension(44, place(0, true))
           .extension(60, Bytes(14))
           .ip_length(16)
           .frame(),
       partial_header_chain},
      {"options behind, whole",
       udp6().payload(Bytes(8)).extension(44, place(0, true)).extension(60).frame()},
      {"hop-by-hop behind",
       udp6().payload(Bytes(8)).extension(44, place(0, true)).extension(0).frame(),
       partial_header_chain},
      {"routing behind",
       udp6().payload(Bytes(8)).extension(44, place(0, true)).extension(43, {4, 0}).frame(),
       source_route},
      {"another behind",
       udp6().extension(44, place(0, false)).extension(44, place(0, false)).frame(), fragment},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    Fragment out;
    out.bytes = 777;
    const DecodeFault fault = decode_fragment(row.frame, out);
    CHECK(to_string(fault) == to_string(row.fault));
    if (fault != none) CHECK(out.bytes == 777);
  }
}

TEST_CASE("no cut of a fragment is read as one, or past its end", "[fragment]") {
  for (const Bytes& whole :
       {fragments::cut(udp4().vlan(7).options({148, 4, 0, 0}).frame(), 0, 64),
        fragments::cut(udp6().frame(), 0, 64), fragments::cut(udp6().frame(), 64, 999),
        udp6()
            .payload(Bytes(8))
            .extension(0)
            .extension(44, place(0, true))
            .extension(60)
            .frame()}) {
    Fragment fragment;
    for (size_t size = 0; size < whole.size(); ++size) {
      CAPTURE(size);
      CHECK(decode_fragment(prefix_of(whole, size), fragment) != none);
    }
    CHECK(decode_fragment(prefix_of(whole, whole.size()), fragment) == none);
  }
}

TEST_CASE("a datagram is put together and taken apart byte by byte as it was", "[fragment]") {
  for (const Bytes& whole :
       {udp4().id(0x1234).frame(), udp4().id(0x1234).vlan(7).fragment(0x4000, false).frame(),
        udp4().id(0x1234).options({148, 4, 0, 0}).frame(), udp6().frame(),
        udp6().vlan(7).vlan(8).frame()}) {
    for (const size_t step : {8U, 16U, 56U, 104U}) {
      const std::vector<Bytes> parts = fragments::split(whole, step);
      Fragment first;
      REQUIRE(decode_fragment(parts[0], first) == none);
      const size_t payload_bytes = whole.size() - fragments::payload_at(whole);
      Bytes out(first.payload_offset);
      DatagramShape shape = write_whole_headers(parts[0], first, payload_bytes, out);
      REQUIRE(shape.payload_offset == fragments::payload_at(whole));
      CHECK(prefix_of(out, shape.payload_offset) == prefix_of(whole, shape.payload_offset));

      shape.most_bytes = first.packet_bytes();
      CHECK(fragment_payload_bytes(shape) == step);
      for (size_t i = 0; i < parts.size(); ++i) {
        Bytes frame(shape.l3_offset + shape.most_bytes);
        frame.resize(write_fragment(whole, shape, i * step, frame));
        CHECK(frame == parts[i]);
      }
    }
  }
}

TEST_CASE("an atomic fragment without its header is the plain packet", "[fragment]") {
  for (auto plain : {udp6(), udp6().vlan(7), udp6().extension(0)}) {
    const Bytes expected = plain.frame();
    Bytes frame = plain.extension(44, place(0, false)).frame();
    Fragment fragment;
    REQUIRE(decode_fragment(frame, fragment) == none);
    REQUIRE(fragment.is_atomic());
    strip_fragment_header(frame, fragment);
    CHECK(Bytes(frame.begin() + 8, frame.end()) == expected);
  }
}
