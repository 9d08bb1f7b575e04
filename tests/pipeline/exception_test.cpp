// What is set for each exception is what happens: by the packets that leave on both sides.
#include <catch2/catch.hpp>
#include <functional>

#include "tests/pipeline/conversation.h"
#include "tests/support/quic_builder.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

using enum ExceptionAction;

/// Reads all but what goes to three addresses: allowed, counted and denied by that alone.
constexpr std::string_view kPolicyOfNames = R"(
apiVersion: sallyport/v1
kind: EgressPolicy
metadata: {name: p}
spec:
  egress:
    - {name: never, action: Deny, to: {cidrs: [198.19.0.66/32]}}
    - {name: counted, action: Allow, to: {cidrs: [198.19.0.9/32]}, budget: {bytesOut: 1MB, window: 1h, scope: source}}
    - {name: good, action: Allow, to: {domainNames: [good.test]}, protocols: [{tls: {}}, {quic: {}}, {http: {}}, {dns: {}}]}
    - {name: team, action: Allow, to: {domainNames: [team.test]}, protocols: [{http: {headers: {x-team: "red*"}}}]}
)";
const Bytes kGood = hello().sni("good.test").record();
const Bytes kDeniedHello = hello().sni("denied.test").record();
const Bytes kTwoHosts = bytes_of("GET / HTTP/1.1\r\nHost: denied.test\r\nHost: good.test\r\n\r\n");

Bytes join(const std::vector<Bytes>& frames) {
  Bytes out;
  for (const Bytes& frame : frames) append(out, payload_of(frame));
  return out;
}

// Each brings its condition about and returns what the client has sent by then and no verdict
// covered. What left before is forgotten.

Bytes too_many_inspected(Pipeline& pipeline) {
  Conversation{.pipeline = pipeline}.open();
  const Conversation flow{.pipeline = pipeline, .client_port = 40001};
  pipeline.from_inside(flow.syn());
  return {};
}

Bytes behind_gap(Pipeline& pipeline, const Bytes& stream, size_t segments) {
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  const size_t each = stream.size() / (segments + 1);
  Bytes sent;
  for (size_t i = 1; i <= segments; ++i) {
    pipeline.from_inside(flow.segment(stream, i * each, (i + 1) * each));
    append(sent, Bytes(stream.begin() + static_cast<std::ptrdiff_t>(i * each),
                       stream.begin() + static_cast<std::ptrdiff_t>((i + 1) * each)));
  }
  return sent;
}
Bytes no_room_to_hold(Pipeline& pipeline) {
  return behind_gap(pipeline, kDeniedHello, 3);
}

Bytes too_long_to_hold(Pipeline& pipeline) {
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  const Bytes endless = bytes_of("GET /") + Bytes(2500, 'a');
  pipeline.from_inside(flow.segment(endless, 0, 1400));
  pipeline.from_inside(flow.segment(endless, 1400, endless.size()));
  return endless;
}

Bytes waited_too_long(Pipeline& pipeline) {
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  pipeline.from_inside(flow.segment(kDeniedHello, 0, 50));
  pipeline.sleep_ms(12'000);
  return Bytes(kDeniedHello.begin(), kDeniedHello.begin() + 50);
}

// A QUIC hello that never comes.
Bytes datagram_waited_too_long(Pipeline& pipeline) {
  const Bytes datagram = initial(kPingFrame).pad_to(1200).packet();
  pipeline.from_inside(udp("198.18.0.2", 50000, "198.19.0.2", 443).payload(datagram).frame());
  pipeline.sleep_ms(12'000);
  return datagram;
}

Bytes two_segments_that_differ(Pipeline& pipeline) {
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  pipeline.from_inside(flow.segment(kDeniedHello, 0, 50));
  Bytes other = kDeniedHello;
  other[30] ^= 1;
  pipeline.from_inside(flow.segment(other, 20, 60));
  return {};
}

Bytes broken_request(Pipeline& pipeline) {
  const Conversation flow{.pipeline = pipeline, .server_port = 80};
  flow.open();
  flow.send(kTwoHosts);
  return kTwoHosts;
}

Bytes broken_query(Pipeline& pipeline) {
  // Its class is unknown.
  const Bytes query =
      from_hex("12340100000100000000000004676f6f64047465737400") + from_hex("00010063");
  pipeline.from_inside(udp("198.18.0.2", 5000, "198.19.0.53", 53).payload(query).frame());
  return query;
}

Bytes short_initial(Pipeline& pipeline) {
  const Bytes datagram =
      initial(crypto_frame(0, hello().sni("denied.test").message())).pad_to(1100).packet();
  pipeline.from_inside(udp("198.18.0.2", 50000, "198.19.0.2", 443).payload(datagram).frame());
  return datagram;
}

// Allowed by its address under the first policy; the second must know its name.
Bytes asked_too_late(Pipeline& pipeline) {
  pipeline.push(kAllowAll);
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  flow.send(kGood);
  pipeline.to_outside();
  pipeline.events();
  pipeline.push(kPolicyOfNames);
  const Bytes more = app_data("more");
  pipeline.from_inside(flow.out(kGood.size()).payload(more).frame());
  return more;
}

// Twice what is scanned of one field.
const Bytes kLongField = bytes_of(
    "GET / HTTP/1.1\r\nHost: denied.test\r\nX-Team: " + std::string(30'000, 'x') + "\r\n\r\n");

void send_in_segments(const Conversation& flow, const Bytes& stream) {
  for (size_t at = 0; at < stream.size(); at += 1400) {
    flow.pipeline.from_inside(flow.segment(stream, at, std::min(at + 1400, stream.size())));
  }
}

Bytes field_too_long_to_scan(Pipeline& pipeline) {
  const Conversation flow{.pipeline = pipeline, .server_port = 80};
  flow.open();
  send_in_segments(flow, kLongField);
  return kLongField;
}

// The first flow's facts take the room of the second's.
Bytes no_room_for_facts(Pipeline& pipeline) {
  for (const uint16_t port : {uint16_t{40000}, uint16_t{40001}}) {
    pipeline.to_outside();
    const Conversation flow{.pipeline = pipeline, .client_port = port};
    flow.open();
    flow.send(kGood);
  }
  return kGood;
}

Bytes uncounted(Pipeline& pipeline) {
  const auto send = [&](int client) {
    pipeline.from_inside(
        udp("198.18.1." + std::to_string(client), 5000, "198.19.0.9", 9).payload("x").frame());
  };
  for (int i = 0; i < 16; ++i) send(i);
  pipeline.to_outside();
  send(16);
  return bytes_of("x");
}

Bytes unrecorded(Pipeline& pipeline) {
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  flow.send(kGood);
  return kGood;
}

Bytes older_than_gateway(Pipeline& pipeline) {
  const Conversation flow{.pipeline = pipeline};
  flow.send(bytes_of("in the midst"));
  return bytes_of("in the midst");
}

struct Row {
  Exception condition;
  std::function<Bytes(Pipeline&)> bring;
  FlowLimits limits = {};
  uint32_t budget_entries = 64;
  size_t event_room = SIZE_MAX;
};
std::ostream& operator<<(std::ostream& out, const Row& row) {
  return out << info_of(row.condition).name;
}

const std::vector<Row> kRows{
    {Exception::midstream, older_than_gateway},
    {Exception::inspection_limit, too_many_inspected, {.inspections = 1}},
    {Exception::held_memory_full, no_room_to_hold, {.held_packets = 2}},
    {Exception::reassembly_limit, too_long_to_hold, {.held_bytes_per_flow = 2048}},
    {Exception::fact_memory_full, no_room_for_facts, {.fact_blocks = 3}},
    {Exception::inspection_timeout, waited_too_long},
    {Exception::inspection_timeout, datagram_waited_too_long},
    {Exception::overlap_conflict, two_segments_that_differ},
    {Exception::malformed, broken_request},
    {Exception::malformed, broken_query},
    {Exception::undecodable_quic, short_initial},
    {Exception::facts_not_inspected, asked_too_late},
    {Exception::scan_error, field_too_long_to_scan},
    {Exception::budget_ledger_full, uncounted, {}, 16},
    {Exception::log_ring_full, unrecorded, {}, 64, 0},
};

/// One row under one action.
struct Trial {
  explicit Trial(const Row& row, ExceptionAction action) {
    Pipeline::Options options{.stage = {.limits = row.limits},
                              .budget_entries = row.budget_entries,
                              .event_room = row.event_room};
    REQUIRE(options.stage.limits.exceptions.set(row.condition, action));
    pipeline = std::make_unique<Pipeline>(kPolicyOfNames, options);
    expected = row.bring(*pipeline);
    for (const FlowEvent& event : pipeline->events()) {
      if (event.type == FlowEvent::Type::verdict) last = event;
    }
    outside = pipeline->to_outside();
    inside = pipeline->to_inside();
  }
  uint64_t count(Exception condition) const {
    return pipeline->counter("sallyport_exceptions_total",
                             "condition=" + std::string(info_of(condition).name));
  }

  std::unique_ptr<Pipeline> pipeline;
  Bytes expected;
  std::vector<Bytes> outside, inside;
  FlowEvent last{};
};

}  // namespace

TEST_CASE("an exception does what is set for it", "[exception]") {
  const auto row = GENERATE(from_range(kRows));
  const auto action = GENERATE(reject, drop_flow, drop_packet, pass_flow);
  const ExceptionInfo& info = info_of(row.condition);
  CAPTURE(row, to_string(action));
  if (!ExceptionActions{}.set(row.condition, action)) return;
  const Trial trial(row, action);
  CHECK(trial.count(row.condition) == 1);
  // What was never a flow has no record, either.
  const bool recorded =
      row.event_room > 0 && (row.condition != Exception::midstream || action == pass_flow);
  switch (action) {
    case reject:
      CHECK(join(trial.outside).empty());
      CHECK(trial.inside.size() == 1);
      if (recorded) CHECK(trial.last.state == FlowState::denied);
      break;
    case drop_flow:
      CHECK(trial.outside.empty());
      CHECK(trial.inside.empty());
      if (recorded) CHECK(trial.last.state == FlowState::denied);
      break;
    case drop_packet:
      CHECK(trial.outside.empty());
      CHECK(trial.inside.empty());
      CHECK(trial.last.state == FlowState::free);
      break;
    default:
      CHECK(join(trial.outside) == trial.expected);
      CHECK(trial.inside.empty());
      if (recorded) CHECK(trial.last.state == FlowState::allowed);
      break;
  }
  if (action != drop_packet && recorded) {
    // Without room for its facts a flow is decided all the same.
    const bool by_rule = row.condition == Exception::fact_memory_full && action == pass_flow;
    CHECK(trial.last.reason == (by_rule ? FlowReason::rule : info.reason));
  }
}

TEST_CASE("what an exception lets pass goes on, until the policy denies it", "[exception]") {
  FlowLimits limits;
  limits.exceptions.set(Exception::malformed, pass_flow);
  Pipeline pipeline(kPolicyOfNames, {.stage = {.limits = limits}});
  const Conversation flow{.pipeline = pipeline, .server_port = 80};
  flow.open();
  flow.send(kTwoHosts);
  auto more = [&, at = kTwoHosts.size()]() mutable {
    pipeline.to_outside();
    pipeline.from_inside(flow.out(at).payload("more").frame());
    at += 4;
    return pipeline.payload_to_outside() == bytes_of("more");
  };
  CHECK(more());
  pipeline.push(std::string(kPolicyOfNames) +
                "    - {name: also, action: Allow, to: {domainNames: "
                "[also.test]}}\n");
  CHECK(more());
  CHECK(pipeline.events().back().reason == FlowReason::malformed);
  pipeline.push(
      "apiVersion: sallyport/v1\nkind: EgressPolicy\nmetadata: {name: p}\nspec:\n  egress:\n"
      "    - {name: nothing, action: Deny}\n");
  CHECK_FALSE(more());
  CHECK(pipeline.events().back().reason == FlowReason::rule);
}

TEST_CASE("so do datagrams: none of such a flow is read any more", "[exception]") {
  FlowLimits limits;
  limits.exceptions.set(Exception::undecodable_quic, pass_flow);
  Pipeline pipeline(kPolicyOfNames, {.stage = {.limits = limits}});
  short_initial(pipeline);
  CHECK(pipeline.to_outside().size() == 1);
  const Bytes denied =
      initial(crypto_frame(0, hello().sni("denied.test").message())).pad_to(1200).packet();
  const auto send = [&](uint16_t port) {
    pipeline.from_inside(udp("198.18.0.2", port, "198.19.0.2", 443).payload(denied).frame());
    return pipeline.to_outside().size();
  };
  CHECK(send(50000) == 1);
  CHECK(send(50001) == 0);
  pipeline.to_inside();
  CHECK(pipeline.packets_in_use() == 0);
}

TEST_CASE("a packet that cost nothing but itself comes again", "[exception]") {
  SECTION("when there is room to hold it") {
    FlowLimits limits{.held_packets = 2};
    limits.exceptions.set(Exception::held_memory_full, drop_packet);
    Pipeline pipeline(kPolicyOfNames,
                      {.stage = {.limits = limits, .timeouts = {.tcp_closing_ms = 1000}}});
    const Conversation flow{.pipeline = pipeline};
    flow.open();
    const size_t third = kGood.size() / 3;
    const Conversation hog{.pipeline = pipeline, .client_port = 41000};
    hog.open();
    pipeline.from_inside(hog.segment(kGood, 10, 20));
    pipeline.from_inside(flow.segment(kGood, 0, third));
    pipeline.from_inside(flow.segment(kGood, third, kGood.size()));
    CHECK(pipeline.to_outside().empty());
    pipeline.from_inside(hog.out().flags(kRst | kAck).frame());
    pipeline.sleep_ms(4000);
    pipeline.to_outside();
    pipeline.from_inside(flow.segment(kGood, third, kGood.size()));
    CHECK(pipeline.payload_to_outside() == kGood);
  }
  SECTION("as it was first") {
    FlowLimits limits;
    limits.exceptions.set(Exception::overlap_conflict, drop_packet);
    Pipeline pipeline(kPolicyOfNames, {.stage = {.limits = limits}});
    const Conversation flow{.pipeline = pipeline};
    flow.open();
    Bytes other = kGood;
    other[30] ^= 1;
    pipeline.from_inside(flow.segment(kGood, 0, 50));
    pipeline.from_inside(flow.segment(other, 20, 60));
    pipeline.from_inside(flow.segment(kGood, 50, kGood.size()));
    CHECK(pipeline.payload_to_outside() == kGood);
  }
}

TEST_CASE("room for facts alone is no reason to let a denied name pass", "[exception]") {
  FlowLimits limits{.fact_blocks = 3};  // a TLS flow takes two or three
  limits.exceptions.set(Exception::fact_memory_full, pass_flow);
  Pipeline pipeline(kPolicyOfNames, {.stage = {.limits = limits}});
  auto answer_to = [&, port = uint16_t{40000}](const Bytes& stream) mutable {
    const Conversation flow{.pipeline = pipeline, .client_port = ++port};
    flow.open();
    flow.send(stream);
    return pipeline.payload_to_outside();
  };
  CHECK(answer_to(kGood) == kGood);
  CHECK(answer_to(kGood) == kGood);
  CHECK(pipeline.counter("sallyport_exceptions_total", "condition=fact_memory_full") == 1);
  CHECK(answer_to(kDeniedHello).empty());
}

TEST_CASE("a full table", "[exception]") {
  const auto action = GENERATE(reject, drop_packet);
  FlowStageOptions stage{.flow_capacity = 16};
  stage.limits.exceptions.set(Exception::flow_table_full, action);
  Pipeline pipeline(kAllowAll, {.stage = stage});
  const auto datagram = [](uint16_t port) {
    return udp("198.18.0.2", port, "198.19.0.53", 9).payload("q").frame();
  };
  for (uint16_t port = 1; port <= 16; ++port) pipeline.from_inside(datagram(port));
  CHECK(pipeline.to_outside().size() == 16);
  pipeline.to_inside();
  pipeline.from_inside(datagram(17));
  const auto told = pipeline.to_inside();
  CHECK(told.size() == (action == reject ? 1 : 0));
  if (!told.empty()) CHECK(decoded(told.front()).kind == PacketKind::icmp_error);
  pipeline.from_inside(Conversation{.pipeline = pipeline}.syn());
  CHECK(pipeline.to_inside().size() == (action == reject ? 1 : 0));
  CHECK(pipeline.to_outside().empty());
  CHECK(pipeline.counter("sallyport_exceptions_total", "condition=flow_table_full") == 2);
}

TEST_CASE("only the flow whose record was lost pays for it", "[exception]") {
  Pipeline::Options options{.event_room = 2};
  REQUIRE(options.stage.limits.exceptions.set(Exception::log_ring_full, reject));
  Pipeline pipeline(kAllowAll, options);
  const Conversation first{.pipeline = pipeline};
  const Conversation second{.pipeline = pipeline, .client_port = 40001};
  first.open();
  second.open();
  // Closed, and opened anew: its second verdict finds no room.
  pipeline.from_inside(first.out().flags(kRst | kAck).frame());
  pipeline.to_outside();
  pipeline.from_inside(first.out().seq(first.client_first + 100'000).ack(0).flags(kSyn).frame());
  CHECK(pipeline.to_outside().empty());
  CHECK(pipeline.to_inside().size() == 1);
  CHECK(pipeline.counter("sallyport_exceptions_total", "condition=log_ring_full") == 1);
  second.send(kGood);
  CHECK(pipeline.payload_to_outside() == kGood);
}
