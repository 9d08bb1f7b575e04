// Connections that are older than the gateway.
#include <catch2/catch.hpp>

#include "tests/pipeline/conversation.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

constexpr uint32_t kGraceMs = 60'000;

/// Names for any server but two: one is allowed by its address, one denied.
constexpr std::string_view kNames = R"(
apiVersion: sallyport/v1
kind: EgressPolicy
metadata: {name: p}
spec:
  egress:
    - {name: never, action: Deny, to: {cidrs: [198.19.0.66/32]}}
    - {name: ssh, action: Allow, to: {cidrs: [198.19.0.22/32]}}
    - {name: good, action: Allow, to: {domainNames: [good.test]}}
)";

FlowStageOptions stage(ExceptionAction action) {
  FlowStageOptions options{.midstream_grace_ms = kGraceMs};
  options.limits.exceptions.set(Exception::midstream, action);
  return options;
}

}  // namespace

TEST_CASE("both ends of an older connection are reset, whoever speaks first", "[midstream]") {
  Pipeline pipeline(kNames, {.stage = stage(ExceptionAction::reject)});
  const Conversation flow{.pipeline = pipeline};
  SECTION("the client") {
    pipeline.from_inside(flow.out().payload("data").frame());
    CHECK(is_reset(pipeline.to_inside(), flow.server_first));
    CHECK(is_reset(pipeline.to_outside(), flow.client_first));
  }
  SECTION("the server, whose client reads in silence") {
    pipeline.from_outside(flow.in().payload("data").frame());
    CHECK(is_reset(pipeline.to_inside(), flow.server_first));
    CHECK(is_reset(pipeline.to_outside(), flow.client_first));
  }
  SECTION("a RST is never answered") {
    pipeline.from_inside(flow.out().flags(kRst | kAck).frame());
    pipeline.from_outside(flow.in().flags(kRst | kAck).frame());
    CHECK(pipeline.to_inside().empty());
    CHECK(pipeline.to_outside().empty());
  }
  SECTION("a server that the policy denies hears nothing") {
    const Conversation never{.pipeline = pipeline, .server = "198.19.0.66"};
    pipeline.from_inside(never.out().payload("data").frame());
    CHECK(is_reset(pipeline.to_inside(), never.server_first));
    CHECK(pipeline.to_outside().empty());
    pipeline.from_outside(never.in().payload("data").frame());
    CHECK(is_reset(pipeline.to_inside(), never.server_first));
    CHECK(pipeline.to_outside().empty());
  }
  SECTION("once no connection can be so old, the outside is told nothing") {
    pipeline.sleep_ms(kGraceMs);
    pipeline.from_inside(flow.out().payload("data").frame());
    CHECK(is_reset(pipeline.to_inside(), flow.server_first));
    pipeline.from_outside(flow.in().payload("data").frame());
    CHECK(pipeline.to_inside().empty());
    CHECK(pipeline.to_outside().empty());
  }
}

TEST_CASE("older connections are met with silence where that is set", "[midstream]") {
  Pipeline pipeline(kNames, {.stage = stage(ExceptionAction::drop_packet)});
  const Conversation flow{.pipeline = pipeline};
  pipeline.from_inside(flow.out().payload("data").frame());
  pipeline.from_outside(flow.in().payload("data").frame());
  CHECK(pipeline.to_inside().empty());
  CHECK(pipeline.to_outside().empty());
  CHECK(pipeline.drops("midstream") == 2);
}

TEST_CASE("older connections pass for a while after start", "[midstream]") {
  Pipeline pipeline(kNames, {.stage = stage(ExceptionAction::pass_flow)});
  const Conversation flow{.pipeline = pipeline};
  const Bytes data = bytes_of("data");

  SECTION("both ways, whoever speaks first") {
    const bool client_first = GENERATE(true, false);
    const auto client = [&] { pipeline.from_inside(flow.out().payload("data").frame()); };
    const auto server = [&] { pipeline.from_outside(flow.in().payload("data").frame()); };
    if (client_first) client();
    server();
    if (!client_first) client();
    CHECK(pipeline.payload_to_outside() == data);
    const auto inside = pipeline.to_inside();
    REQUIRE(inside.size() == 1);
    CHECK(payload_of(inside.front()) == data);
    CHECK(pipeline.events().back().reason == FlowReason::midstream);

    // Those that were taken up stay when the time is over, and over pushes.
    pipeline.sleep_ms(kGraceMs);
    pipeline.push(kNames);
    pipeline.from_inside(flow.out(4).payload("data").frame());
    CHECK(pipeline.payload_to_outside() == data);
    // A new one on its addresses is read like any other.
    pipeline.sleep_ms(1000);
    pipeline.from_inside(flow.out().seq(flow.client_first + 5'000'000).ack(0).flags(kSyn).frame());
    pipeline.from_outside(flow.in()
                              .seq(flow.server_first + 7'000'000)
                              .ack(flow.client_first + 5'000'001)
                              .flags(kSyn | kAck)
                              .frame());
    pipeline.to_outside();
    const Bytes denied = hello().sni("denied.test").record();
    pipeline.from_inside(
        flow.out(5'000'001 - 0).ack(flow.server_first + 7'000'001).payload(denied).frame());
    CHECK(pipeline.payload_to_outside().empty());
  }
  SECTION("not to where the policy lets nothing go") {
    const Conversation never{.pipeline = pipeline, .server = "198.19.0.66"};
    const bool client_first = GENERATE(true, false);
    const auto client = [&] { pipeline.from_inside(never.out().payload("data").frame()); };
    const auto server = [&] { pipeline.from_outside(never.in().payload("data").frame()); };
    client_first ? client() : server();
    CHECK(is_reset(pipeline.to_inside(), never.server_first));
    CHECK(pipeline.events().back().reason == FlowReason::rule);
    client_first ? server() : client();
    CHECK(is_reset(pipeline.to_inside(), never.server_first));
    CHECK(pipeline.to_outside().empty());
  }
  SECTION("by its rule where an address is enough") {
    const Conversation ssh{.pipeline = pipeline, .server = "198.19.0.22", .server_port = 22};
    pipeline.from_inside(ssh.out().payload("data").frame());
    CHECK(pipeline.payload_to_outside() == data);
    CHECK(pipeline.events().back().reason == FlowReason::rule);
  }
  SECTION("not later") {
    pipeline.sleep_ms(kGraceMs);
    pipeline.from_inside(flow.out().payload("data").frame());
    CHECK(pipeline.payload_to_outside().empty());
    CHECK(is_reset(pipeline.to_inside(), flow.server_first));
  }
  SECTION("a stray RST or SYN-ACK takes up nothing") {
    pipeline.from_inside(flow.out().flags(kRst | kAck).frame());
    pipeline.from_outside(flow.syn_ack());
    CHECK(pipeline.to_outside().empty());
    CHECK(pipeline.to_inside().empty());
    CHECK(pipeline.events().empty());
  }
}
