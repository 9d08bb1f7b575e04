// What becomes of held bytes that have waited too long, with no packet in hand.
#include <catch2/catch.hpp>

#include "tests/pipeline/conversation.h"
#include "tests/support/quic_builder.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

constexpr uint32_t kOverTheTime = 12'000;
constexpr std::string_view kPolicyOfQuic = R"(
apiVersion: sallyport/v1
kind: EgressPolicy
metadata: {name: p}
spec:
  egress:
    - {name: good, action: Allow, to: {domainNames: [good.test]}, protocols: [{quic: {}}]}
)";

Pipeline::Options options(ExceptionAction action) {
  Pipeline::Options out;
  REQUIRE(out.stage.limits.exceptions.set(Exception::inspection_timeout, action));
  out.stage.timeouts.tcp_closing_ms = 60'000;  // what is denied stays to be counted
  return out;
}

/// The gauge of flows by state.
struct Flows {
  uint64_t pending, allowed, denied;
  bool operator==(const Flows&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Flows& flows) {
  return out << flows.pending << " pending, " << flows.allowed << " allowed, " << flows.denied
             << " denied";
}
Flows flows(const Pipeline& pipeline) {
  const auto gauge = [&](const char* labels) {
    return pipeline.counter("sallyport_flows", labels);
  };
  return {gauge("state=pending"), gauge("state=allowed"), gauge("state=denied")};
}

}  // namespace

TEST_CASE("what waited too long passes only as far as its budget goes", "[exception]") {
  const auto budget = GENERATE(size_t{4000}, size_t{40'000});
  CAPTURE(budget);
  Pipeline pipeline(
      "apiVersion: sallyport/v1\nkind: EgressPolicy\nmetadata: {name: p}\nspec:\n  egress:\n"
      "    - {name: web, action: Allow, protocols: [{http: {}}], budget: {bytesOut: " +
          std::to_string(budget) + ", window: 1h, scope: rule}}\n",
      options(ExceptionAction::pass_flow));
  const Conversation flow{.pipeline = pipeline, .server_port = 80};
  flow.open();
  CHECK(flows(pipeline) == Flows{1, 0, 0});
  const Bytes first = request("good.test");
  flow.send(first);
  CHECK(pipeline.payload_to_outside() == first);
  CHECK(flows(pipeline) == Flows{0, 1, 0});
  // Of a head that does not end: three full frames, of which the smaller budget has two.
  const Bytes half = bytes_of("GET /" + std::string(4195, 'x'));
  for (size_t at = 0; at < half.size(); at += 1400) {
    const auto begin = half.begin() + static_cast<std::ptrdiff_t>(at);
    pipeline.from_inside(flow.out(first.size() + at).payload(Bytes(begin, begin + 1400)).frame());
  }
  CHECK(pipeline.to_outside().empty());

  pipeline.sleep_ms(kOverTheTime);
  const bool enough = budget > half.size();
  const size_t left = enough ? half.size() : 2800;
  CHECK(pipeline.payload_to_outside() ==
        Bytes(half.begin(), half.begin() + static_cast<std::ptrdiff_t>(left)));
  CHECK(flows(pipeline) == (enough ? Flows{0, 1, 0} : Flows{0, 0, 1}));
  CHECK(pipeline.to_inside().size() == (enough ? 0 : 1));
  pipeline.end_all_flows();
  CHECK(flows(pipeline) == Flows{0, 0, 0});
}

TEST_CASE("a QUIC client whose hello never ends is told by ICMP", "[exception]") {
  struct Row {
    const char* client;
    const char* server;
  };
  const auto row = GENERATE(Row{"198.18.0.2", "198.19.0.2"}, Row{"2001:db8::1", "2001:db8::2"});
  const auto action = GENERATE(ExceptionAction::reject, ExceptionAction::drop_flow);
  CAPTURE(row.client, to_string(action));
  Pipeline pipeline(kPolicyOfQuic, options(action));
  const Bytes ping = initial(kPingFrame).pad_to(1200).packet();
  const Bytes frame = udp(row.client, 50000, row.server, 443).payload(ping).frame();
  pipeline.from_inside(frame);
  CHECK(flows(pipeline) == Flows{1, 0, 0});
  pipeline.sleep_ms(kOverTheTime);
  CHECK(pipeline.to_outside().empty());
  const auto told = pipeline.to_inside();
  CHECK(flows(pipeline) == Flows{0, 0, 1});
  CHECK(pipeline.packets_in_use() == 0);
  if (action == ExceptionAction::drop_flow) {
    CHECK(told.empty());
    return;
  }
  REQUIRE(told.size() == 1);
  const Packet packet = decoded(told.front());
  const bool v4 = packet.flow.source.is_v4();
  CHECK(packet.kind == PacketKind::icmp_error);
  CHECK(told.front()[packet.l4_offset] == (v4 ? 3 : 1));
  CHECK(told.front()[packet.l4_offset + 1] == (v4 ? 13 : 1));
  CHECK(packet.quoted.source_port == 50000);
  CHECK(pipeline.counter("sallyport_icmp_errors_sent_total", "") == 1);
}

TEST_CASE("what waits behind a denial in silence ends in silence", "[exception]") {
  const std::string on_deny = GENERATE("reset", "drop");
  CAPTURE(on_deny);
  Pipeline pipeline(std::string(kPolicyOfQuic) +
                        "    - {name: bad, action: Deny, to: {domainNames: [bad.test]}, onDeny: " +
                        on_deny + "}\n",
                    options(ExceptionAction::reject));
  const auto send = [&](const Bytes& datagram) {
    pipeline.from_inside(udp("198.18.0.2", 50000, "198.19.0.2", 443).payload(datagram).frame());
    return pipeline.to_inside().size();
  };
  const size_t answers = on_deny == "drop" ? 0 : 1;
  CHECK(send(initial(crypto_frame(0, hello().sni("bad.test").message())).pad_to(1200).packet()) ==
        answers);
  // Another attempt from the same port, of which the hello does not come.
  const Bytes other = from_hex("a1a2a3a4a5a6a7a8");
  CHECK(send(initial(kPingFrame).to(other).keys_of(other).pad_to(1200).packet()) == 0);
  CHECK(pipeline.packets_in_use() == 1);
  pipeline.sleep_ms(kOverTheTime);
  CHECK(pipeline.to_inside().size() == answers);
  CHECK(pipeline.to_outside().empty());
  CHECK(pipeline.packets_in_use() == 0);
}
