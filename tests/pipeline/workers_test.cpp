// Several workers: whatever queue a packet lands on, its flow's owner handles it.
#include <algorithm>
#include <catch2/catch.hpp>
#include <set>

#include "dataplane/io/flow_ids.h"
#include "tests/pipeline/conversation.h"

using namespace sallyport;
using namespace sallyport::test;

TEST_CASE("both directions and every segment reach the flow's one owner", "[pipeline]") {
  Pipeline pipeline(kPolicy, {.workers = 3, .stage = {}});
  const Bytes stream = hello().sni("good.test").record();
  for (uint16_t i = 0; i < 60; ++i) {
    CAPTURE(i);
    const Conversation flow{.pipeline = pipeline, .client_port = static_cast<uint16_t>(30000 + i)};
    // Each packet of the flow lands on another queue.
    pipeline.from_inside(flow.syn(), 0);
    pipeline.from_outside(flow.syn_ack(), 1);
    pipeline.from_inside(flow.out().frame(), 2);
    pipeline.to_outside();
    pipeline.from_inside(flow.segment(stream, 0, 40), i % 3);
    CHECK(pipeline.to_outside().empty());
    pipeline.from_inside(flow.segment(stream, 40, stream.size()), (i + 1u) % 3);
    CHECK(pipeline.payload_to_outside() == stream);
  }
  CHECK(pipeline.counter("sallyport_handed_off_packets_total", "") > 100);
  CHECK(pipeline.counter("sallyport_flows", "state=allowed") == 60);
  CHECK(pipeline.drops("midstream") == 0);
}

TEST_CASE("a denied flow is denied on whatever queue", "[pipeline]") {
  Pipeline pipeline(kPolicy, {.workers = 2, .stage = {}});
  const Bytes stream = hello().sni("other.test").record();
  for (uint16_t i = 0; i < 20; ++i) {
    Conversation flow{.pipeline = pipeline, .client_port = static_cast<uint16_t>(30000 + i)};
    flow.open();
    pipeline.from_inside(flow.out().payload(stream).frame(), i % 2);
    CHECK(pipeline.payload_to_outside().empty());
  }
  CHECK(pipeline.counter("sallyport_flows", "state=denied") == 20);
  std::set<uint64_t> ids;
  for (const FlowEvent& event : pipeline.events()) {
    CHECK(ids.insert(event.flow_id).second);
    CHECK(event.flow_id >> FlowIds::kCountBits ==
          event.core + 1);  // so that workers never give the same one
  }
  CHECK(ids.size() == 20);
}

TEST_CASE("a packet on its owner's queue is not handed over", "[pipeline]") {
  Pipeline pipeline(kPolicy, {.workers = 2, .stage = {}});
  const auto handed_off = [&] {
    return pipeline.counter("sallyport_handed_off_packets_total", "");
  };
  for (uint16_t port = 1; port <= 20; ++port) {
    const Bytes query = udp("198.18.0.2", port, "198.19.0.53", 53).payload("query").frame();
    const uint64_t before = handed_off();
    pipeline.from_inside(query, 0);
    pipeline.from_inside(query, 1);
    CHECK(handed_off() == before + 1);
    CHECK(pipeline.to_outside() == std::vector<Bytes>{query, query});
  }
}

TEST_CASE("one burst for several owners loses and mixes nothing", "[pipeline]") {
  Pipeline pipeline(kPolicy, {.workers = 3, .stage = {}});
  std::vector<Bytes> queries;
  for (uint16_t port = 1; port <= 30; ++port) {
    queries.push_back(udp("198.18.0.2", port, "198.19.0.53", 53).payload("query").frame());
  }
  pipeline.burst_from_inside(queries);
  const auto sent = pipeline.to_outside();
  CHECK(sent.size() == queries.size());
  for (const Bytes& query : queries) CHECK(std::ranges::count(sent, query) == 1);
  CHECK(pipeline.counter("sallyport_flows", "state=allowed") == 30);
  CHECK(pipeline.packets_in_use() == 0);
}
