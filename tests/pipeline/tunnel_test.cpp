// Tunnels are protocols of their own: denied unless a rule allows them by address.
#include <catch2/catch.hpp>

#include "tests/pipeline/conversation.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

constexpr auto kClient = "198.18.0.2";
constexpr auto kPeer = "198.19.0.40";

// What rides in them is a conversation that kPolicy would allow by its name.
Bytes inner() {
  return tcp("10.0.0.1", 1, "10.0.0.2", 443).payload(hello().sni("good.test").record()).frame();
}
Bytes inner_packet() {
  return tcp("10.0.0.1", 1, "10.0.0.2", 443).payload(hello().sni("good.test").record()).ip_packet();
}

Bytes vxlan(uint16_t port = 4789) {
  return udp(kClient, 50000, kPeer, port).payload(Bytes{8, 0, 0, 0, 0, 0, 42, 0} + inner()).frame();
}
Bytes gre() {
  return ip(kClient, kPeer, 47).payload(Bytes{0, 0, 8, 0} + inner_packet()).frame();
}
Bytes ipip() {
  return ip(kClient, kPeer, 4).payload(inner_packet()).frame();
}
Bytes geneve() {
  return udp(kClient, 50000, kPeer, 6081)
      .payload(Bytes{0, 0, 0x65, 0x58, 0, 0, 42, 0} + inner())
      .frame();
}

std::string policy(const std::string& rule) {
  return std::string(kPolicy) + "    - " + rule + "\n";
}

}  // namespace

TEST_CASE("rules by name do not let a tunnel out", "[tunnel]") {
  Pipeline pipeline(kPolicy);
  for (const Bytes& packet : {vxlan(), vxlan(8472), gre(), ipip(), geneve()}) {
    pipeline.from_inside(packet);
    CHECK(pipeline.to_outside().empty());
  }
  CHECK(pipeline.counter("sallyport_flows", "state=denied") == 5);
  CHECK(pipeline.drops("denied") == 5);
}

TEST_CASE("a rule by address, protocol and port lets that tunnel out and no other", "[tunnel]") {
  Pipeline pipeline(
      policy("{name: overlay, action: Allow, to: {cidrs: [198.19.0.40/32]}, "
             "protocols: [{udp: {ports: [4789]}}]}"));
  pipeline.from_inside(vxlan());
  CHECK(pipeline.to_outside() == std::vector<Bytes>{vxlan()});
  for (const Bytes& packet : {vxlan(8472), gre(), ipip(), geneve()}) pipeline.from_inside(packet);
  CHECK(pipeline.to_outside().empty());
}

TEST_CASE("a rule by address alone lets every protocol to it out", "[tunnel]") {
  Pipeline pipeline(policy("{name: peer, action: Allow, to: {cidrs: [198.19.0.40/32]}}"));
  for (const Bytes& packet : {vxlan(), gre(), ipip(), geneve()}) {
    pipeline.from_inside(packet);
    CHECK(pipeline.to_outside() == std::vector<Bytes>{packet});
  }
}

TEST_CASE("the records of a tunnel name it, denied or not", "[tunnel]") {
  Pipeline pipeline(
      policy("{name: overlay, action: Allow, to: {cidrs: [198.19.0.40/32]}, "
             "protocols: [{udp: {ports: [4789]}}]}"));
  const Bytes query = udp(kClient, 4789, "198.19.0.53", 53).payload(Bytes(40, 8)).frame();
  struct Row {
    Bytes packet;
    TunnelKind tunnel;
    FlowState state;
  };
  for (const Row& row : {Row{vxlan(), TunnelKind::vxlan, FlowState::allowed},
                         Row{vxlan(8472), TunnelKind::vxlan, FlowState::denied},
                         Row{gre(), TunnelKind::gre, FlowState::denied},
                         Row{ipip(), TunnelKind::ipip, FlowState::denied},
                         Row{geneve(), TunnelKind::geneve, FlowState::denied},
                         Row{query, TunnelKind::none, FlowState::allowed}}) {
    CAPTURE(to_string(row.tunnel));
    pipeline.from_inside(row.packet);
    const std::vector<FlowEvent> events = pipeline.events();
    REQUIRE(events.size() == 1);
    CHECK(events.front().state == row.state);
    CHECK(to_string(events.front().tunnel) == to_string(row.tunnel));
  }
}

TEST_CASE("a flow is named by its first packet alone", "[tunnel]") {
  Pipeline pipeline(policy("{name: peer, action: Allow, to: {cidrs: [198.19.0.40/32]}}"));
  pipeline.from_inside(udp(kClient, 50000, kPeer, 4789).payload(Bytes(9, 1)).frame());
  pipeline.from_inside(vxlan());
  const std::vector<FlowEvent> events = pipeline.events();
  REQUIRE(events.size() == 1);
  CHECK(to_string(events.front().tunnel) == "none");
}
