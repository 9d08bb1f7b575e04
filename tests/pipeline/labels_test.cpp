// Labels of sources reach live flows as a push does.
#include <catch2/catch.hpp>

#include "tests/pipeline/conversation.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

const Bytes kGood = hello().sni("good.test").record();

/// Only who trains may go, by name.
constexpr std::string_view kTrainers = R"(
apiVersion: sallyport/v1
kind: EgressPolicy
metadata: {name: p}
spec:
  subject: {labels: {job: train}}
  egress:
    - {name: hub, action: Allow, to: {domainNames: [good.test]}}
    - {name: dns, action: Allow, to: {cidrs: [198.19.0.53]}, protocols: [{udp: {ports: [53]}}]}
)";

std::vector<Identity> feed(const std::vector<std::pair<const char*, const char*>>& jobs) {
  std::vector<Identity> out;
  for (const auto& [address, job] : jobs) {
    out.push_back({.address = parse_ip_address(address).value(),
                   .labels = {{"job", job}, {kSpiffeIdLabel, std::string("spiffe://x/") + job}}});
  }
  return out;
}

const auto kTraining = feed({{"198.18.0.2", "train"}, {"198.18.0.3", "train"}});

/// Two clients with a connection each, both allowed and acknowledged so far.
struct TwoClients {
  explicit TwoClients(Pipeline& of)
      : pipeline(of), one{.pipeline = of}, other{.pipeline = of, .client = "198.18.0.3"} {
    for (const Conversation* flow : {&one, &other}) {
      flow->open();
      flow->send(kGood);
      CHECK(pipeline.payload_to_outside() == kGood);
      pipeline.from_outside(flow->in().ack(flow->client_first + sent).frame());
    }
    pipeline.to_inside();
    pipeline.events();
  }
  Bytes next(const Conversation& flow, const char* text) const {
    return flow.out(sent).payload(app_data(text)).frame();
  }

  Pipeline& pipeline;
  Conversation one, other;
  uint32_t sent = static_cast<uint32_t>(kGood.size());
};

}  // namespace

TEST_CASE("without any feed a rule by label is not decided, and nothing leaves", "[pipeline]") {
  Pipeline pipeline(kTrainers);
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  flow.send(kGood);
  CHECK(pipeline.payload_to_outside().empty());
  CHECK(pipeline.events().back().reason == FlowReason::facts_not_inspected);
}

TEST_CASE("a feed may come before the policy or after it, and stays with the next one",
          "[pipeline]") {
  const bool first = GENERATE(true, false);
  Pipeline pipeline(first ? "" : kTrainers);
  pipeline.push_identities(kTraining);
  if (first) pipeline.push(kTrainers);
  const TwoClients flows(pipeline);
  pipeline.push(kTrainers);
  pipeline.from_inside(flows.next(flows.one, "more"));
  CHECK(pipeline.payload_to_outside() == app_data("more"));
}

TEST_CASE("a label taken away ends its flow with its next packet and no other", "[pipeline]") {
  Pipeline pipeline(kTrainers);
  pipeline.push_identities(kTraining);
  const TwoClients flows(pipeline);
  const auto spared = feed({{"198.18.0.3", "train"}});
  const auto changed = feed({{"198.18.0.2", "serve"}, {"198.18.0.3", "train"}});
  pipeline.push_identities(GENERATE(true, false) ? spared : changed);
  const uint32_t end = flows.one.client_first + flows.sent;

  SECTION("the client speaks next: its bytes never leave") {
    pipeline.from_inside(flows.next(flows.one, "secret"));
    CHECK(is_reset(pipeline.to_outside(), end));
    CHECK(is_reset(pipeline.to_inside(), flows.one.server_first));
  }
  SECTION("the server speaks next") {
    pipeline.from_outside(flows.one.in().ack(end).payload("answer").frame());
    CHECK(is_reset(pipeline.to_outside(), end));
    CHECK(is_reset(pipeline.to_inside(), flows.one.server_first));
  }
  const auto events = pipeline.events();
  REQUIRE(events.size() == 1);
  CHECK(events.front().state == FlowState::denied);
  CHECK(events.front().reason == FlowReason::default_deny);
  // The one that is still allowed loses nothing.
  pipeline.from_inside(flows.next(flows.other, "more"));
  pipeline.from_outside(
      flows.other.in().ack(flows.other.client_first + flows.sent).payload("answer").frame());
  CHECK(pipeline.payload_to_outside() == app_data("more"));
  REQUIRE(pipeline.to_inside().size() == 1);
  CHECK(pipeline.events().empty());
  CHECK(pipeline.counter("sallyport_flows", "state=allowed") == 1);
}

TEST_CASE("a label given makes the next connection pass", "[pipeline]") {
  Pipeline pipeline(kTrainers);
  pipeline.push_identities({});
  Conversation flow{.pipeline = pipeline};
  // Nothing can allow it: denied by its SYN.
  pipeline.from_inside(flow.syn());
  CHECK(pipeline.to_outside().empty());
  pipeline.push_identities(kTraining);
  flow.client_first = 88'001;
  flow.open();
  flow.send(kGood);
  CHECK(pipeline.payload_to_outside() == kGood);
}

TEST_CASE("datagram flows follow the labels too", "[pipeline]") {
  Pipeline pipeline(kTrainers);
  const Bytes query = udp("198.18.0.2", 5000, "198.19.0.53", 53).payload("query").frame();
  for (const bool trains : {true, false, true}) {
    pipeline.push_identities(trains ? kTraining : std::vector<Identity>{});
    pipeline.from_inside(query);
    CHECK(pipeline.to_outside().size() == (trains ? 1 : 0));
  }
}

TEST_CASE("a record names the workload of its time, also after many feeds", "[pipeline]") {
  Pipeline pipeline(kTrainers);
  pipeline.push_identities(kTraining);
  const TwoClients flows(pipeline);
  pipeline.push_identities(feed({{"198.18.0.2", "serve"}}));
  CHECK(pipeline.last_line(FlowEvent::Type::verdict).contains(R"("spiffe_id":"spiffe://x/train")"));
  for (int i = 0; i < 40; ++i) {
    pipeline.push_identities(feed({{"198.18.0.9", i % 2 == 0 ? "a" : "b"}}));
  }
  // Who it was is not known any more, and not said; by which rule it went still is.
  const std::string line = pipeline.last_line(FlowEvent::Type::verdict);
  CHECK_FALSE(line.contains("spiffe"));
  CHECK(line.contains(R"("rule":"hub")"));
}
