// What each end of a denied flow is told, packet by packet.
#include <catch2/catch.hpp>

#include "dataplane/inspect/checksum.h"
#include "tests/pipeline/conversation.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

const Bytes kDeniedHello = hello().sni("other.test").record();

uint64_t sent(const Pipeline& pipeline, const std::string& what) {
  return pipeline.counter("sallyport_" + what + "_sent_total", "");
}

/// The one frame, which must be a pure ACK of the client's bytes up to `acknowledged`.
bool is_ack(const std::vector<Bytes>& frames, const Conversation& flow, size_t acknowledged) {
  if (frames.size() != 1) return false;
  const Packet packet = decoded(frames.front());
  return packet.tcp_flags == kAck && packet.payload_bytes == 0 &&
         packet.tcp_acknowledgement == flow.client_first + acknowledged;
}

}  // namespace

TEST_CASE("a denied TLS client reads an alert, and its server is reset", "[denial]") {
  const std::string server = GENERATE("198.19.0.2", "2001:db8::2");
  Pipeline pipeline(kPolicy);
  Conversation flow{.pipeline = pipeline, .server = server};
  if (server.find(':') != std::string::npos) flow.client = "2001:db8::1";
  flow.open();
  flow.send(kDeniedHello);
  const auto inside = pipeline.to_inside();
  CHECK(farewell(inside, flow, kDeniedHello.size()) == kAccessDenied);
  CHECK(decoded(inside.front()).tcp_sequence == flow.server_first);
  CHECK(is_reset(pipeline.to_outside(), flow.client_first));
  CHECK(sent(pipeline, "tls_alerts") == 1);
  CHECK(pipeline.packets_in_use() == 0);
}

TEST_CASE("the alert comes with the segment that made the hello whole", "[denial]") {
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  const size_t half = kDeniedHello.size() / 2;
  pipeline.from_inside(flow.segment(kDeniedHello, half, kDeniedHello.size()));
  CHECK(pipeline.to_inside().empty());
  pipeline.from_inside(flow.segment(kDeniedHello, 0, half));
  CHECK(farewell(pipeline.to_inside(), flow, kDeniedHello.size()) == kAccessDenied);
}

TEST_CASE("a denied HTTP client reads which rule of which policy denied it", "[denial]") {
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  const Bytes denied = request("bad.good.test");
  flow.send(denied);
  const std::string text = text_of(farewell(pipeline.to_inside(), flow, denied.size()));
  CHECK(text.starts_with("HTTP/1.1 403 Forbidden\r\n"));
  CHECK(text.find("\r\nConnection: close\r\n") != std::string::npos);
  const size_t head = text.find("\r\n\r\n") + 4;
  CHECK(text.find("Content-Length: " + std::to_string(text.size() - head)) != std::string::npos);
  for (const std::string_view line : {"policy: p\n", "rule: bad\n", "reason: rule\n"}) {
    CHECK(text.find(line, head) != std::string::npos);
  }
  const auto events = pipeline.events();
  REQUIRE(events.size() == 1);
  CHECK(text.find("flow: " + std::to_string(events.front().flow_id) + "\n") != std::string::npos);
  CHECK(is_reset(pipeline.to_outside(), flow.client_first));
  CHECK(sent(pipeline, "http_forbidden") == 1);
}

TEST_CASE("what else a 403 can say", "[denial]") {
  struct Row {
    std::string what;
    Bytes stream;
    std::string line;
  };
  const auto row = GENERATE(values<Row>({
      {"no rule at all", request("other.test"), "rule: none\nreason: default_deny\n"},
      {"bytes that break HTTP",
       bytes_of("GET / HTTP/1.1\r\nHost: good.test\r\nHost: x.test\r\n\r\n"),
       "reason: malformed\nfault: http_"},
  }));
  INFO(row.what);
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  flow.send(row.stream);
  const std::string text = text_of(farewell(pipeline.to_inside(), flow, row.stream.size()));
  CHECK(text.find(row.line) != std::string::npos);
}

TEST_CASE("a later request is answered by 403 only where its answer would stand", "[denial]") {
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  const Bytes first = request("good.test");
  const Bytes second = request("other.test");
  const Bytes answer = bytes_of("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  const auto second_acks = [&](size_t bytes) {
    return flow.out(first.size())
        .ack(flow.server_first + static_cast<uint32_t>(bytes))
        .payload(second)
        .frame();
  };
  flow.send(first);
  CHECK(pipeline.payload_to_outside() == first);

  SECTION("behind the whole answer to the one before") {
    pipeline.from_outside(flow.in()
                              .ack(flow.client_first + static_cast<uint32_t>(first.size()))
                              .payload(answer)
                              .frame());
    pipeline.to_inside();
    pipeline.from_inside(second_acks(answer.size()));
    const auto inside = pipeline.to_inside();
    const Bytes said = farewell(inside, flow, first.size() + second.size());
    CHECK(text_of(said).starts_with("HTTP/1.1 403 "));
    CHECK(decoded(inside.front()).tcp_sequence == flow.server_first + answer.size());
  }
  SECTION("pipelined: the answer that is due first is another's, so it is reset") {
    pipeline.from_inside(second_acks(0));
    CHECK(is_reset(pipeline.to_inside(), flow.server_first));
  }
  SECTION("sent before the client had all of the answer") {
    pipeline.from_outside(flow.in().payload(answer).frame());
    pipeline.to_inside();
    pipeline.from_inside(second_acks(5));
    CHECK(is_reset(pipeline.to_inside(), flow.server_first + 5));
  }
  CHECK(pipeline.payload_to_outside().empty());
}

TEST_CASE("a client that is told may finish, and nothing of that leaves", "[denial]") {
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  flow.send(kDeniedHello);
  const size_t told = kDeniedHello.size();
  const auto behind = [&](size_t from) {
    return flow.out(from).ack(flow.server_first + static_cast<uint32_t>(kAccessDenied.size()) + 1);
  };
  pipeline.to_inside();
  pipeline.to_outside();

  SECTION("its acknowledgement of the farewell needs no answer") {
    pipeline.from_inside(behind(told).frame());
    CHECK(pipeline.to_inside().empty());
  }
  SECTION("its data and FIN are acknowledged") {
    pipeline.from_inside(behind(told).payload("an alert").frame());
    CHECK(is_ack(pipeline.to_inside(), flow, told + 8));
    pipeline.from_inside(behind(told + 8).flags(kFin | kAck).frame());
    CHECK(is_ack(pipeline.to_inside(), flow, told + 9));
  }
  SECTION("what comes out of order is asked for again") {
    pipeline.from_inside(behind(told + 100).payload("late").frame());
    CHECK(is_ack(pipeline.to_inside(), flow, told));
  }
  SECTION("one that goes on and on is reset") {
    pipeline.from_inside(behind(told + (1 << 20)).payload("x").frame());
    CHECK(pipeline.to_inside().size() == 1);
    CHECK(sent(pipeline, "resets") == 2);
  }
  SECTION("a server that speaks on is reset; the client hears none of it") {
    pipeline.from_outside(flow.in().payload("hello").frame());
    CHECK(pipeline.to_inside().empty());
    CHECK(is_reset(pipeline.to_outside(), flow.client_first));
  }
  SECTION("RSTs of either end are not answered") {
    pipeline.from_inside(behind(told).flags(kRst | kAck).frame());
    pipeline.from_outside(flow.in().flags(kRst | kAck).frame());
    CHECK(pipeline.to_inside().empty());
  }
  CHECK(pipeline.payload_to_outside().empty());
  CHECK(pipeline.packets_in_use() == 0);
}

TEST_CASE("a farewell that was lost is said again", "[denial]") {
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};
  const auto denied = GENERATE(values<Bytes>({kDeniedHello, request("bad.good.test")}));
  flow.open();
  flow.send(denied);
  const auto lost = pipeline.to_inside();
  const Bytes said = payload_of(lost.at(0));
  REQUIRE(!said.empty());
  pipeline.to_outside();
  const auto says_it_again = [&](size_t acknowledged) {
    const auto again = pipeline.to_inside();
    CHECK(farewell(again, flow, acknowledged) == said);
    CHECK(decoded(again.at(0)).tcp_sequence == flow.server_first);
  };

  SECTION("to a client that says the same once more") {
    flow.send(denied);
    says_it_again(denied.size());
  }
  SECTION("to one that had more to say before it could have heard it") {
    pipeline.from_inside(flow.out(denied.size()).payload("more").frame());
    says_it_again(denied.size() + 4);
    pipeline.from_inside(flow.out(denied.size()).payload("more").frame());
    says_it_again(denied.size() + 4);
  }
  SECTION("until it has heard it") {
    const uint32_t behind = flow.server_first + static_cast<uint32_t>(said.size()) + 1;
    pipeline.from_inside(flow.out(denied.size()).ack(behind).payload("more").frame());
    CHECK(is_ack(pipeline.to_inside(), flow, denied.size() + 4));
  }
  SECTION("one that has missed what stood before it is reset") {
    pipeline.from_inside(flow.out().ack(flow.server_first - 7).payload(denied).frame());
    CHECK(is_reset(pipeline.to_inside(), flow.server_first - 7));
  }
  SECTION("under another policy, which would have another text") {
    pipeline.push(kPolicy);
    flow.send(denied);
    CHECK(is_reset(pipeline.to_inside(), flow.server_first));
  }
  CHECK(pipeline.to_outside().empty());
}

namespace {

Bytes timestamps(uint32_t value, uint32_t echo) {
  Bytes out{1, 1, 8, 10};
  put32(out, value);
  put32(out, echo);
  return out;
}

/// TCP options of the one frame, which must be right in itself and carry `payload`.
Bytes options_of(const std::vector<Bytes>& frames, const Bytes& payload) {
  REQUIRE(frames.size() == 1);
  const Bytes& frame = frames.front();
  const Packet packet = decoded(frame);
  CHECK(l4_checksum_ok(frame, packet));
  CHECK(payload_of(frame) == payload);
  return {frame.begin() + packet.l4_offset + 20, frame.begin() + packet.payload_offset};
}

}  // namespace

TEST_CASE("what is said in the server's name has timestamps if the client's packets have",
          "[denial]") {
  struct Row {
    std::string what;
    Bytes option;
    Bytes answered;
  };
  const Bytes both = timestamps(0x01020304, 0xa0b0c0d0);
  const auto row = GENERATE_COPY(values<Row>({
      {"none", {}, {}},
      {"as every stack has them", both, timestamps(0xa0b0c0d0, 0x01020304)},
      {"behind another option", Bytes{5, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 1} + both,
       timestamps(0xa0b0c0d0, 0x01020304)},
      {"in no more than its ten bytes", Bytes(both.begin() + 2, both.end()) + Bytes{0, 0},
       timestamps(0xa0b0c0d0, 0x01020304)},
      {"of a wrong length", {8, 6, 1, 2, 3, 4, 0, 0}, {}},
      {"behind the end of the list", Bytes{0, 1, 1, 1} + both, {}},
      {"past the end of the header", {1, 1, 8, 10}, {}},
  }));
  INFO(row.what);
  const auto server = GENERATE(values<std::string>({"198.19.0.2", "2001:db8::2"}));
  Pipeline pipeline(kPolicy);
  Conversation flow{.pipeline = pipeline, .server = server};
  if (server.find(':') != std::string::npos) flow.client = "2001:db8::1";
  flow.open();
  const auto denied = flow.out().tcp_options(row.option).payload(kDeniedHello).frame();
  pipeline.from_inside(denied);
  CHECK(options_of(pipeline.to_inside(), kAccessDenied) == row.answered);
  CHECK(options_of(pipeline.to_outside(), {}).empty());  // a RST

  pipeline.from_inside(denied);  // it was lost
  CHECK(options_of(pipeline.to_inside(), kAccessDenied) == row.answered);

  const uint32_t behind = flow.server_first + static_cast<uint32_t>(kAccessDenied.size()) + 1;
  pipeline.from_inside(
      flow.out(kDeniedHello.size()).ack(behind).tcp_options(row.option).payload("more").frame());
  const auto acknowledged = pipeline.to_inside();
  CHECK(is_ack(acknowledged, flow, kDeniedHello.size() + 4));
  CHECK(options_of(acknowledged, {}) == row.answered);
}

TEST_CASE("a RST fits what the client has had, not what was dropped with it", "[denial]") {
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  const Bytes tunnel = bytes_of("CONNECT good.test:443 HTTP/1.1\r\nHost: good.test:443\r\n\r\n");
  flow.send(tunnel);
  CHECK(pipeline.payload_to_outside() == tunnel);
  pipeline.from_inside(flow.out(tunnel.size()).payload(request("other.test")).frame());
  CHECK(pipeline.to_outside().empty());  // read or passed, as the server will have it
  pipeline.from_outside(flow.in()
                            .ack(flow.client_first + static_cast<uint32_t>(tunnel.size()))
                            .payload("HTTP/1.1 405 No\r\nContent-Length: 2\r\n\r\nno")
                            .frame());
  CHECK(is_reset(pipeline.to_inside(), flow.server_first));
  CHECK(pipeline.payload_to_outside().empty());
}

TEST_CASE("a push between SYN and SYN-ACK is told to both ends", "[denial]") {
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};
  pipeline.from_inside(flow.syn());
  REQUIRE(pipeline.to_outside().size() == 1);
  pipeline.push(
      "apiVersion: sallyport/v1\nkind: EgressPolicy\nmetadata: {name: p}\nspec:\n"
      "  egress:\n    - {name: nothing, action: Deny}\n");
  pipeline.from_outside(flow.syn_ack());
  CHECK(is_reset(pipeline.to_outside(), flow.client_first));
  const auto inside = pipeline.to_inside();
  REQUIRE(inside.size() == 1);
  // What a client in SYN-SENT believes is what acknowledges its SYN (RFC 9293 section 3.10.7.3).
  CHECK(decoded(inside.at(0)).tcp_flags == (kRst | kAck));
  CHECK(decoded(inside.at(0)).tcp_acknowledgement == flow.client_first);
}

TEST_CASE("past the ServerHello only a RST is understood", "[denial]") {
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  const Bytes good = hello().sni("good.test").record();
  flow.send(good);
  pipeline.to_outside();
  pipeline.push(
      "apiVersion: sallyport/v1\nkind: EgressPolicy\nmetadata: {name: p}\nspec:\n"
      "  egress:\n    - {name: nothing, action: Deny}\n");
  pipeline.from_inside(flow.out(good.size()).payload(app_data("more")).frame());
  CHECK(is_reset(pipeline.to_inside(), flow.server_first));
}

TEST_CASE("after the denial each packet is answered to its sender alone", "[denial]") {
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  const Bytes good = hello().sni("good.test").record();
  flow.send(good);
  pipeline.to_outside();
  pipeline.push(
      "apiVersion: sallyport/v1\nkind: EgressPolicy\nmetadata: {name: p}\nspec:\n"
      "  egress:\n    - {name: nothing, action: Deny}\n");
  const auto more = flow.out(good.size()).payload(app_data("more")).frame();
  const auto answer = flow.in().payload(app_data("answer")).frame();
  const uint32_t client_end = flow.client_first + static_cast<uint32_t>(good.size());

  SECTION("when the client spoke first") {
    pipeline.from_inside(more);
    CHECK(is_reset(pipeline.to_inside(), flow.server_first));
    CHECK(is_reset(pipeline.to_outside(), client_end));
  }
  SECTION("when the server did") {
    pipeline.from_outside(answer);
    CHECK(is_reset(pipeline.to_outside(), flow.client_first));
    CHECK(is_reset(pipeline.to_inside(), flow.server_first));
  }
  for (int i = 0; i < 3; ++i) {
    pipeline.from_inside(more);
    CHECK(is_reset(pipeline.to_inside(), flow.server_first));
    CHECK(pipeline.to_outside().empty());
  }
  for (int i = 0; i < 3; ++i) {  // it has missed its reset, or what was in flight comes in
    pipeline.from_outside(answer);
    CHECK(is_reset(pipeline.to_outside(), flow.client_first));
    CHECK(pipeline.to_inside().empty());
  }
  CHECK(sent(pipeline, "resets") == 8);
}

TEST_CASE("a rule that says drop is silent on both sides", "[denial]") {
  Pipeline pipeline(R"(
apiVersion: sallyport/v1
kind: EgressPolicy
metadata: {name: p}
spec:
  egress:
    - {name: nowhere, action: Deny, to: {cidrs: [198.19.0.99/32]}, onDeny: drop}
    - {name: quiet, action: Deny, to: {domainNames: [quiet.test]}, onDeny: drop}
    - {name: rest, action: Allow}
)");
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  flow.send(hello().sni("quiet.test").record());
  CHECK(pipeline.to_inside().empty());
  pipeline.sleep_ms(120'000);  // as long as Linux waits between two tries
  flow.send(hello().sni("quiet.test").record());
  CHECK(pipeline.to_inside().empty());
  pipeline.from_inside(udp("198.18.0.2", 5000, "198.19.0.99", 9).payload("x").frame());
  CHECK(pipeline.to_inside().empty());
  CHECK(pipeline.to_outside().empty());
}

TEST_CASE("a denied datagram is answered by ICMP that quotes it", "[denial]") {
  struct Row {
    std::string client;
    std::string server;
    uint8_t protocol;
    uint8_t type;
    uint8_t code;
    size_t most_bytes;  ///< From the IP header on.
  };
  const auto row = GENERATE(values<Row>({
      {"198.18.0.2", "198.19.0.99", kIpProtocolIcmp, 3, 13, 576},
      {"2001:db8::1", "2001:db8::99", kIpProtocolIcmpV6, 1, 1, 1280},
  }));
  const size_t payload = GENERATE(0u, 5u, 1400u);
  CAPTURE(row.client, payload);
  Pipeline pipeline(kPolicy);
  const PacketBuilder datagram =
      udp(row.client, 5000, row.server, 9).payload(std::string(payload, 'x'));
  pipeline.from_inside(datagram.frame());
  CHECK(pipeline.to_outside().empty());
  const auto inside = pipeline.to_inside();
  REQUIRE(inside.size() == 1);
  const Bytes& frame = inside.front();
  const Packet packet = decoded(frame);
  CHECK(packet.kind == PacketKind::icmp_error);
  CHECK(packet.flow.ip_protocol == row.protocol);
  CHECK(frame[packet.l4_offset] == row.type);
  CHECK(frame[packet.l4_offset + 1] == row.code);
  CHECK(to_string(packet.flow.source) == row.server);
  CHECK(to_string(packet.flow.destination) == row.client);
  CHECK(to_string(packet.quoted.destination) == row.server);
  CHECK(packet.quoted.source_port == 5000);
  CHECK(l4_checksum_ok(frame, packet));
  const Bytes original = datagram.ip_packet();
  const size_t headers = packet.payload_offset - packet.l3_offset;
  const size_t quoted = std::min(original.size(), row.most_bytes - headers);
  CHECK(Bytes(frame.begin() + packet.payload_offset, frame.end()) == prefix_of(original, quoted));
  CHECK(sent(pipeline, "icmp_errors") == 1);
}

TEST_CASE("what must not be answered by ICMP is not", "[denial]") {
  Pipeline pipeline(kPolicy);
  const auto frame = GENERATE(values<Bytes>({
      udp("198.18.0.2", 5000, "239.1.2.3", 9).payload("x").frame(),
      udp("198.18.0.2", 5000, "255.255.255.255", 9).payload("x").frame(),
      udp("2001:db8::1", 5000, "ff02::1", 9).payload("x").frame(),
      udp("::", 5000, "2001:db8::2", 9).payload("x").frame(),
      udp("0.0.0.0", 5000, "198.19.0.99", 9).payload("x").frame(),
      udp("198.18.0.2", 5000, "198.19.0.99", 9)
          .macs(kInsideMac, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
          .payload("x")
          .frame(),
      icmp("198.18.0.2", "198.19.0.99", 0, 0).payload("reply").frame(),
  }));
  pipeline.from_inside(frame);
  CHECK(pipeline.to_inside().empty());
  CHECK(pipeline.to_outside().empty());
  CHECK(pipeline.drops("denied") == 1);
}

TEST_CASE("a denied ping is answered", "[denial]") {
  Pipeline pipeline(kPolicy);
  pipeline.from_inside(icmp("198.18.0.2", "198.19.0.99", 8, 0).payload("ping").frame());
  CHECK(pipeline.to_inside().size() == 1);
}

TEST_CASE("ICMP errors are limited in rate, a core at a time", "[denial]") {
  Pipeline pipeline(kPolicy);
  const auto answered = [&] {
    size_t count = 0;
    for (int i = 0; i < 1100; ++i) {
      pipeline.from_inside(udp("198.18.0.2", 5000, "198.19.0.99", 9).payload("x").frame());
      count += pipeline.to_inside().size();
    }
    return count;
  };
  CHECK(answered() == kIcmpErrorsPerSecond);
  CHECK(pipeline.counter("sallyport_icmp_errors_limited_total", "") == 100);
  pipeline.sleep_ms(500);
  CHECK(answered() == kIcmpErrorsPerSecond / 2);
}

TEST_CASE("only the inside is told by ICMP", "[denial]") {
  Pipeline pipeline(kPolicy);
  const Bytes query = udp("198.18.0.2", 5000, "198.19.0.99", 443).payload("no quic").frame();
  pipeline.from_inside(query);
  CHECK(pipeline.to_inside().size() == 1);
  pipeline.from_outside(udp("198.19.0.99", 443, "198.18.0.2", 5000).payload("answer").frame());
  CHECK(pipeline.to_inside().empty());
  CHECK(pipeline.to_outside().empty());
}
