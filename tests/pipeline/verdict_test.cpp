// What is forwarded, what is denied, and what each end is told.
#include <algorithm>
#include <catch2/catch.hpp>
#include <span>

#include "tests/pipeline/conversation.h"

using namespace sallyport;
using namespace sallyport::test;

TEST_CASE("a flow is decided by the name in its own first bytes", "[pipeline]") {
  struct Row {
    std::string what;
    Bytes stream;
    bool allowed;
    std::string reason;
    std::string app = "tls";
    std::string server = "198.19.0.2";
  };
  const auto row = GENERATE(values<Row>({
      {"allowed TLS name", hello().sni("good.test").record(), true, "rule"},
      {"allowed below the wildcard", hello().sni("a.b.good.test").record(), true, "rule"},
      {"upper case, trailing dot", hello().sni("GOOD.Test.").record(), true, "rule"},
      {"denied by a rule before", hello().sni("bad.good.test").record(), false, "rule"},
      {"no rule for the name", hello().sni("other.test").record(), false, "default_deny"},
      {"name that only ends alike", hello().sni("notgood.test").record(), false, "default_deny"},
      {"no server name", hello().record(), false, "default_deny"},
      {"NUL in the name", hello().sni({"good.test\0.x", 12}).record(), false, "malformed"},
      {"post-quantum hello", browser_hello("good.test", kPostQuantumKeyShare).record(), true,
       "rule"},
      {"allowed HTTP host", request("good.test"), true, "rule", "http"},
      {"denied HTTP host", request("other.test"), false, "default_deny", "http"},
      {"two Host headers", bytes_of("GET / HTTP/1.1\r\nHost: good.test\r\nHost: x.test\r\n\r\n"),
       false, "malformed", "http"},
      {"absolute form against Host",
       bytes_of("GET http://x.test/ HTTP/1.1\r\nHost: good.test\r\n\r\n"), false, "malformed",
       "http"},
      {"HTTP/1.0 without Host", bytes_of("GET / HTTP/1.0\r\n\r\n"), false, "default_deny", "http"},
      {"neither TLS nor HTTP", bytes_of("SSH-2.0-OpenSSH_9.2\r\n"), false, "default_deny", ""},
      {"allowed over IPv6", hello().sni("good.test").record(), true, "rule", "tls", "2001:db8::2"},
      {"denied over IPv6", hello().sni("other.test").record(), false, "default_deny", "tls",
       "2001:db8::2"},
  }));
  INFO(row.what);
  Pipeline pipeline(kPolicy);
  Conversation flow{.pipeline = pipeline, .server = row.server};
  if (row.server.find(':') != std::string::npos) flow.client = "2001:db8::1";
  flow.open();
  flow.send(row.stream);

  const auto outside = pipeline.to_outside();
  const auto inside = pipeline.to_inside();
  if (row.allowed) {
    REQUIRE(outside.size() == 1);
    CHECK(outside.front() == flow.out().payload(row.stream).frame());
    CHECK(inside.empty());
  } else {
    CHECK(is_reset(outside, flow.client_first));
    if (row.app == "tls") {
      CHECK(farewell(inside, flow, row.stream.size()) == kAccessDenied);
    } else if (row.app == "http") {
      CHECK(text_of(farewell(inside, flow, row.stream.size())).starts_with("HTTP/1.1 403 "));
    } else {
      CHECK(is_reset(inside, flow.server_first));
    }
    CHECK(pipeline.packets_in_use() == 0);
  }
  const auto events = pipeline.events();
  REQUIRE(events.size() == 1);
  CHECK(events.front().state == (row.allowed ? FlowState::allowed : FlowState::denied));
  CHECK(to_string(events.front().reason) == row.reason);
  CHECK((events.front().fault != InspectFault::none) == (row.reason == "malformed"));
  if (row.app.empty()) {
    CHECK(events.front().app_known != Known::present);
  } else {
    CHECK(events.front().app_known == Known::present);
    CHECK(to_string(events.front().app) == row.app);
  }
}

TEST_CASE("addresses and ports alone decide on the SYN where they can", "[pipeline]") {
  Pipeline pipeline(kPolicy);
  Conversation flow{.pipeline = pipeline};

  SECTION("allowed: everything passes, uninspected") {
    pipeline.push(kAllowAll);
    pipeline.from_inside(flow.syn());
    CHECK(pipeline.events().back().state == FlowState::allowed);
    pipeline.from_outside(flow.syn_ack());
    pipeline.to_outside();
    flow.send(bytes_of("S"));
    flow.send(bytes_of("T"));  // not compared with anything
    CHECK(pipeline.payload_to_outside() == bytes_of("ST"));
  }
  SECTION("allowed by address behind a rule that needs a name: once the bytes have none") {
    flow.server = "198.19.0.22";
    flow.server_port = 22;
    flow.open();
    pipeline.from_inside(flow.out().payload("SS").frame());
    CHECK(pipeline.to_outside().empty());
    pipeline.from_inside(flow.out(2).payload("H-2.0-x\r\n").frame());
    CHECK(pipeline.payload_to_outside() == bytes_of("SSH-2.0-x\r\n"));
  }
  SECTION("nothing could allow it: refused at once, and the server never hears of it") {
    pipeline.push(R"(
apiVersion: sallyport/v1
kind: EgressPolicy
metadata: {name: p}
spec:
  egress:
    - {name: web, action: Allow, to: {domainNames: [good.test]}, protocols: [{tls: {ports: [443]}}]}
)");
    flow.server_port = 25;
    pipeline.from_inside(flow.syn());
    CHECK(pipeline.to_outside().empty());
    const auto inside = pipeline.to_inside();
    CHECK(is_reset(inside, 0));
    CHECK(decoded(inside.front()).tcp_acknowledgement == flow.client_first);
  }
}

TEST_CASE("a reset goes back over the same link, VLAN tags and all", "[pipeline]") {
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};
  const int tags = GENERATE(0, 1, 2);
  const auto tagged = [tags](PacketBuilder builder) {
    for (int tag = 0; tag < tags; ++tag) {
      builder.vlan(static_cast<uint16_t>(7 + tag), tag == 0 && tags == 2 ? 0x88a8 : 0x8100);
    }
    return builder.frame();
  };
  pipeline.from_inside(tagged(flow.out().seq(flow.client_first - 1).flags(kSyn)));
  pipeline.from_outside(tagged(flow.in().seq(flow.server_first - 1).flags(kSyn | kAck)));
  pipeline.to_outside();
  pipeline.to_inside();
  pipeline.from_inside(tagged(flow.out().payload("SSH-2.0-x\r\n")));
  const auto inside = pipeline.to_inside();
  REQUIRE(is_reset(inside, flow.server_first));
  const auto outside = pipeline.to_outside();
  REQUIRE(is_reset(outside, flow.client_first));
  // Each end hears it from the other one's address.
  struct Row {
    const Bytes& reset;
    const Mac& from;
    const Mac& to;
    const std::string& source;
    uint16_t source_port;
  };
  for (const Row& row : {Row{inside.front(), kOutsideMac, kInsideMac, flow.server, 443},
                         Row{outside.front(), kInsideMac, kOutsideMac, flow.client, 40000}}) {
    const Packet packet = decoded(row.reset);
    CHECK(packet.vlan_tags == tags);
    CHECK(std::ranges::equal(row.to, std::span(row.reset).first(6)));
    CHECK(std::ranges::equal(row.from, std::span(row.reset).subspan(6, 6)));
    CHECK(to_string(packet.flow.source) == row.source);
    CHECK(packet.flow.source_port == row.source_port);
    CHECK(packet.flow.destination_port == (row.source_port == 443 ? 40000 : 443));
  }
}

TEST_CASE("a denied flow is denied to both ends, for good", "[pipeline]") {
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  flow.send(bytes_of("SSH-2.0-x\r\n"));
  pipeline.to_outside();
  pipeline.to_inside();
  // Each was told; who goes on is told again, and nobody else.
  pipeline.from_outside(flow.in().payload("answer").frame());
  CHECK(pipeline.to_inside().empty());
  CHECK(is_reset(pipeline.to_outside(), flow.client_first));
  pipeline.from_inside(flow.out().frame());
  CHECK(is_reset(pipeline.to_inside(), flow.server_first));
  CHECK(pipeline.to_outside().empty());
  CHECK(pipeline.drops("denied") == 2);
}

TEST_CASE("with no policy at all everything is denied", "[pipeline]") {
  Pipeline pipeline("");
  const Conversation flow{.pipeline = pipeline};
  pipeline.from_inside(flow.syn());
  CHECK(is_reset(pipeline.to_inside(), 0));
  pipeline.from_inside(udp("198.18.0.2", 5000, "198.19.0.53", 53).payload("q").frame());
  CHECK(pipeline.to_inside().size() == 1);  // told by ICMP
  CHECK(pipeline.to_outside().empty());
  for (const FlowEvent& event : pipeline.events()) CHECK(event.reason == FlowReason::no_policy);
}

TEST_CASE("datagrams are decided by addresses and ports", "[pipeline]") {
  Pipeline pipeline(kPolicy);
  const Bytes query = udp("198.18.0.2", 5000, "198.19.0.53", 53).payload("query").frame();
  const Bytes answer = udp("198.19.0.53", 53, "198.18.0.2", 5000).payload("answer").frame();
  const Bytes other = udp("198.18.0.2", 5000, "198.19.0.53", 54).payload("query").frame();
  const Bytes v6 = udp("2001:db8::1", 5000, "2001:db8::53", 53).payload("query").frame();

  pipeline.from_outside(answer);
  CHECK(pipeline.to_inside().empty());  // nobody asked
  CHECK(pipeline.drops("inbound") == 1);
  pipeline.from_inside(query);
  pipeline.from_outside(answer);
  CHECK(pipeline.to_inside() == std::vector<Bytes>{answer});
  pipeline.from_inside(other);
  pipeline.from_inside(v6);
  CHECK(pipeline.to_outside() == std::vector<Bytes>{query, v6});
  CHECK(pipeline.drops("denied") == 1);
}

TEST_CASE("what opens no flow of its own", "[pipeline]") {
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};

  SECTION("ARP passes both ways") {
    const Bytes request_frame = arp("198.18.0.2", "198.19.0.2");
    pipeline.from_inside(request_frame);
    pipeline.from_outside(request_frame);
    CHECK(pipeline.to_outside().size() == 1);
    CHECK(pipeline.to_inside().size() == 1);
  }
  SECTION("a connection opened from outside is dropped in silence") {
    pipeline.from_outside(flow.in().flags(kSyn).frame());
    CHECK(pipeline.to_inside().empty());
    CHECK(pipeline.to_outside().empty());
    CHECK(pipeline.drops("inbound") == 1);
  }
  SECTION("a packet of a flow never seen to begin: the client is told, the server is not asked") {
    pipeline.from_inside(flow.out(100).payload("data").frame());
    auto inside = pipeline.to_inside();
    CHECK(is_reset(inside, flow.server_first));
    CHECK(decoded(inside.front()).tcp_acknowledgement == flow.client_first + 104);
    pipeline.from_inside(flow.out(100).flags(kFin | kAck).payload("data").frame());
    inside = pipeline.to_inside();
    CHECK(decoded(inside.front()).tcp_acknowledgement == flow.client_first + 105);
    pipeline.from_inside(flow.out(100).flags(kRst | kAck).frame());  // is never answered
    CHECK(pipeline.to_inside().empty());
    pipeline.to_outside();
    pipeline.sleep_ms(300'000);  // until no flow can be older than the gateway
    pipeline.from_outside(flow.in(100).payload("data").frame());
    CHECK(pipeline.to_inside().empty());
    CHECK(pipeline.to_outside().empty());
    CHECK(pipeline.drops("midstream") == 4);
  }
  SECTION("a SYN with data") {
    pipeline.from_inside(
        flow.out().seq(flow.client_first - 1).flags(kSyn).payload("early").frame());
    CHECK(pipeline.to_outside().empty());
    CHECK(pipeline.drops("syn_with_data") == 1);
  }
  SECTION("a frame that does not decode is counted by its fault") {
    pipeline.from_inside(prefix_of(flow.syn(), 30));
    CHECK(pipeline.to_outside().empty());
    CHECK(pipeline.drops("truncated_ip") == 1);
    CHECK(pipeline.packets_in_use() == 0);
  }
}

TEST_CASE("data in a SYN is read where all there is is a capture", "[pipeline]") {
  Pipeline::Options options;
  options.stage.limits.incomplete = true;
  Pipeline pipeline(kPolicy, options);
  const std::string_view host = GENERATE("good.test", "other.test");
  const bool allowed = host == "good.test";
  CAPTURE(host);
  const Conversation flow{.pipeline = pipeline, .server_port = 80};
  const Bytes asks = request(host);
  const size_t cut = GENERATE(size_t{20}, size_t{1000});  // in the request, or behind it
  const Bytes early = prefix_of(asks, std::min(cut, asks.size()));
  const Bytes late(asks.begin() + static_cast<std::ptrdiff_t>(early.size()), asks.end());
  pipeline.from_inside(flow.out().seq(flow.client_first - 1).flags(kSyn).payload(early).frame());
  pipeline.from_outside(flow.in()
                            .seq(flow.server_first - 1)
                            .ack(flow.client_first + static_cast<uint32_t>(early.size()))
                            .flags(kSyn | kAck)
                            .frame());
  if (!late.empty()) pipeline.from_inside(flow.out(early.size()).payload(late).frame());
  const std::vector<FlowEvent> events = pipeline.events();
  REQUIRE_FALSE(events.empty());
  CHECK(events.front().app == AppProtocol::http);
  CHECK(events.front().text(EventText::host) == host);
  CHECK(events.front().state == (allowed ? FlowState::allowed : FlowState::denied));
  if (!allowed) CHECK(pipeline.payload_to_outside().empty());
}

TEST_CASE("flows opened from outside pass only when the configuration says so", "[pipeline]") {
  Pipeline pipeline(kPolicy, {.stage = {.pass_inbound_flows = true}});
  const Bytes syn = tcp("198.19.0.2", 5000, "198.18.0.2", 22).seq(1).flags(kSyn).frame();
  const Bytes syn_ack =
      tcp("198.18.0.2", 22, "198.19.0.2", 5000).seq(9).ack(2).flags(kSyn | kAck).frame();
  const Bytes data = tcp("198.18.0.2", 22, "198.19.0.2", 5000).seq(10).ack(2).payload("hi").frame();
  pipeline.from_outside(syn);
  pipeline.from_inside(syn_ack);
  pipeline.from_inside(data);
  CHECK(pipeline.to_inside() == std::vector<Bytes>{syn});
  CHECK(pipeline.to_outside() == std::vector<Bytes>{syn_ack, data});
  pipeline.end_all_flows();
  for (const FlowEvent& event : pipeline.events()) {
    CHECK(event.reason == FlowReason::inbound_pass);
    CHECK_FALSE(event.opened_inside);
  }
  CHECK(pipeline.last_line(FlowEvent::Type::flow).find(R"("src_ip":"198.19.0.2")") !=
        std::string::npos);
}

TEST_CASE("which way a packet goes is told by its port, not by its addresses", "[pipeline]") {
  Pipeline pipeline(kPolicy);
  const Bytes query = udp("198.18.0.2", 5000, "198.19.0.53", 53).payload("query").frame();
  pipeline.from_inside(query);
  pipeline.from_outside(query);  // claims to come from inside
  CHECK(pipeline.to_outside() == std::vector<Bytes>{query});
  CHECK(pipeline.to_inside().empty());
  CHECK(pipeline.drops("inbound") == 1);
}

TEST_CASE("ICMP errors pass for a flow that is there", "[pipeline]") {
  Pipeline pipeline(kPolicy);
  const PacketBuilder query = udp("198.18.0.2", 5000, "198.19.0.53", 53).payload("query");
  const Bytes too_big = icmp("198.19.0.1", "198.18.0.2", 3, 4).payload(query.ip_packet()).frame();
  pipeline.from_outside(too_big);
  CHECK(pipeline.to_inside().empty());
  CHECK(pipeline.drops("icmp_unrelated") == 1);
  pipeline.from_inside(query.frame());
  pipeline.from_outside(too_big);
  CHECK(pipeline.to_inside() == std::vector<Bytes>{too_big});
}

TEST_CASE("what a port does not take is counted and freed", "[pipeline]") {
  Pipeline pipeline(kPolicy);
  const Bytes query = udp("198.18.0.2", 5000, "198.19.0.53", 53).payload("query").frame();
  for (int i = 0; i < 40; ++i) pipeline.burst_from_inside(std::vector<Bytes>(32, query));
  const uint64_t lost = pipeline.drops("transmit_queue_full");
  const auto sent = pipeline.counter("sallyport_packets_total", "direction=tx,port=outside");
  CHECK(lost > 200);  // net_ring has room for 1023
  CHECK(sent + lost == uint64_t{40} * 32);
  CHECK(pipeline.counter("sallyport_bytes_total", "direction=tx,port=outside") ==
        sent * query.size());
  CHECK(pipeline.packets_in_use() == sent);
  CHECK(pipeline.to_outside().size() == sent);
}

TEST_CASE("each packet that comes in is accounted for", "[pipeline]") {
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  flow.send(hello().sni("other.test").record());
  flow.send(hello().sni("other.test").record());
  CHECK(pipeline.counter("sallyport_packets_total", "direction=rx,port=inside") == 4);
  CHECK(pipeline.counter("sallyport_packets_total", "direction=rx,port=outside") == 1);
  CHECK(pipeline.drops("held_after_denial") == 1);
  CHECK(pipeline.drops("denied") == 1);
  CHECK(pipeline.counter("sallyport_resets_sent_total", "") == 1);      // for the server
  CHECK(pipeline.counter("sallyport_tls_alerts_sent_total", "") == 2);  // the first may be lost
  CHECK(pipeline.counter("sallyport_verdicts_total", "action=deny,mode=enforce,protocol=tls") == 1);
  CHECK(pipeline.counter("sallyport_flows", "state=denied") == 1);
}
