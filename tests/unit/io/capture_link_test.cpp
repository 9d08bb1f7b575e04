// Packets of every link type become the Ethernet frame that would have carried them.
#include <algorithm>
#include <catch2/catch.hpp>

#include "dataplane/inspect/packet.h"
#include "dataplane/io/capture_link.h"
#include "tests/support/packet_builder.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

const Bytes kV4 = tcp("198.18.0.2", 40000, "198.19.0.2", 443).payload("hello").ip_packet();
const Bytes kV6 = udp("fd00::1", 5353, "fd00::2", 53).payload("query").ip_packet();

struct Row {
  const char* name;
  uint32_t link_type;
  Bytes header;
  const Bytes* packet;
};

Bytes converted(uint32_t link_type, const Bytes& packet) {
  Bytes buffer;
  const auto frame = to_ethernet(link_type, packet, buffer);
  return {frame.begin(), frame.end()};
}

// 14 bytes: what stands before an ethertype in LINUX_SLL, with 6 bytes of address.
const Bytes kCooked = from_hex("0004000100060200000000010000");

const std::vector<Row> kRows{
    {"raw", 101, {}, &kV4},
    {"raw IPv6", 101, {}, &kV6},
    {"raw, BSD", 12, {}, &kV4},
    {"raw, OpenBSD", 14, {}, &kV6},
    {"IPv4", 228, {}, &kV4},
    {"IPv6", 229, {}, &kV6},
    {"null, little-endian", 0, from_hex("02000000"), &kV4},
    {"null, big-endian", 0, from_hex("00000002"), &kV4},
    {"null, IPv6 of NetBSD", 0, from_hex("18000000"), &kV6},
    {"null, IPv6 of FreeBSD", 0, from_hex("1c000000"), &kV6},
    {"null, IPv6 of macOS", 0, from_hex("0000001e"), &kV6},
    {"null, IPv6 of Linux", 0, from_hex("0a000000"), &kV6},
    {"loop", 108, from_hex("00000002"), &kV4},
    {"cooked", 113, kCooked + from_hex("0800"), &kV4},
    {"cooked IPv6", 113, kCooked + from_hex("86dd"), &kV6},
    {"cooked 2", 276, from_hex("0800000000000003000104060200000000010000"), &kV4},
    {"cooked 2 IPv6", 276, from_hex("86dd000000000003000104060200000000010000"), &kV6},
    {"PPP", 9, from_hex("ff030021"), &kV4},
    {"PPP without address", 9, from_hex("0021"), &kV4},
    {"PPP, short protocol", 9, from_hex("21"), &kV4},
    {"PPP, IPv6", 9, from_hex("0057"), &kV6},
    {"PPP in HDLC", 50, from_hex("ff030057"), &kV6},
    {"Cisco in HDLC", 50, from_hex("0f000800"), &kV4},
    {"Cisco HDLC", 104, from_hex("8f0086dd"), &kV6},
    {"PPP with direction", 204, from_hex("01ff030021"), &kV4},
};

}  // namespace

TEST_CASE("a link header becomes an ethertype", "[capture]") {
  for (const Row& row : kRows) {
    CAPTURE(row.name);
    REQUIRE(is_supported_link(row.link_type));
    const Bytes frame = converted(row.link_type, row.header + *row.packet);
    REQUIRE(frame.size() == 14 + row.packet->size());
    CHECK(Bytes(frame.begin() + 14, frame.end()) == *row.packet);
    Packet packet;
    CHECK(decode(frame, packet) == DecodeFault::none);
    CHECK(packet.kind == (row.packet == &kV4 ? PacketKind::tcp : PacketKind::udp));
  }
}

TEST_CASE("every prefix of a packet is a frame or a stump of one", "[capture]") {
  for (const Row& row : kRows) {
    const Bytes whole = row.header + *row.packet;
    for (size_t size = 0; size < whole.size(); ++size) {
      CAPTURE(row.name, size);
      const Bytes frame = converted(row.link_type, prefix_of(whole, size));
      const bool has_header = size >= row.header.size();
      if (has_header) {
        CHECK(frame.size() == 14 + size - row.header.size());
      } else {
        CHECK(frame.size() < 14 + whole.size());
      }
      Packet packet;
      CHECK(decode(frame, packet) != DecodeFault::none);
    }
  }
}

TEST_CASE("a packet that ends inside its link header leaves a stump", "[capture]") {
  for (const Row& row : kRows) {
    const bool fixed =
        row.link_type == 0 || row.link_type == 104 || row.link_type == 113 || row.link_type == 276;
    for (size_t size = 0; fixed && size < row.header.size(); ++size) {
      CAPTURE(row.name, size);
      const Bytes cut = prefix_of(row.header, size);
      CHECK(converted(row.link_type, cut) == prefix_of(cut, std::min<size_t>(size, 13)));
    }
  }
}

TEST_CASE("Ethernet stays as it is", "[capture]") {
  const std::vector<Bytes> frames{
      tcp("198.18.0.2", 40000, "198.19.0.2", 443).payload("hello").frame(),
      tcp("198.18.0.2", 1, "198.19.0.2", 2).vlan(1).vlan(2).vlan(3).frame(),
      arp("198.18.0.2", "198.19.0.2"),
      Bytes(13, 0),
      {}};
  for (const Bytes& frame : frames) CHECK(converted(1, frame) == frame);
}

TEST_CASE("a PPPoE session's header is taken out, behind VLAN tags too", "[capture]") {
  const auto tags = GENERATE(Bytes{}, from_hex("81000007"), from_hex("88a8000781000008"));
  const Bytes addresses(12, 2);
  const auto session = [&](const Bytes& ppp, size_t length) {
    Bytes out = addresses + tags + from_hex("886411000001");
    put16(out, length);
    return out + ppp;
  };
  const Bytes v4 = from_hex("0021") + kV4;
  const Bytes v6 = from_hex("0057") + kV6;
  const Bytes plain4 = addresses + tags + from_hex("0800") + kV4;
  CHECK(converted(1, session(v4, v4.size())) == plain4);
  CHECK(converted(1, session(v6, v6.size())) == addresses + tags + from_hex("86dd") + kV6);
  CHECK(converted(1, session(v4, v4.size()) + Bytes(6, 0)) == plain4);  // Ethernet's padding
  CHECK(converted(1, session(v4, v4.size() + 100)) == plain4);          // snapped
  // Its own talk, and what is no session's data, stay.
  const Bytes link_control = session(from_hex("c02101010004"), 6);
  CHECK(converted(1, link_control) == link_control);
  Bytes discovery = session(v4, v4.size());
  discovery[addresses.size() + tags.size() + 3] = 9;
  CHECK(converted(1, discovery) == discovery);
  const Bytes cut = prefix_of(session(v4, v4.size()), addresses.size() + tags.size() + 9);
  CHECK(converted(1, cut) == cut);
}

TEST_CASE("LLC with SNAP and Cisco's metadata are taken out", "[capture]") {
  const auto tags = GENERATE(Bytes{}, from_hex("81000007"));
  const Bytes addresses(12, 2);
  const Bytes plain4 = addresses + tags + from_hex("0800") + kV4;
  const Bytes plain6 = addresses + tags + from_hex("86dd") + kV6;
  const auto snap = [&](std::string_view llc, const Bytes& packet) {
    Bytes out = addresses + tags;
    put16(out, 8 + packet.size());
    return out + from_hex(llc) + packet;
  };
  CHECK(converted(1, snap("aaaa030000000800", kV4)) == plain4);
  CHECK(converted(1, snap("aaaa0300000086dd", kV6)) == plain6);
  CHECK(converted(1, snap("aaaa030000000800", kV4) + Bytes(6, 0)) == plain4);  // padding
  const Bytes metadata = addresses + tags + from_hex("8909010100010007");
  CHECK(converted(1, metadata + from_hex("0800") + kV4) == plain4);
  CHECK(converted(1, metadata + from_hex("86dd") + kV6) == plain6);
  // Other organisations, no SNAP, another version, and what is cut stay.
  for (const Bytes& other :
       {snap("aaaa03000c000800", kV4), snap("4242030000000800", kV4), snap("aaaa0300", {}),
        addresses + tags + from_hex("8909020100010007") + from_hex("0800") + kV4,
        prefix_of(metadata, metadata.size() - 1), metadata}) {
    CHECK(converted(1, other) == other);
  }
}

TEST_CASE("PPPoE is found without Ethernet, and in cooked captures", "[capture]") {
  Bytes session = from_hex("11000001");
  put16(session, kV4.size() + 2);
  session = session + from_hex("0021") + kV4;
  const Bytes frame = converted(51, session);
  CHECK(Bytes(frame.begin() + 12, frame.end()) == from_hex("0800") + kV4);
  CHECK(converted(113, kCooked + from_hex("8864") + session) == frame);
}

TEST_CASE("what has no ethertype gets one that nothing decodes", "[capture]") {
  struct Other {
    uint32_t link_type;
    const char* packet;
  };
  const auto row = GENERATE(values<Other>({{101, "2042"},        // neither version 4 nor 6
                                           {0, "0700000045"},    // another address family
                                           {9, "ff03c0210101"},  // link control
                                           {101, ""}}));
  CAPTURE(row.link_type, row.packet);
  const Bytes frame = converted(row.link_type, from_hex(row.packet));
  REQUIRE(frame.size() >= 14);
  CHECK(frame[12] == 0xff);
  CHECK(frame[13] == 0xff);
  Packet packet;
  CHECK(decode(frame, packet) == DecodeFault::unsupported_ethertype);
}

TEST_CASE("link types are called by their names", "[capture]") {
  CHECK(link_type_name(1) == "ETHERNET (1)");
  CHECK(link_type_name(127) == "IEEE802_11_RADIOTAP (127)");
  CHECK(link_type_name(9999) == "9999");
  CHECK_FALSE(is_supported_link(127));
  CHECK_FALSE(is_supported_link(9999));
}
