#include "dataplane/inspect/packet.h"

#include <catch2/catch.hpp>
#include <string>

#include "dataplane/inspect/fault_info.h"
#include "tests/support/packet_builder.h"

using namespace sallyport;
using namespace sallyport::test;
using enum DecodeFault;

namespace {

constexpr auto kA = "198.18.0.2";
constexpr auto kB = "198.19.0.2";
constexpr auto kA6 = "fd00:1::2";
constexpr auto kB6 = "fd00:2::2";

PacketBuilder tcp4() {
  return tcp(kA, 40000, kB, 443);
}
PacketBuilder tcp6() {
  return tcp(kA6, 40000, kB6, 443);
}
PacketBuilder udp4() {
  return udp(kA, 5353, kB, 53).payload("query");
}

struct Row {
  std::string what;
  Bytes frame;
  DecodeFault fault = none;
  PacketKind kind = PacketKind::tcp;
};

void check_rows(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    INFO(row.what);
    Packet packet;
    const DecodeFault fault = decode(row.frame, packet);
    CHECK(to_string(fault) == to_string(row.fault));
    if (fault == none && row.fault == none) {
      CHECK(packet.kind == row.kind);
      CHECK(l4_checksum_ok(row.frame, packet));
    }
  }
}

}  // namespace

TEST_CASE("decode finds every field of a TCP segment", "[packet]") {
  const auto frame = tcp4()
                         .seq(0x01020304)
                         .ack(0x05060708)
                         .flags(kAck | kPsh)
                         .window(4096)
                         .tcp_options({1, 1, 1, 1})
                         .payload("hello")
                         .trailer(7)
                         .frame();
  Packet packet;
  REQUIRE(decode(frame, packet) == none);
  CHECK(packet.kind == PacketKind::tcp);
  CHECK(to_string(packet.flow.source) == kA);
  CHECK(to_string(packet.flow.destination) == kB);
  CHECK(packet.flow.source_port == 40000);
  CHECK(packet.flow.destination_port == 443);
  CHECK(packet.flow.ip_protocol == 6);
  CHECK(packet.tcp_flags == (kAck | kPsh));
  CHECK(packet.tcp_sequence == 0x01020304);
  CHECK(packet.tcp_acknowledgement == 0x05060708);
  CHECK(packet.tcp_window == 4096);
  CHECK(packet.l3_offset == 14);
  CHECK(packet.l4_offset == 34);
  CHECK(packet.payload_offset == 58);
  CHECK(packet.payload_bytes == 5);  // the trailer is Ethernet padding
}

TEST_CASE("decode counts offsets over tags, options and extension headers", "[packet]") {
  Packet packet;
  REQUIRE(decode(tcp4().vlan(7, 0x88a8).vlan(8).options({148, 4, 0, 0}).payload("x").frame(),
                 packet) == none);
  CHECK(packet.vlan_tags == 2);
  CHECK(packet.vlan_ids == (7 << 12 | 8));
  CHECK(packet.l3_offset == 22);
  CHECK(packet.l4_offset == 46);
  CHECK(packet.payload_offset == 66);
  CHECK(packet.payload_bytes == 1);

  REQUIRE(decode(tcp6()
                     .extension(0)
                     .extension(60, Bytes(14))
                     .extension(60, Bytes(14))
                     .payload("xy")
                     .trailer(3)
                     .frame(),
                 packet) == none);
  CHECK(packet.vlan_tags == 0);
  CHECK(to_string(packet.flow.source) == kA6);
  CHECK(to_string(packet.flow.destination) == kB6);
  CHECK(packet.flow.destination_port == 443);
  CHECK(packet.l4_offset == 14 + 40 + 8 + 16 + 16);
  CHECK(packet.payload_bytes == 2);
}

TEST_CASE("Ethernet and VLAN tags", "[packet]") {
  check_rows({
      {"plain", tcp4().frame()},
      {"802.1Q", tcp4().vlan(7).frame()},
      {"802.1ad and 802.1Q", tcp6().vlan(7, 0x88a8).vlan(8).frame()},
      {"802.1Q twice", udp4().vlan(7).vlan(8).frame(), none, PacketKind::udp},
      {"priority tag, ID 0", tcp4().vlan(0).frame()},
      {"an ID with priority bits", tcp4().vlan(0xe007).frame()},
      {"two tags, cut behind them", prefix_of(tcp4().vlan(7).vlan(8).frame(), 22), truncated_ip},
      {"two tags, the second cut", prefix_of(tcp4().vlan(7).vlan(8).frame(), 21),
       truncated_ethernet},
      {"fragment behind two tags", udp4().vlan(7, 0x88a8).vlan(8).fragment(0, true).frame(),
       fragment},
      {"ARP's type behind a tag, without ARP", tcp4().vlan(7).ethertype(0x0806).frame(),
       malformed_arp},
      {"old QinQ", tcp4().vlan(7, 0x9100).vlan(8).frame()},
      {"three tags", tcp4().vlan(1).vlan(2).vlan(3).frame(), too_many_vlan_tags},
      {"no bytes", {}, truncated_ethernet},
      {"thirteen bytes", prefix_of(tcp4().frame(), 13), truncated_ethernet},
      {"a cut tag", prefix_of(tcp4().vlan(7).frame(), 17), truncated_ethernet},
      {"MPLS", tcp4().ethertype(0x8847).frame(), unsupported_ethertype},
      {"LLDP", tcp4().ethertype(0x88cc).frame(), unsupported_ethertype},
      {"IPv6 behind IPv4's type", tcp6().ethertype(0x0800).frame(), bad_ip_header},
      {"IPv4 behind IPv6's type", tcp4().ethertype(0x86dd).frame(), bad_ip_header},
  });
}

TEST_CASE("ARP is RFC 826 for IPv4 over Ethernet, and nothing more", "[packet]") {
  const auto changed = [](size_t at, uint8_t value) {
    Bytes frame = arp(kA, kB);
    frame.at(at) = value;
    return frame;
  };
  check_rows({
      {"request", arp(kA, kB), none, PacketKind::arp},
      {"reply", arp(kA, kB, 2), none, PacketKind::arp},
      {"padded to 64", arp(kA, kB) + Bytes(22), none, PacketKind::arp},
      {"padded to 65", arp(kA, kB) + Bytes(23), malformed_arp},
      {"cut", prefix_of(arp(kA, kB), 41), malformed_arp},
      {"RARP's operation", arp(kA, kB, 3), malformed_arp},
      {"not Ethernet", changed(15, 6), malformed_arp},
      {"not IPv4", changed(17, 1), malformed_arp},
      {"long hardware address", changed(18, 8), malformed_arp},
      {"long protocol address", changed(19, 16), malformed_arp},
  });
}

TEST_CASE("IPv4 headers", "[packet]") {
  check_rows({
      {"no-operation and router alert", tcp4().options({1, 148, 4, 0, 0, 0}).frame()},
      {"router alert of another length", tcp4().options({148, 3, 0}).frame(), unsafe_option},
      {"forty bytes of no-operation", tcp4().options(Bytes(40, 1)).frame()},
      {"end of list at once", tcp4().options(Bytes(4)).frame()},
      {"security", tcp4().options({130, 4, 1, 2}).frame(), unsafe_option},
      {"stream id", tcp4().options({136, 4, 1, 2}).frame(), unsafe_option},
      {"options of a fragment", tcp4().options({7, 4, 4, 0}).fragment(1, true).frame(),
       unsafe_option},
      {"AH", ip(kA, kB, 51).payload(Bytes(24)).frame(), none, PacketKind::other_ip},
      {"record route", tcp4().options({1, 7, 3, 4, 0}).frame(), unsafe_option},
      {"timestamp", tcp4().options({68, 4, 5, 0}).frame(), unsafe_option},
      {"bytes behind the end of the list", tcp4().options({0, 0x83, 99, 0}).frame(), unsafe_option},
      {"loose source route", tcp4().options({0x83, 7, 4, 10, 0, 0, 1}).frame(), source_route},
      {"strict source route", tcp4().options({1, 0x89, 7, 4, 10, 0, 0, 1}).frame(), source_route},
      {"source route, copied flag off", tcp4().options({3, 3, 4}).frame(), source_route},
      {"option of length 1", tcp4().options({148, 1, 0, 0}).frame(), bad_ip_header},
      {"option past the header", tcp4().options({148, 5, 4, 0}).frame(), bad_ip_header},
      {"option without a length", tcp4().options({1, 1, 1, 7}).frame(), bad_ip_header},
      {"wrong checksum", tcp4().bad_ip_checksum().frame(), bad_ip_checksum},
      {"version 5", tcp4().version(5).frame(), bad_ip_header},
      {"16-byte header", tcp4().header_words(4).frame(), bad_ip_header},
      {"total length below the header's", tcp4().ip_length(19).frame(), bad_ip_header},
      {"total length past the frame", tcp4().ip_length(41).frame(), truncated_ip},
      {"header past the frame", prefix_of(tcp4().options(Bytes(40, 1)).frame(), 50), truncated_ip},
      {"first fragment", udp4().fragment(0, true).frame(), fragment},
      {"last fragment", udp4().fragment(1, false).frame(), fragment},
      {"do not fragment", udp4().fragment(0x4000, false).frame(), none, PacketKind::udp},
      {"GRE", ip(kA, kB, 47).payload("x").frame(), none, PacketKind::other_ip},
      {"no payload", ip(kA, kB, 89).frame(), none, PacketKind::other_ip},
      {"ICMPv6's number", ip(kA, kB, 59).frame(), none, PacketKind::other_ip},
  });
}

TEST_CASE("IPv6 headers and their extension chain", "[packet]") {
  const Bytes type0{0, 0, 0, 0, 0, 0};
  const Bytes srv6_last{4, 0, 0, 0, 0, 0};
  const Bytes srv6_left{4, 1, 0, 0, 0, 0};
  auto eight = tcp6();
  for (int i = 0; i < 8; ++i) eight.extension(60);
  auto nine = eight;
  nine.extension(60);
  Bytes cut_chain = tcp6().extension(60, Bytes(6)).frame();
  cut_chain.at(14 + 40 + 1) = 200;

  check_rows({
      {"plain", tcp6().frame()},
      {"hop-by-hop", tcp6().extension(0).frame()},
      {"destination options", tcp6().extension(60).frame()},
      {"options with bytes in the padding", tcp6().extension(60, {1, 4, 0, 0, 7, 0}).frame(),
       unsafe_option},
      {"router alert", tcp6().extension(0, {5, 2, 0, 0, 1, 0}).frame()},
      {"an option of another kind", tcp6().extension(60, {0x1e, 4, 1, 2, 3, 4}).frame(),
       unsafe_option},
      {"hop-by-hop, destination options, twice",
       tcp6().extension(0).extension(60).extension(60, Bytes(14)).frame()},
      {"destination options before UDP", udp(kA6, 1, kB6, 2).extension(60).frame(), none,
       PacketKind::udp},
      {"hop-by-hop before GRE", ip(kA6, kB6, 47).extension(0).payload("x").frame(), none,
       PacketKind::other_ip},
      {"mobility header", ip(kA6, kB6, 135).payload(Bytes(8)).frame(), none, PacketKind::other_ip},
      {"jumbo payload", tcp6().extension(0, {0xc2, 4, 0, 1, 0, 0}).frame(), unsafe_option},
      {"padding past its header", tcp6().extension(0, {1, 5, 0, 0, 0, 0}).frame(), unsafe_option},
      {"option without a length", tcp6().extension(60, {0, 0, 0, 0, 0, 1}).frame(), unsafe_option},
      {"authentication behind options", tcp6().extension(60).extension(51, Bytes(14)).frame(),
       unsafe_option},
      {"routing behind options", tcp6().extension(60).extension(43, srv6_last).frame(),
       source_route},
      {"routing behind a fragment header",
       tcp6().extension(44, Bytes(6)).extension(43, srv6_last).frame(), fragment},
      {"hop-by-hop twice", tcp6().extension(0).extension(0).frame(), bad_extension_header},
      {"UDP cut behind options", udp(kA6, 1, kB6, 2).extension(60).ip_length(15).frame(),
       truncated_l4},
      {"authentication header", tcp6().extension(51, Bytes(14)).frame(), unsafe_option},
      {"eight headers", eight.frame()},
      {"nine headers", nine.frame(), bad_extension_header},
      {"hop-by-hop second", tcp6().extension(60).extension(0).frame(), bad_extension_header},
      {"header past the payload", cut_chain, bad_extension_header},
      {"no next header", ip(kA6, kB6, 59).frame(), bad_extension_header},
      {"no next header behind one", ip(kA6, kB6, 59).extension(60).frame(), bad_extension_header},
      {"routing type 0", tcp6().extension(43, type0).frame(), source_route},
      {"routing with segments left", tcp6().extension(43, srv6_left).frame(), source_route},
      {"routing, none left", tcp6().extension(43, srv6_last).frame(), source_route},
      {"fragment", tcp6().extension(44).frame(), fragment},
      {"cut fragment header", ip(kA6, kB6, 44).payload(Bytes(7)).frame(), bad_extension_header},
      {"atomic fragment", tcp6().extension(60).extension(44, Bytes(6)).frame(), fragment},
      {"payload length past the frame", tcp6().ip_length(21).frame(), truncated_ip},
      {"39 bytes", prefix_of(tcp6().frame(), 53), truncated_ip},
      {"version 4", tcp6().version(4).frame(), bad_ip_header},
      {"ESP", ip(kA6, kB6, 50).payload("sealed").frame(), none, PacketKind::other_ip},
      {"ICMP's number", ip(kA6, kB6, 41).payload(tcp4().ip_packet()).frame(), none,
       PacketKind::other_ip},
  });
}

TEST_CASE("an IPv4-mapped address in IPv6 is not taken for the IPv4 address", "[packet]") {
  Bytes frame = tcp6().frame();
  const IpAddress mapped = parse_ip_address(kB).value();
  std::ranges::copy(mapped.bytes, frame.begin() + 14 + 24);
  Packet packet;
  CHECK(decode(frame, packet) == bad_ip_header);
}

TEST_CASE("TCP headers", "[packet]") {
  check_rows({
      {"SYN", tcp4().flags(kSyn).frame()},
      {"SYN and ACK", tcp4().flags(kSyn | kAck).frame()},
      {"SYN with ECN bits", tcp4().flags(kSyn | 0xc0).frame()},
      {"RST alone", tcp6().flags(kRst).frame()},
      {"FIN and ACK", tcp4().flags(kFin | kAck).frame()},
      {"SYN and FIN", tcp4().flags(kSyn | kFin).frame(), bad_tcp_header},
      {"SYN and RST", tcp4().flags(kSyn | kRst).frame(), bad_tcp_header},
      {"no flags", tcp4().flags(0).frame(), bad_tcp_header},
      {"ECN bits only", tcp4().flags(0xc0).frame(), bad_tcp_header},
      {"FIN without ACK", tcp4().flags(kFin).frame(), bad_tcp_header},
      {"FIN, PSH, URG", tcp4().flags(kFin | kPsh | kUrg).frame(), bad_tcp_header},
      {"data offset 4", tcp4().data_offset(4).frame(), bad_tcp_header},
      {"data offset past the segment", tcp4().data_offset(6).frame(), bad_tcp_header},
      {"header past the IP length", tcp4().ip_length(39).frame(), truncated_l4},
      {"same address and port", tcp(kA, 80, kA, 80).frame(), land},
      {"same address, other port", tcp(kA, 80, kA, 81).frame()},
      {"same port, other address", tcp(kA, 80, kB, 80).frame()},
  });
}

TEST_CASE("UDP headers", "[packet]") {
  check_rows({
      {"payload", udp4().frame(), none, PacketKind::udp},
      {"no payload", udp(kA6, 1, kB6, 2).frame(), none, PacketKind::udp},
      {"length 7", udp4().udp_length(7).frame(), bad_udp_length},
      {"length below the IP payload's", udp4().udp_length(12).frame(), bad_udp_length},
      {"length past the IP payload", udp4().udp_length(14).frame(), bad_udp_length},
      {"length 0", udp(kA6, 1, kB6, 2).udp_length(0).frame(), bad_udp_length},
      {"seven bytes", udp4().ip_length(27).frame(), truncated_l4},
      {"same address and port", udp(kA6, 7, kA6, 7).frame(), land},
  });
}

TEST_CASE("link messages are what hosts and routers send, with no room for data", "[packet]") {
  constexpr auto kNd = PacketKind::neighbor_discovery;
  constexpr auto kRouter = PacketKind::router_message;
  constexpr auto kIcmp = PacketKind::icmp;
  const auto nd = [](uint8_t type, size_t fixed_bytes, const Bytes& options = {},
                     const char* to = "ff02::1:ff00:2") {
    return icmp("2001:db8:1::1", to, type).ttl(255).payload(Bytes(fixed_bytes - 8) + options);
  };
  const Bytes link_layer{1, 1, 2, 0, 0, 0, 0, 1};
  const Bytes nonce{14, 1, 2, 3, 4, 5, 6, 7};
  check_rows({
      {"router solicitation", nd(133, 8).frame(), none, kNd},
      {"router advertisement", nd(134, 16).frame(), none, kRouter},
      {"neighbor solicitation", nd(135, 24, link_layer + nonce).frame(), none, kNd},
      {"neighbor advertisement", nd(136, 24, link_layer).frame(), none, kNd},
      {"redirect", nd(137, 40).frame(), none, kRouter},
      {"to a link-local neighbor", nd(135, 24, {}, "fe80::2").frame(), none, kNd},
      {"to one in the same /64", nd(135, 24, {}, "2001:db8:1::2").frame(), none, kNd},
      {"to anywhere else", nd(135, 24, {}, "2001:db8:2::2").frame(), none, kIcmp},
      {"to a wider multicast scope", nd(135, 24, {}, "ff05::2").frame(), none, kIcmp},
      {"behind an extension header", nd(135, 24).extension(60).frame(), none, kIcmp},
      {"three options", nd(135, 24, nonce + nonce + nonce).frame(), none, kIcmp},
      {"an option of 16 bytes", nd(135, 24, Bytes{14, 2} + Bytes(14)).frame(), none, kIcmp},
      {"an option of another kind", nd(135, 24, Bytes{9, 1} + Bytes(6)).frame(), none, kIcmp},
      {"type 138", nd(138, 40).frame(), none, kIcmp},
      {"came through a router", nd(135, 24).ttl(254).frame(), none, kIcmp},
      {"code 1", nd(135, 24).icmp_type(135, 1).frame(), none, kIcmp},
      {"too short", nd(135, 23).frame(), none, kIcmp},
      {"option of length 0", nd(135, 24, Bytes{1, 0, 0, 0, 0, 0, 0, 0}).frame(), none, kIcmp},
      {"option past the end", nd(134, 16, Bytes{1, 2, 0, 0, 0, 0, 0, 0}).frame(), none, kIcmp},
      {"half an option header", nd(135, 24, Bytes{1}).frame(), none, kIcmp},
      {"listener report", nd(143, 28).ttl(1).extension(0, {5, 2, 0, 0, 1, 0}).frame(), none, kNd},
      {"listener report from afar", nd(143, 28).ttl(2).frame(), none, kIcmp},
      {"listener report too long", nd(143, 100).ttl(1).frame(), none, kIcmp},
      {"the same over IPv4", icmp(kA, kB, 135).ttl(255).payload(Bytes(16)).frame(), none, kIcmp},
  });
}

TEST_CASE("an ICMP error names the flow it quotes", "[packet]") {
  constexpr auto kError = PacketKind::icmp_error;
  constexpr auto kIcmp = PacketKind::icmp;
  const Bytes tcp_quote = tcp4().payload("never quoted whole").ip_packet();
  const Bytes udp_quote = udp(kA6, 5353, kB6, 53).extension(0).payload("query").ip_packet();
  const auto error = [&](uint8_t type, const Bytes& quote) {
    return icmp("198.19.0.1", kA, type).payload(quote).frame();
  };
  const auto error6 = [&](uint8_t type, const Bytes& quote) {
    return icmp("fd00:2::1", kA6, type).payload(quote).frame();
  };
  check_rows({
      {"unreachable", error(3, tcp_quote), none, kError},
      {"time exceeded, 8 bytes of TCP", error(11, prefix_of(tcp_quote, 28)), none, kError},
      {"parameter problem", error(12, tcp_quote), none, kError},
      {"7 bytes of TCP", error(3, prefix_of(tcp_quote, 27)), none, kIcmp},
      {"nothing quoted", error(3, {}), none, kIcmp},
      {"redirect", error(5, tcp_quote), none, kIcmp},
      {"source quench", error(4, tcp_quote), none, kIcmp},
      {"echo", error(8, tcp_quote), none, kIcmp},
      {"a first fragment quoted", error(3, udp4().fragment(0, true).ip_packet()), none, kError},
      {"a later fragment quoted", error(3, udp4().fragment(8, false).ip_packet()), none, kIcmp},
      {"a 16-byte header quoted", error(3, tcp4().header_words(4).ip_packet()), none, kIcmp},
      {"options past the quote", error(3, prefix_of(tcp4().options(Bytes(40)).ip_packet(), 50)),
       none, kIcmp},
      {"IPv6 quoted in ICMP", error(3, udp_quote), none, kIcmp},
      {"IPv6: packet too big", error6(2, udp_quote), none, kError},
      {"IPv6: type 5", error6(5, udp_quote), none, kIcmp},
      {"IPv6: cut in the extension header", error6(1, prefix_of(udp_quote, 47)), none, kIcmp},
      {"IPv6: a first fragment quoted",
       error6(2, udp(kA6, 1, kB6, 2).extension(60).extension(44, {0, 1, 0, 0, 0, 7}).ip_packet()),
       none, kError},
      {"IPv6: a later fragment quoted",
       error6(2, udp(kA6, 1, kB6, 2).extension(44, {0, 9, 0, 0, 0, 7}).ip_packet()), none, kIcmp},
      {"IPv6: a fragment in another quoted",
       error6(2, tcp6().extension(44, Bytes(6)).extension(44, Bytes(6)).ip_packet()), none, kIcmp},
      {"IPv6: nothing behind the fragment header",
       error6(2, prefix_of(udp(kA6, 1, kB6, 2).extension(44, Bytes(6)).ip_packet(), 55)), none,
       kIcmp},
      {"IPv4 quoted in ICMPv6", error6(1, tcp_quote), none, kIcmp},
      {"seven bytes of ICMP", icmp(kA, kB, 8).ip_length(27).frame(), truncated_l4},
  });

  Packet packet;
  REQUIRE(decode(error(3, tcp4().options({1}).ip_packet()), packet) == none);
  CHECK(to_string(packet.flow.source) == "198.19.0.1");
  CHECK(to_string(packet.quoted.source) == kA);
  CHECK(to_string(packet.quoted.destination) == kB);
  CHECK(packet.quoted.source_port == 40000);
  CHECK(packet.quoted.destination_port == 443);
  CHECK(packet.quoted.ip_protocol == 6);

  REQUIRE(decode(error6(1, udp_quote), packet) == none);
  CHECK(to_string(packet.quoted.destination) == kB6);
  CHECK(packet.quoted.source_port == 5353);
  CHECK(packet.quoted.destination_port == 53);
  CHECK(packet.quoted.ip_protocol == 17);
}

TEST_CASE("L4 checksums", "[packet]") {
  const auto ok = [](const Bytes& frame) {
    Packet packet;
    REQUIRE(decode(frame, packet) == none);
    return l4_checksum_ok(frame, packet);
  };
  // Every length class of the summing loop, odd ones included.
  for (size_t size = 0; size < 70; ++size) {
    CAPTURE(size);
    const Bytes payload(size, 0xfe);
    CHECK(ok(tcp4().payload(payload).trailer(1).frame()));
    CHECK(ok(tcp6().payload(payload).frame()));
    CHECK_FALSE(ok(tcp4().payload(payload).bad_l4_checksum().frame()));
    CHECK_FALSE(ok(udp(kA6, 1, kB6, 2).payload(payload).bad_l4_checksum().frame()));
    CHECK_FALSE(ok(icmp(kA, kB, 8).payload(payload).bad_l4_checksum().frame()));
    CHECK_FALSE(ok(icmp(kA6, kB6, 128).payload(payload).bad_l4_checksum().frame()));
  }
  CHECK(ok(udp4().no_udp_checksum().frame()));
  CHECK_FALSE(ok(udp(kA6, 1, kB6, 2).no_udp_checksum().frame()));
  CHECK(ok(ip(kA, kB, 47).payload("no checksum known").frame()));
  CHECK(ok(tcp4().payload(Bytes(60000, 0xff)).frame()));
}

TEST_CASE("no cut of a frame is decoded as if it were whole, or read past", "[packet]") {
  const auto frames = {
      arp(kA, kB),
      tcp4().vlan(7).options({148, 4, 0, 0}).tcp_options({1, 1, 1, 1}).payload("hello").frame(),
      tcp6().extension(0).extension(60, Bytes(14)).payload("hello").frame(),
      udp4().frame(),
      icmp("fd00:2::1", kA6, 1).payload(udp(kA6, 1, kB6, 2).extension(60).ip_packet()).frame(),
      icmp(kA6, kB6, 135).ttl(255).payload(Bytes(16)).frame(),
  };
  for (const Bytes& whole : frames) {
    Packet packet;
    for (size_t size = 0; size < whole.size(); ++size) {
      CAPTURE(size);
      const Bytes cut = prefix_of(whole, size);
      CHECK(decode(cut, packet) != none);
    }
    CHECK(decode(prefix_of(whole, whole.size()), packet) == none);
  }
}
