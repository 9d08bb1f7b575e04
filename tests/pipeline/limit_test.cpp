// What comes of a flow that meets a bound of its worker: it is denied under the bound's name, not a
// byte of it leaves, its ends are told, and what it had is free for the next one.
#include <catch2/catch.hpp>

#include "tests/pipeline/conversation.h"
#include "tests/support/quic_builder.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

const Bytes kGood = hello().sni("good.test").record();
const Bytes kOther = hello().sni("other.test").record();
const Bytes kPreface = bytes_of("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/// Reads all but what goes to one address, which its first rule allows.
constexpr std::string_view kLimitPolicy = R"(
apiVersion: sallyport/v1
kind: EgressPolicy
metadata: {name: p}
spec:
  egress:
    - {name: ssh, action: Allow, to: {cidrs: [198.19.0.22/32]}, protocols: [{tcp: {ports: [22]}}]}
    - {name: good, action: Allow, to: {domainNames: [good.test]},
       protocols: [{tls: {}}, {quic: {}}, {http: {}}]}
)";
const Bytes kQuicHello =
    initial(crypto_frame(0, hello().sni("good.test").message())).pad_to(1200).packet();

/// Another client of the same server.
Conversation next(Conversation& flow) {
  ++flow.client_port;
  return flow;
}

/// A QUIC client and its server.
struct QuicTalk {
  Pipeline& pipeline;
  uint16_t port = 50000;

  PacketBuilder out() const { return udp("198.18.0.2", port, "198.19.0.2", 443); }
  void send(const Bytes& datagram) const { pipeline.from_inside(out().payload(datagram).frame()); }
  /// An Initial that says nothing of the hello: it waits for it.
  void send_ping(uint64_t number) const {
    send(initial(kPingFrame).number(number).pad_to(1200).packet());
  }
  /// The server has taken the hello.
  void answer() const {
    const Bytes id = from_hex("8394c8f03e515708");
    const Bytes taken = initial(ack_frame(0)).to({}).keys_of(id).as_server().packet();
    const Bytes handshake = long_packet(2, {}, Bytes(100, 3));
    pipeline.from_outside(udp("198.19.0.2", 443, "198.18.0.2", port)
                              .macs(kOutsideMac, kInsideMac)
                              .payload(taken + handshake)
                              .frame());
  }
};

/// The one verdict since the last call is a denial for `reason`.
void check_denied(Pipeline& pipeline, FlowReason reason) {
  auto events = pipeline.events();
  std::erase_if(events, [](const FlowEvent& e) { return e.type != FlowEvent::Type::verdict; });
  REQUIRE(events.size() == 1);
  CHECK(events.front().state == FlowState::denied);
  CHECK(events.front().reason == reason);
}

/// Both ends of a connection whose handshake has passed hear of its end, and nothing else leaves.
void check_both_reset(Pipeline& pipeline, const Conversation& flow) {
  CHECK(is_reset(pipeline.to_outside(), flow.client_first));
  CHECK(is_reset(pipeline.to_inside(), flow.server_first));
}

// One more than is read at a time: nothing of it leaves or stays.
void check_refused(const QuicTalk& one_more) {
  Pipeline& pipeline = one_more.pipeline;
  one_more.send(kQuicHello);
  CHECK(pipeline.to_outside().empty());
  CHECK(is_prohibited(pipeline.to_inside(), one_more.port));
  check_denied(pipeline, FlowReason::inspection_limit);
  CHECK(pipeline.packets_in_use() == 0);
}

}  // namespace

TEST_CASE("more connections than are read at a time", "[limit]") {
  Pipeline pipeline(kLimitPolicy,
                    {.stage = {.limits = {.inspections = 2}, .midstream_grace_ms = 0}});
  Conversation flow{.pipeline = pipeline};
  const Conversation first = next(flow);
  first.open();
  next(flow).open();

  // Denied by its SYN, so that its server never hears of it.
  const Conversation refused = next(flow);
  pipeline.from_inside(refused.syn());
  CHECK(pipeline.to_outside().empty());
  const auto told = pipeline.to_inside();
  REQUIRE(told.size() == 1);
  CHECK((decoded(told.front()).tcp_flags & kRst) != 0);
  CHECK(decoded(told.front()).tcp_acknowledgement == refused.client_first);
  check_denied(pipeline, FlowReason::inspection_limit);
  refused.send(kGood);
  CHECK(pipeline.to_outside().empty());
  pipeline.to_inside();

  // What needs no reading goes on.
  const Conversation ssh{.pipeline = pipeline, .server = "198.19.0.22", .server_port = 22};
  ssh.open();
  ssh.send(bytes_of("SSH-2.0-x\r\n"));
  CHECK(pipeline.payload_to_outside() == bytes_of("SSH-2.0-x\r\n"));
  pipeline.events();

  first.send(kOther);
  pipeline.to_outside();
  pipeline.to_inside();
  const Conversation later = next(flow);
  later.open();
  later.send(kGood);
  CHECK(pipeline.payload_to_outside() == kGood);
  pipeline.from_outside(
      later.in().ack(later.client_first + static_cast<uint32_t>(kGood.size())).frame());
  pipeline.to_inside();
  CHECK(pipeline.packets_in_use() == 0);
}

TEST_CASE("more QUIC clients than are read at a time", "[limit]") {
  Pipeline pipeline(kLimitPolicy, {.stage = {.limits = {.inspections = 1}}});
  QuicTalk{.pipeline = pipeline}.send(kQuicHello);
  CHECK(pipeline.to_outside().size() == 1);
  pipeline.events();
  // The first has its place for as long as it lives, whatever its server has said.
  QuicTalk{.pipeline = pipeline}.answer();
  pipeline.to_inside();
  const QuicTalk refused{.pipeline = pipeline, .port = 50001};
  check_refused(refused);
  pipeline.end_all_flows();
  refused.send(kQuicHello);
  CHECK(pipeline.to_outside().size() == 1);
}

TEST_CASE("more HTTP/2 connections than are read at a time", "[limit]") {
  Pipeline pipeline(kLimitPolicy, {.stage = {.limits = {.http2_connections = 1}}});
  Conversation flow{.pipeline = pipeline, .server_port = 80};
  const Conversation first = next(flow);
  first.open();
  first.send(kPreface);
  const Conversation refused = next(flow);
  refused.open();
  refused.send(kPreface);
  check_both_reset(pipeline, refused);
  check_denied(pipeline, FlowReason::inspection_limit);

  // The first is read on; when it ends there is room.
  pipeline.from_inside(first.out(kPreface.size()).payload(Bytes(60, 0xff)).frame());
  check_both_reset(pipeline, first);
  check_denied(pipeline, FlowReason::malformed);
  const Conversation later = next(flow);
  later.open();
  later.send(kPreface);
  CHECK(pipeline.events().empty());
  pipeline.from_inside(later.out(kPreface.size()).payload(Bytes(60, 0xff)).frame());
  check_both_reset(pipeline, later);
  check_denied(pipeline, FlowReason::malformed);
  CHECK(pipeline.packets_in_use() == 0);
}

TEST_CASE("more QUIC handshakes than go on at a time", "[limit]") {
  Pipeline pipeline(kLimitPolicy, {.stage = {.limits = {.quic_hellos = 1}}});
  const QuicTalk first{.pipeline = pipeline};
  first.send(kQuicHello);
  CHECK(pipeline.to_outside().size() == 1);
  pipeline.events();
  const QuicTalk refused{.pipeline = pipeline, .port = 50001};
  check_refused(refused);

  // Once the first server has its hello the client that tries again is read.
  first.answer();
  pipeline.to_inside();
  refused.send(kQuicHello);
  CHECK(pipeline.to_outside().size() == 1);
  const auto events = pipeline.events();
  REQUIRE(events.size() == 1);
  CHECK(events.front().state == FlowState::allowed);
  CHECK(pipeline.packets_in_use() == 0);
}

TEST_CASE("no room for what a flow was decided by", "[limit]") {
  // A TLS flow takes two or three blocks.
  Pipeline pipeline(kLimitPolicy, {.stage = {.limits = {.fact_blocks = 3}}});
  Conversation flow{.pipeline = pipeline};
  const Conversation first = next(flow);
  first.open();
  first.send(kGood);
  CHECK(pipeline.payload_to_outside() == kGood);
  pipeline.events();
  const Conversation refused = next(flow);
  refused.open();
  refused.send(kGood);
  CHECK(is_reset(pipeline.to_outside(), refused.client_first));
  CHECK(farewell(pipeline.to_inside(), refused, kGood.size()) == kAccessDenied);
  check_denied(pipeline, FlowReason::fact_memory_full);
  CHECK(pipeline.packets_in_use() == 1);  // the first one's hello, until its server has it

  // Both sides close the first one.
  const auto end = static_cast<uint32_t>(kGood.size());
  pipeline.from_outside(first.in().ack(first.client_first + end).flags(kFin | kAck).frame());
  pipeline.from_inside(first.out(end).ack(first.server_first + 1).flags(kFin | kAck).frame());
  pipeline.from_outside(first.in(1).ack(first.client_first + end + 1).frame());
  pipeline.sleep_ms(60'000);
  pipeline.to_outside();
  pipeline.to_inside();
  CHECK(pipeline.packets_in_use() == 0);
  const Conversation later = next(flow);
  later.open();
  later.send(kGood);
  CHECK(pipeline.payload_to_outside() == kGood);
}

TEST_CASE("more copies than one flow may have kept for its server", "[limit]") {
  Pipeline pipeline(kLimitPolicy, {.stage = {.limits = {.guarded_packets_per_flow = 4}}});
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  for (size_t i = 0; i < 4; ++i) {
    const size_t quarter = kGood.size() / 4;
    pipeline.from_inside(
        flow.segment(kGood, i * quarter, i == 3 ? kGood.size() : (i + 1) * quarter));
  }
  CHECK(pipeline.payload_to_outside() == kGood);
  CHECK(pipeline.packets_in_use() == 4);

  // Nobody is told: the client sends it again, and by then the server may have more.
  const Bytes more = flow.out(kGood.size()).payload(app_data("more")).frame();
  pipeline.from_inside(more);
  CHECK(pipeline.to_outside().empty());
  CHECK(pipeline.to_inside().empty());
  CHECK(pipeline.drops("guard_full") == 1);
  CHECK(pipeline.counter("sallyport_flows", "state=allowed") == 1);
  CHECK(pipeline.packets_in_use() == 4);
  const auto taken = static_cast<uint32_t>(kGood.size());
  pipeline.from_outside(flow.in().ack(flow.client_first + taken).frame());
  pipeline.from_inside(more);
  CHECK(pipeline.payload_to_outside() == app_data("more"));
  const auto all = taken + static_cast<uint32_t>(app_data("more").size());
  pipeline.from_outside(flow.in().ack(flow.client_first + all).frame());
  pipeline.to_inside();
  CHECK(pipeline.packets_in_use() == 0);
}

TEST_CASE("more datagrams than may wait for one QUIC hello", "[limit]") {
  Pipeline pipeline(kLimitPolicy);
  const QuicTalk talk{.pipeline = pipeline};
  for (uint64_t i = 0; i < 32; ++i) talk.send_ping(i);
  CHECK(pipeline.events().empty());
  CHECK(pipeline.packets_in_use() == 32);
  talk.send_ping(32);
  CHECK(pipeline.to_outside().empty());
  CHECK(is_prohibited(pipeline.to_inside(), 50000));
  check_denied(pipeline, FlowReason::reassembly_limit);
  CHECK(pipeline.drops("held_after_denial") == 32);
  CHECK(pipeline.packets_in_use() == 0);
}

TEST_CASE("more packets than a worker may hold", "[limit]") {
  SECTION("of TCP") {
    Pipeline pipeline(kLimitPolicy, {.stage = {.limits = {.held_packets = 3}}});
    Conversation flow{.pipeline = pipeline};
    for (int i = 0; i < 3; ++i) {
      const Conversation waits = next(flow);
      waits.open();
      pipeline.from_inside(waits.segment(kGood, 0, 20));
    }
    const Conversation refused = next(flow);
    refused.open();
    pipeline.from_inside(refused.segment(kGood, 0, 20));
    check_both_reset(pipeline, refused);
    check_denied(pipeline, FlowReason::held_memory_full);
    CHECK(pipeline.packets_in_use() == 3);
    pipeline.sleep_ms(11'000);
    pipeline.to_outside();
    pipeline.to_inside();
    CHECK(pipeline.packets_in_use() == 0);
    const Conversation later = next(flow);
    later.open();
    later.send(kGood);
    CHECK(pipeline.payload_to_outside() == kGood);
  }
  SECTION("of QUIC") {
    Pipeline pipeline(kLimitPolicy, {.stage = {.limits = {.held_packets = 3}}});
    const QuicTalk talk{.pipeline = pipeline};
    for (uint64_t i = 0; i < 3; ++i) talk.send_ping(i);
    CHECK(pipeline.packets_in_use() == 3);
    talk.send_ping(3);
    CHECK(pipeline.to_outside().empty());
    CHECK(is_prohibited(pipeline.to_inside(), 50000));
    check_denied(pipeline, FlowReason::held_memory_full);
    CHECK(pipeline.packets_in_use() == 0);
  }
}

TEST_CASE("two clients who fill the memory for held packets do not deny others theirs", "[limit]") {
  Pipeline pipeline(kLimitPolicy, {.stage = {.limits = {.held_packets = 256}}});
  Conversation flow{.pipeline = pipeline};
  // Every second byte of a stream: it is never whole.
  for (int greedy = 0; greedy < 2; ++greedy) {
    next(flow).open();
    for (size_t i = 0; i < 128; ++i) {
      pipeline.from_inside(flow.out(2 * i + 1).payload("x").frame());
    }
  }
  pipeline.to_outside();
  next(flow).open();
  flow.send(kGood);
  CHECK(pipeline.payload_to_outside() == kGood);
}

TEST_CASE("a connection that never speaks keeps its place while there are enough", "[limit]") {
  Pipeline pipeline(kLimitPolicy, {.stage = {.limits = {.inspections = 8}}});
  Conversation flow{.pipeline = pipeline};
  const unsigned silent = GENERATE(4, 8);
  for (unsigned i = 0; i < silent; ++i) next(flow).open();
  const Conversation last = flow;
  pipeline.sleep_ms(59'000);
  CHECK(pipeline.flow_memory().inspections == silent);
  pipeline.sleep_ms(3'000);
  CHECK(pipeline.flow_memory().inspections == 4);
  if (silent == 4) {
    last.send(kGood);
    CHECK(pipeline.payload_to_outside() == kGood);
  } else {
    next(flow).open();
    flow.send(kGood);
    CHECK(pipeline.payload_to_outside() == kGood);
  }
}
