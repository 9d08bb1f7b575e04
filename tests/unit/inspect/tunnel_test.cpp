#include "dataplane/inspect/tunnel.h"

#include <catch2/catch.hpp>
#include <set>
#include <string>

#include "tests/support/packet_builder.h"

using namespace sallyport;
using namespace sallyport::test;
using enum TunnelKind;

namespace {

constexpr auto kA = "198.18.0.2";
constexpr auto kB = "198.19.0.2";
constexpr auto kA6 = "fd00:1::2";
constexpr auto kB6 = "fd00:2::2";

TunnelKind kind_of(const Bytes& frame) {
  Packet packet;
  REQUIRE(decode(frame, packet) == DecodeFault::none);
  return identify_tunnel(packet,
                         std::span(frame).subspan(packet.payload_offset, packet.payload_bytes));
}

Bytes udp_to(uint16_t port, const Bytes& payload) {
  return udp(kA, 40000, kB, port).payload(payload).frame();
}

const Bytes kInner = tcp(kA, 1, kB, 443).frame();
const Bytes kInner6 = tcp(kA6, 1, kB6, 443).ip_packet();
const Bytes kVxlan = Bytes{8, 0, 0, 0, 0, 0, 42, 0} + kInner;
const Bytes kGeneve = Bytes{1, 0, 0x65, 0x58, 0, 0, 42, 0} + Bytes(4) + kInner;
const Bytes kGtp = Bytes{0x30, 0xff, 0, 4, 0, 0, 0, 1} + Bytes(4, 'x');
const Bytes kTeredo = Bytes{0, 1, 0, 0} + Bytes(9) + Bytes{0, 0} + Bytes(6, 0xaa) + kInner6;
const Bytes kL2tpControl{0xc8, 2, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0};
const Bytes kL2tpData{0, 2, 0, 1, 0, 1, 0xff, 3};
const Bytes kIke = Bytes(4) + Bytes(16, 7) + Bytes{33, 0x20, 34, 8, 0, 0, 0, 0, 0, 0, 0, 28};
const Bytes kEsp = Bytes(20, 1);
// A query whose id has the I flag of VXLAN.
const Bytes kQuery = Bytes{8, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 3} + bytes_of("www") + Bytes{7} +
                     bytes_of("example") + Bytes{3} + bytes_of("com") + Bytes{0, 0, 1, 0, 1};
const Bytes kWireguard = Bytes{1, 0, 0, 0} + Bytes(144, 9);

struct Row {
  std::string what;
  Bytes frame;
  TunnelKind kind;
};

}  // namespace

TEST_CASE("tunnels are named by IP protocol", "[tunnel]") {
  const Row rows[]{
      {"GRE", ip(kA, kB, 47).payload("x").frame(), gre},
      {"GRE over IPv6", ip(kA6, kB6, 47).payload("x").frame(), gre},
      {"GRE behind options", ip(kA6, kB6, 47).extension(60).payload("x").frame(), gre},
      {"IPv4 in IPv4", ip(kA, kB, 4).payload(kInner).frame(), ipip},
      {"IPv4 in IPv6", ip(kA6, kB6, 4).payload(kInner).frame(), ipip},
      {"6in4", ip(kA, kB, 41).payload(kInner6).frame(), ip6_in_ip},
      {"IPv6 in IPv6", ip(kA6, kB6, 41).payload(kInner6).frame(), ip6_in_ip},
      {"ESP", ip(kA, kB, 50).payload("sealed").frame(), esp},
      {"AH", ip(kA, kB, 51).payload("sealed").frame(), ah},
      {"EtherIP", ip(kA, kB, 97).payload("x").frame(), etherip},
      {"L2TPv3", ip(kA, kB, 115).payload("x").frame(), l2tp},
      {"MPLS in IP", ip(kA, kB, 137).payload("x").frame(), mpls_in_ip},
      {"empty GRE", ip(kA, kB, 47).frame(), gre},
      {"OSPF", ip(kA, kB, 89).payload("x").frame(), none},
      {"SCTP", ip(kA, kB, 132).payload("x").frame(), none},
      {"TCP", tcp(kA, 1, kB, 4789).payload(kVxlan).frame(), none},
      {"ICMP", icmp(kA, kB, 8).payload(kVxlan).frame(), none},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    CHECK(to_string(kind_of(row.frame)) == to_string(row.kind));
  }
}

TEST_CASE("tunnels over UDP are named by port and shape", "[tunnel]") {
  const auto changed = [](Bytes payload, size_t at, uint8_t value) {
    payload.at(at) = value;
    return payload;
  };
  const Row rows[]{
      {"VXLAN", udp_to(4789, kVxlan), vxlan},
      {"VXLAN on Linux's port", udp_to(8472, kVxlan), vxlan},
      {"from VXLAN's port to another", udp(kA, 4789, kB, 50000).payload(kVxlan).frame(), none},
      {"a query to VXLAN's port", udp_to(4789, kQuery), none},
      {"a query to GENEVE's port", udp_to(6081, kQuery), none},
      {"a query to port 4500", udp_to(4500, kQuery), none},
      {"VXLAN, a reserved byte in front set", udp_to(4789, changed(kVxlan, 2, 1)), none},
      {"VXLAN of no frame", udp_to(4789, changed(kVxlan, 20, 0x70)), none},
      {"VXLAN over IPv6", udp(kA6, 1, kB6, 4789).payload(kVxlan).frame(), vxlan},
      {"VXLAN with group policy", udp_to(4789, changed(kVxlan, 0, 0x88)), vxlan},
      {"VXLAN without the I flag", udp_to(4789, changed(kVxlan, 0, 0)), none},
      {"VXLAN, reserved byte set", udp_to(4789, changed(kVxlan, 7, 1)), none},
      {"VXLAN without a frame", udp_to(4789, prefix_of(kVxlan, 21)), none},
      {"VXLAN on another port", udp_to(4790, kVxlan), none},
      {"GENEVE", udp_to(6081, kGeneve), geneve},
      {"GENEVE version 1", udp_to(6081, changed(kGeneve, 0, 0x41)), none},
      {"GENEVE, reserved bit set", udp_to(6081, changed(kGeneve, 1, 1)), none},
      {"GENEVE without an ethertype", udp_to(6081, changed(kGeneve, 2, 1)), none},
      {"GENEVE options past the end", udp_to(6081, changed(prefix_of(kGeneve, 12), 0, 2)), none},
      {"GTP-U", udp_to(2152, kGtp), gtp_u},
      {"GTP-U of another length", udp_to(2152, kGtp + Bytes(1)), none},
      {"GTP version 2", udp_to(2152, changed(kGtp, 0, 0x48)), none},
      {"Teredo, both indicators", udp_to(3544, kTeredo), teredo},
      {"Teredo, bare", udp_to(3544, kInner6), teredo},
      {"Teredo, origin alone", udp_to(3544, Bytes(8) + kInner6), teredo},
      {"Teredo, indicator past the end", udp_to(3544, changed(kTeredo, 2, 255)), none},
      {"Teredo with IPv4", udp_to(3544, kInner), none},
      {"L2TPv2 control", udp_to(1701, kL2tpControl), l2tp},
      {"L2TPv2 data", udp_to(1701, kL2tpData), l2tp},
      {"L2TPv3 control", udp_to(1701, changed(kL2tpControl, 1, 3)), l2tp},
      {"L2TP version 4", udp_to(1701, changed(kL2tpControl, 1, 4)), none},
      {"L2TP control without a length", udp_to(1701, changed(kL2tpControl, 0, 0x88)), none},
      {"L2TP, reserved bit set", udp_to(1701, changed(kL2tpData, 0, 0x10)), none},
      {"ESP in UDP", udp_to(4500, kEsp), esp_in_udp},
      {"ESP of no whole words", udp_to(4500, kEsp + Bytes(1)), none},
      {"ESP with a reserved SPI", udp_to(4500, Bytes{0, 0, 0, 255} + Bytes(16, 1)), none},
      {"IKE of another length", udp_to(4500, kIke + Bytes(4)), none},
      {"IKE version 3", udp_to(4500, changed(kIke, 21, 0x30)), none},
      {"IKE in UDP", udp_to(4500, kIke), esp_in_udp},
      {"NAT keepalive", udp_to(4500, Bytes{0xff}), esp_in_udp},
      {"zeros on 4500", udp_to(4500, Bytes(31)), none},
      {"another byte on 4500", udp_to(4500, Bytes{1}), none},
      {"WireGuard initiation", udp_to(51820, kWireguard), wireguard},
      {"WireGuard initiation on 443", udp_to(443, kWireguard), wireguard},
      {"WireGuard response", udp_to(7, Bytes{2, 0, 0, 0} + Bytes(88)), wireguard},
      {"WireGuard, reserved byte set", udp_to(51820, changed(kWireguard, 3, 1)), none},
      {"WireGuard, a byte more", udp_to(51820, kWireguard + Bytes(1)), none},
      {"no payload", udp_to(4789, {}), none},
      {"DNS", udp_to(53, Bytes(40, 1)), none},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    CHECK(to_string(kind_of(row.frame)) == to_string(row.kind));
  }
}

TEST_CASE("no cut of a tunnel's payload is read past its end", "[tunnel]") {
  const std::pair<uint16_t, Bytes> tunnels[]{
      {4789, kVxlan},       {6081, kGeneve},   {2152, kGtp}, {3544, kTeredo},    {3544, kInner6},
      {1701, kL2tpControl}, {1701, kL2tpData}, {4500, kIke}, {51820, kWireguard}};
  for (const auto& [port, whole] : tunnels) {
    Packet packet;
    packet.kind = PacketKind::udp;
    packet.flow.destination_port = port;
    for (size_t size = 0; size <= whole.size(); ++size) {
      CAPTURE(port, size);
      const Bytes cut = prefix_of(whole, size);  // ASan sees a read past it
      const TunnelKind kind = identify_tunnel(packet, cut);
      if (size < 6) CHECK(kind == none);
      if (size == whole.size()) CHECK(kind != none);
    }
  }
}

TEST_CASE("each kind of tunnel has a name of its own", "[tunnel]") {
  std::set<std::string_view> names;
  for (int i = 0; i < static_cast<int>(TunnelKind::count_); ++i) {
    const auto name = to_string(static_cast<TunnelKind>(i));
    CHECK_FALSE(name.empty());
    CHECK(names.insert(name).second);
  }
}
