// Ways out by flows that were opened from outside, where inbound_flows is pass. Someone outside
// sends in the server's name, once; the inside end does the rest.
#include "tests/evasion/evasion.h"
#include "tests/support/quic_helper.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

Pipeline inbound_pipeline() {
  return Pipeline(kEvasionPolicy, {.stage = {.pass_inbound_flows = true}});
}

Bytes query(std::string_view host, bool answer = false) {
  const Bytes head{0x12, 0x34, static_cast<uint8_t>(answer ? 0x81 : 1), 0, 0, 1, 0, 0, 0, 0, 0, 0};
  return head + block(bytes_of("www"), 1) + block(bytes_of(host), 1) + block(bytes_of("test"), 1) +
         Bytes{0, 0, 1, 0, 1};
}
Bytes initial_of(const Bytes& hello) {
  return initial(whole_frame(hello)).pad_to(1200).packet();
}

}  // namespace

TEST_CASE("TCP from inside on a flow that a forged SYN opened", "[evasion]") {
  Pipeline pipeline = inbound_pipeline();
  const Conversation flow{.pipeline = pipeline};
  pipeline.from_outside(flow.in().seq(77).ack(0).flags(kSyn).frame());
  REQUIRE(pipeline.to_inside().size() == 1);

  SECTION("bytes of a connection that is not there") {
    pipeline.from_inside(flow.out().payload(kDeniedHello).frame());
    pipeline.from_inside(flow.out().flags(kRst).payload(kDeniedHello).frame());
    pipeline.from_inside(flow.out().flags(kSyn).payload(kDeniedHello).frame());
    pipeline.from_inside(flow.out().flags(kSyn | kAck).payload(kDeniedHello).frame());
    pipeline.from_inside(flow.out().flags(kSyn | kAck).frame());  // answers another SYN
    CHECK(pipeline.to_outside().empty());
  }
  SECTION("a connection of its own") {
    const Bytes& hello = GENERATE(std::cref(kDeniedHello), std::cref(kAllowedHello)).get();
    pipeline.from_inside(flow.syn());
    CHECK(pipeline.to_outside().size() == 1);
    pipeline.from_outside(flow.syn_ack());
    flow.send(hello);
    const bool allowed = hello == kAllowedHello;
    const auto left = pipeline.to_outside();
    CHECK(has_reset(left) != allowed);
    CHECK(payloads(left, flow.client_first).size() == (allowed ? 1 : 0));
  }
  SECTION("the same once the inside end had taken the connection") {
    pipeline.from_inside(flow.out().ack(78).flags(kSyn | kAck).frame());
    CHECK(pipeline.to_outside().size() == 1);
    pipeline.from_inside(flow.syn());
    pipeline.from_outside(flow.syn_ack());
    pipeline.to_outside();
    flow.send(kDeniedHello);
    CHECK(has_reset(pipeline.to_outside()));
  }
  SECTION("a SYN that a policy denies by itself") {
    pipeline.take_policy_away();
    pipeline.from_inside(flow.syn());
    CHECK(pipeline.to_outside().empty());
  }
}

TEST_CASE("a service inside still answers TCP", "[evasion]") {
  Pipeline pipeline = inbound_pipeline();
  const Conversation flow{.pipeline = pipeline, .client_port = 22, .server_port = 50000};
  pipeline.from_outside(flow.in().seq(900'000).ack(0).flags(kSyn).frame());
  SECTION("takes the connection") {
    pipeline.from_inside(flow.out().flags(kSyn | kAck).frame());
    pipeline.from_outside(flow.in().payload("hello").frame());
    pipeline.from_inside(flow.out().payload("a banner").frame());
    pipeline.from_inside(flow.out(8).flags(kAck | kFin).frame());
    CHECK(pipeline.to_outside().size() == 3);
    CHECK(pipeline.to_inside().size() == 2);
  }
  SECTION("refuses it") {
    pipeline.from_inside(flow.out().flags(kRst | kAck).frame());
    CHECK(pipeline.to_outside().size() == 1);
  }
}

TEST_CASE("UDP from inside on a flow that a forged datagram opened", "[evasion]") {
  struct Row {
    std::string name;
    uint16_t inside, outside;
    Bytes datagram;
    bool leaves;
  };
  const Bytes good = hello().sni(kAllowedName).message();
  const Bytes evil = hello().sni(kDeniedName).message();
  const Bytes server_initial =
      initial(ack_frame(0)).to({7}).keys_of({1, 2, 3, 4, 5, 6, 7, 8}).as_server().packet();
  const std::vector<Row> rows{
      {"a denied query to a resolver", 40000, 53, query("denied"), false},
      {"an allowed one", 40000, 53, query("allowed"), true},
      {"a denied query from port 53, on any port", 53, 5300, query("denied"), false},
      {"a denied hello", 40000, 443, initial_of(evil), false},
      {"an allowed one", 40000, 443, initial_of(good), true},
      {"a denied hello on other ports", 4433, 8443, initial_of(evil), false},
      {"anything to a service", 40000, 443, bytes_of("anything"), false},
      {"an answer to a query", 53, 40000, query("denied", true), true},
      {"an answer to one from port 53", 53, 53, query("denied", true), true},
      {"a QUIC server's answer", 443, 40000, server_initial, true},
      {"a time server's", 123, 123, Bytes(48, 0x24), true},
      {"anything else of a service", 5000, 40000, bytes_of("anything"), true},
  };
  for (const Row& row : rows) {
    CAPTURE(row.name);
    Pipeline pipeline = inbound_pipeline();
    pipeline.from_outside(udp("198.19.0.2", row.outside, "198.18.0.2", row.inside)
                              .macs(kOutsideMac, kInsideMac)
                              .payload("forged")
                              .frame());
    CHECK(pipeline.to_inside().size() == 1);
    for (int i = 0; i < 2; ++i) {
      pipeline.from_inside(
          udp("198.18.0.2", row.inside, "198.19.0.2", row.outside).payload(row.datagram).frame());
      CHECK(pipeline.to_outside().size() == (row.leaves ? 1 : 0));
    }
  }
}
