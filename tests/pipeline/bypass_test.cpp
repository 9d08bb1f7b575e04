// Ways past the gateway that a client inside might try, each closed.
#include <catch2/catch.hpp>

#include "tests/pipeline/conversation.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

const Bytes kGood = hello().sni("good.test").record();
const Bytes kOther = hello().sni("evil.test").record();
/// Behind it nothing more is read of a client.
const Bytes kServerHello =
    Bytes{22, 3, 3, 0, 44, 2, 0, 0, 40, 3, 3} + Bytes(32, 7) + Bytes{0, 0x13, 1, 0, 0, 0};

// An allowed flow whose hello the server has acknowledged: nothing of it is watched any more.
void allow(const Conversation& flow) {
  flow.open();
  flow.send(kGood);
  flow.pipeline.from_outside(flow.acknowledging(kGood.size()).frame());
  flow.pipeline.to_outside();
  flow.pipeline.to_inside();
}

Bytes syn_with_options(const Conversation& flow, Bytes options) {
  return tcp(flow.client, flow.client_port, flow.server, flow.server_port)
      .seq(flow.client_first - 1)
      .flags(kSyn)
      .tcp_options(std::move(options))
      .frame();
}

}  // namespace

TEST_CASE("the same SYN cannot come again, whatever numbers were invented since", "[bypass]") {
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};
  allow(flow);
  // Pure acknowledgements that lead any tracking once round the sequence space.
  pipeline.from_inside(flow.out(kGood.size() + 0x7fffffff).frame());
  pipeline.from_inside(flow.out().frame());
  pipeline.to_outside();
  pipeline.from_inside(flow.syn());
  CHECK(pipeline.to_outside().empty());
}

TEST_CASE("another SYN begins the flow anew", "[bypass]") {
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};
  allow(flow);
  Conversation next = flow;
  next.client_first = 5'000'001;
  next.server_first = 6'000'001;

  SECTION("not on a connection in use, which lives on") {
    pipeline.from_inside(next.syn());
    CHECK(pipeline.to_outside().empty());
    CHECK(pipeline.drops("out_of_window") == 1);
    pipeline.from_inside(flow.out(kGood.size()).payload(app_data("more")).frame());
    CHECK(pipeline.payload_to_outside() == app_data("more"));
  }
  SECTION("at once, where the old one was never answered") {
    Conversation other = flow;
    other.client_port = 40001;
    pipeline.from_inside(other.syn());
    other.client_first += 1000;
    pipeline.from_inside(other.syn());
    CHECK(pipeline.to_outside().size() == 2);
    pipeline.from_outside(other.syn_ack());
    other.send(kGood);
    CHECK(pipeline.payload_to_outside() == kGood);
  }
  SECTION("behind a pause") {
    pipeline.sleep_ms(1000);
    pipeline.events();
    pipeline.from_inside(next.syn());
    CHECK(pipeline.to_outside().size() == 1);
    for (const FlowEvent& event : pipeline.events()) {
      CHECK(event.type == FlowEvent::Type::flow);  // the old one's end; there is no verdict yet
    }
    SECTION("taken: the new connection is inspected from its first byte") {
      pipeline.from_outside(next.syn_ack());
      CHECK(pipeline.to_inside().size() == 1);
      next.send(kOther);
      CHECK(is_reset(pipeline.to_outside(), next.client_first));
    }
    SECTION("taken, and allowed by its own name") {
      pipeline.from_outside(next.syn_ack());
      next.send(kGood);
      CHECK(pipeline.payload_to_outside() == kGood);
      CHECK(pipeline.counter("sallyport_flows", "state=allowed") == 1);
    }
    SECTION("not taken: no byte of either leaves") {
      pipeline.from_outside(flow.acknowledging(kGood.size()).frame());
      pipeline.from_inside(flow.out(kGood.size()).payload(app_data("more")).frame());
      next.send(kOther);
      CHECK(pipeline.to_outside().empty());
    }
  }
}

namespace {

// A server with a half-open connection answers what does not fit it with the numbers that it waits
// for (RFC 9293 section 3.10.7.4): no SYN-ACK need reach the client for it to learn them.
Bytes challenge(const Conversation& flow) {
  return flow.in().frame();
}

}  // namespace

TEST_CASE("no second connection hides behind an allowed one", "[bypass]") {
  Pipeline pipeline(kPolicy);
  Conversation flow{.pipeline = pipeline};
  int opened = 0;
  const auto play = [&](const Bytes& allowed, int number, bool answer_is_lost, uint32_t pause_ms) {
    CAPTURE(allowed.size(), number, answer_is_lost, pause_ms);
    ++flow.client_port;
    flow.open();
    flow.send(allowed);
    pipeline.from_outside(flow.acknowledging(allowed.size()).payload(kServerHello).frame());
    REQUIRE(pipeline.payload_to_outside() == allowed);

    // The server is reset, by a number that is made to look wrong here.
    pipeline.from_inside(flow.out(allowed.size() + 1'000'000).frame());
    pipeline.from_inside(flow.out(allowed.size() + 1'000'000).payload("x").frame());
    pipeline.from_inside(flow.out(allowed.size()).flags(kRst).frame());
    pipeline.sleep_ms(pause_ms);
    Conversation hidden = flow;
    hidden.client_first = flow.client_first + static_cast<uint32_t>(number);
    hidden.server_first = 7'000'001;
    Conversation decoy = hidden;
    decoy.client_first -= 50'000;
    pipeline.to_outside();
    pipeline.from_inside(hidden.syn());
    if (pipeline.to_outside().empty()) return;  // to a server that is closed
    ++opened;
    pipeline.sleep_ms(pause_ms);
    if (!answer_is_lost) pipeline.from_outside(hidden.syn_ack());
    pipeline.from_inside(decoy.syn());
    pipeline.from_outside(hidden.syn_ack());
    pipeline.from_outside(challenge(hidden));
    pipeline.from_inside(hidden.out().frame());
    pipeline.to_outside();
    hidden.send(kOther);
    pipeline.from_inside(hidden.out().payload(request("other.test")).frame());
    CHECK(pipeline.payload_to_outside().empty());
  };
  for (const Bytes& allowed : {kGood, request("www.good.test")}) {
    // In front of what was said, inside it, and behind it.
    for (const int number : {100'000, -3000, -1, 10, 1'000'000}) {
      for (const bool answer_is_lost : {false, true}) {
        for (const uint32_t pause_ms : {0, 1000}) play(allowed, number, answer_is_lost, pause_ms);
      }
    }
  }
  CHECK(opened >= 20);
}

TEST_CASE("whom a RST did not end lives on", "[bypass]") {
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};
  allow(flow);
  // Near enough to be believed, and not exact: the ends do not take it (RFC 5961 section 3.2).
  pipeline.from_outside(flow.in(1000).flags(kRst).frame());
  pipeline.from_inside(flow.out(kGood.size() + 1000).flags(kRst).frame());
  pipeline.from_inside(flow.out(kGood.size()).payload(app_data("more")).frame());
  pipeline.sleep_ms(20'000);
  pipeline.to_outside();
  pipeline.from_inside(flow.out(kGood.size() + 9).payload(app_data("again")).frame());
  CHECK(pipeline.payload_to_outside() == app_data("again"));
}

TEST_CASE("a SYN that comes again takes no room from others", "[bypass]") {
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};
  allow(flow);
  pipeline.from_outside(flow.acknowledging(kGood.size()).payload(kServerHello).frame());
  const auto before = pipeline.flow_memory().inspections;
  Conversation next = flow;
  next.client_first = 5'000'001;
  pipeline.from_inside(next.syn());
  CHECK(pipeline.flow_memory().inspections == before);
}

TEST_CASE("a server may answer a SYN again with another number", "[bypass]") {
  Pipeline pipeline(kPolicy);
  Conversation flow{.pipeline = pipeline};
  pipeline.from_inside(flow.syn());
  pipeline.from_outside(flow.syn_ack());
  flow.server_first -= 5000;
  pipeline.from_outside(flow.syn_ack());
  pipeline.to_outside();
  flow.send(kGood);
  CHECK(pipeline.payload_to_outside() == kGood);
}

TEST_CASE("an urgent pointer may not be added to inspected bytes", "[bypass]") {
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  flow.send(kGood);
  pipeline.to_outside();
  pipeline.from_inside(flow.out().flags(kAck | kUrg).payload(kGood).frame());
  CHECK(pipeline.to_outside().empty());
}

TEST_CASE("a FIN by which a flow was judged stays its end", "[bypass]") {
  // Everything but a name: what cannot be named is allowed.
  Pipeline pipeline(R"(
apiVersion: sallyport/v1
kind: EgressPolicy
metadata: {name: p}
spec:
  egress:
    - {name: evil, action: Deny, to: {domainNames: [evil.test]}}
    - {name: rest, action: Allow}
)");
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  pipeline.from_inside(flow.out().flags(kAck | kFin).payload("FIND / HT").frame());
  CHECK(pipeline.payload_to_outside() == bytes_of("FIND / HT"));
  pipeline.from_inside(flow.out(9).payload("TP/1.1\r\nHost: evil.test\r\n\r\n").frame());
  CHECK(pipeline.to_outside().empty());
  CHECK(pipeline.drops("out_of_window") == 1);
}

TEST_CASE("a held FIN stays where it was, and nothing comes behind it", "[bypass]") {
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  pipeline.from_inside(flow.out(kGood.size()).flags(kAck | kFin).frame());
  pipeline.from_inside(flow.out().flags(kAck | kFin).payload(prefix_of(kGood, 20)).frame());
  pipeline.from_inside(flow.out(kGood.size()).payload("x").frame());
  CHECK(pipeline.drops("out_of_window") == 2);
  CHECK(pipeline.to_outside().empty());
  flow.send(kGood);
  CHECK(pipeline.payload_to_outside() == kGood);
}

TEST_CASE("inspected bytes may come again after an outage, as they were", "[bypass]") {
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  flow.send(kGood);
  pipeline.to_outside();
  pipeline.sleep_ms(120'000);
  flow.send(kOther);
  CHECK(pipeline.to_outside().empty());
  flow.send(kGood);
  CHECK(pipeline.payload_to_outside() == kGood);
}

TEST_CASE("inspected bytes that were let go may not come again", "[bypass]") {
  Pipeline pipeline(kPolicy, {.stage = {.limits = {.held_packets = 1}}});
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  flow.send(kGood);
  pipeline.to_outside();
  CHECK(pipeline.packets_in_use() == 1);
  pipeline.sleep_ms(32'000);
  CHECK(pipeline.packets_in_use() == 0);
  CHECK(pipeline.drops("held_after_denial") == 0);
  flow.send(kGood);
  flow.send(kOther);
  CHECK(pipeline.to_outside().empty());
  pipeline.from_inside(flow.out(kGood.size()).payload(app_data("more")).frame());
  CHECK(pipeline.payload_to_outside() == app_data("more"));
}

TEST_CASE("Multipath TCP is not agreed to where bytes are inspected", "[bypass]") {
  const Bytes multipath{2, 4, 5, 0xb4, 1, 30, 4, 0x10, 0x81, 1, 1, 1};
  const Bytes plain{2, 4, 5, 0xb4, 1, 1, 1, 1, 1, 1, 1, 1};
  Pipeline pipeline(kPolicy);
  Conversation flow{.pipeline = pipeline};
  pipeline.from_inside(syn_with_options(flow, multipath));
  CHECK(pipeline.to_outside() == std::vector<Bytes>{syn_with_options(flow, plain)});
  CHECK(pipeline.counter("sallyport_multipath_removed_total", "") == 1);

  pipeline.push(kAllowAll);  // nothing to inspect, nothing to change
  ++flow.client_port;
  pipeline.from_inside(syn_with_options(flow, multipath));
  CHECK(pipeline.to_outside() == std::vector<Bytes>{syn_with_options(flow, multipath)});
}

TEST_CASE("a SYN on a live flow agrees to no Multipath TCP either", "[bypass]") {
  const Bytes multipath{2, 4, 5, 0xb4, 1, 30, 4, 0x10, 0x81, 1, 1, 1};
  const Bytes plain{2, 4, 5, 0xb4, 1, 1, 1, 1, 1, 1, 1, 1};
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};
  allow(flow);
  // Invented numbers in front of the exact one end the connection at the server, not here.
  pipeline.from_inside(flow.out(kGood.size() + 2000).frame());
  pipeline.from_inside(flow.out(kGood.size()).flags(kRst).frame());
  pipeline.to_outside();
  Conversation next = flow;
  next.client_first = 5'000'001;
  pipeline.from_inside(syn_with_options(next, multipath));
  CHECK(pipeline.to_outside() == std::vector<Bytes>{syn_with_options(next, plain)});
}

TEST_CASE("an ICMP error from inside carries nothing to anyone else", "[bypass]") {
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};
  const Bytes quote = flow.in().payload("some bytes").ip_packet();
  const auto error = [&](const char* to, const Bytes& payload) {
    return icmp("198.18.0.2", to, 3, 3).payload(payload).frame();
  };

  SECTION("not for a flow that has no verdict") {
    flow.open();
    pipeline.from_inside(error("198.19.0.2", quote));
    CHECK(pipeline.to_outside().empty());
  }
  SECTION("for an allowed one, to the end that sent the packet, and short") {
    allow(flow);
    pipeline.from_inside(error("198.19.0.2", quote));
    CHECK(pipeline.to_outside().size() == 1);
    pipeline.from_inside(error("198.51.100.66", quote));
    pipeline.from_inside(error("198.19.0.2", quote + Bytes(600, 's')));
    CHECK(pipeline.to_outside().empty());
    CHECK(pipeline.drops("icmp_unrelated") == 2);
  }
}

TEST_CASE("link messages carry nothing out", "[bypass]") {
  Pipeline pipeline(kPolicy);
  const auto solicitation = [](const Bytes& options, const char* to) {
    return icmp("2001:db8:1::1", to, 135).ttl(255).payload(Bytes(16) + options);
  };
  const Bytes link_layer{1, 1, 2, 0, 0, 0, 0, 1};
  pipeline.from_inside(solicitation(link_layer, "ff02::1:ff00:2").frame());
  CHECK(pipeline.to_outside().size() == 1);
  pipeline.from_inside(solicitation(Bytes{99, 150} + Bytes(1198, 's'), "ff02::1:ff00:2").frame());
  pipeline.from_inside(solicitation(link_layer, "2001:db8:2::2").frame());
  pipeline.from_inside(solicitation(link_layer, "ff02::1:ff00:2").bad_l4_checksum().frame());
  pipeline.from_inside(icmp("fe80::1", "ff02::1", 134).ttl(255).payload(Bytes(8)).frame());
  CHECK(pipeline.to_outside().empty());
  CHECK(pipeline.drops("router_message") == 1);
  pipeline.from_outside(icmp("fe80::1", "ff02::1", 134).ttl(255).payload(Bytes(8)).frame());
  CHECK(pipeline.to_inside().size() == 1);
}

TEST_CASE("bytes behind the packet do not leave", "[bypass]") {
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};
  Bytes frame = flow.syn() + bytes_of("stolen weights, a thousand bytes of them");
  pipeline.from_inside(frame);
  const auto out = pipeline.to_outside();
  REQUIRE(out.size() == 1);
  CHECK(out.front().size() == 60);  // Ethernet's least
  CHECK(out.front() == flow.syn() + Bytes(60 - flow.syn().size()));
}

TEST_CASE("the same addresses in two VLANs are two flows", "[bypass]") {
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};
  allow(flow);
  pipeline.from_inside(flow.out(kGood.size()).vlan(7).payload("other").frame());
  CHECK(pipeline.payload_to_outside().empty());
  CHECK(pipeline.drops("midstream") == 1);
}

TEST_CASE("a blind RST does not shorten a flow's life", "[bypass]") {
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};
  allow(flow);
  pipeline.from_outside(flow.in(1'000'000).flags(kRst).frame());
  pipeline.from_inside(flow.out(0x10000000).flags(kRst).frame());
  pipeline.sleep_ms(20'000);
  pipeline.to_outside();
  pipeline.from_inside(flow.out(kGood.size()).payload(app_data("more")).frame());
  CHECK(pipeline.payload_to_outside() == app_data("more"));
}

TEST_CASE("flows denied by their SYN take no place in the table", "[bypass]") {
  Pipeline pipeline("", {.stage = {.flow_capacity = 16}});
  Conversation flow{.pipeline = pipeline};
  for (uint16_t i = 0; i < 100; ++i) {
    flow.client_port = static_cast<uint16_t>(30000 + i);
    pipeline.from_inside(flow.syn());
    CHECK(is_reset(pipeline.to_inside(), 0));
  }
  CHECK(pipeline.drops("flow_table_full") == 0);
  CHECK(pipeline.counter("sallyport_flows", "state=denied") == 0);
  CHECK(pipeline.events().size() == 200);  // a verdict and an end for each
}

TEST_CASE("datagrams that are denied do not fill the table", "[bypass]") {
  Pipeline pipeline("", {.stage = {.flow_capacity = 16}});
  for (uint16_t port = 30000; port < 30100; ++port) {
    pipeline.from_inside(udp("198.18.0.2", port, "198.19.0.2", 9).payload("x").frame());
    CHECK(is_prohibited(pipeline.to_inside(), port));
  }
  CHECK(pipeline.drops("flow_table_full") == 0);
  CHECK(pipeline.counter("sallyport_flows", "state=denied") == 8);  // half of what fits
}

TEST_CASE("with a full table a client is told", "[bypass]") {
  Pipeline pipeline(kPolicy, {.stage = {.flow_capacity = 16}});
  Conversation flow{.pipeline = pipeline};
  for (uint16_t i = 0; i < 17; ++i) {
    flow.client_port = static_cast<uint16_t>(30000 + i);
    pipeline.from_inside(flow.syn());
  }
  CHECK(is_reset(pipeline.to_inside(), 0));
  CHECK(pipeline.drops("flow_table_full") == 1);
}
