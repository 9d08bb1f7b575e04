// How flows end, and what is left of them: a record, and nothing else.
#include <catch2/catch.hpp>

#include "tests/pipeline/conversation.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

const Bytes kGood = hello().sni("good.test").record();

std::vector<FlowEvent> ends(Pipeline& pipeline) {
  std::vector<FlowEvent> out;
  for (const FlowEvent& event : pipeline.events()) {
    if (event.type == FlowEvent::Type::flow) out.push_back(event);
  }
  return out;
}

}  // namespace

TEST_CASE("each kind of flow leaves the table after its own idle time", "[pipeline]") {
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};
  FlowEnd expected = FlowEnd::timeout;
  uint32_t idle_ms = 0;

  SECTION("TCP that never opened") {
    pipeline.from_inside(flow.syn());
    idle_ms = 30'000;
  }
  SECTION("TCP closed by both ends") {
    flow.open();
    flow.send(kGood);
    pipeline.from_inside(flow.out(kGood.size()).flags(kFin | kAck).frame());
    pipeline.from_outside(flow.in().flags(kFin | kAck).frame());
    idle_ms = 10'000;
    expected = FlowEnd::closed;
  }
  SECTION("TCP closed with nothing said") {
    flow.open();
    pipeline.from_inside(flow.out().flags(kFin | kAck).frame());
    pipeline.from_outside(flow.in().ack(flow.client_first + 1).flags(kFin | kAck).frame());
    idle_ms = 10'000;
    expected = FlowEnd::closed;
  }
  SECTION("TCP reset by the server") {
    flow.open();
    pipeline.from_outside(flow.in().flags(kRst).frame());
    idle_ms = 10'000;
    expected = FlowEnd::reset;
  }
  SECTION("TCP reset by the client, which has said nothing yet") {
    flow.open();
    pipeline.from_inside(flow.out().flags(kRst | kAck).frame());
    CHECK(pipeline.to_outside().size() == 1);
    idle_ms = 10'000;
    expected = FlowEnd::reset;
  }
  SECTION("TCP denied") {
    flow.open();
    flow.send(hello().sni("x.test").record());
    idle_ms = 10'000;
    expected = FlowEnd::reset;
  }
  SECTION("UDP") {
    pipeline.from_inside(udp("198.18.0.2", 5000, "198.19.0.53", 53).payload("q").frame());
    idle_ms = 60'000;
  }
  SECTION("open TCP stays for two hours") {
    flow.open();
    flow.send(kGood);
    idle_ms = 7'500'000;
  }
  pipeline.events();
  pipeline.sleep_ms(idle_ms - 1000);
  CHECK(ends(pipeline).empty());
  pipeline.sleep_ms(3000);
  const auto records = ends(pipeline);
  REQUIRE(records.size() == 1);
  CHECK(records.front().end == expected);
  CHECK(pipeline.counter("sallyport_flows", "state=allowed") == 0);
  CHECK(pipeline.counter("sallyport_flows", "state=denied") == 0);
  CHECK(pipeline.counter("sallyport_flows", "state=pending") == 0);
  pipeline.to_inside();
  pipeline.to_outside();
  CHECK(pipeline.packets_in_use() == 0);
}

TEST_CASE("a record has what crossed, by whom it was allowed, and when", "[pipeline]") {
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  pipeline.sleep_ms(3000);
  flow.send(kGood);
  pipeline.from_outside(flow.in().payload("hello to you").frame());
  pipeline.from_inside(flow.out(kGood.size()).flags(kRst).frame());
  pipeline.sleep_ms(12'000);
  const auto records = ends(pipeline);
  REQUIRE(records.size() == 1);
  const FlowEvent& record = records.front();
  CHECK(record.packets_out == 4);  // SYN, ACK, hello, RST
  CHECK(record.packets_in == 2);
  CHECK(record.bytes_out == size_t{4} * 54 + kGood.size());
  CHECK(record.text(EventText::host) == "good.test");
  CHECK(record.opened_inside);
  // It began 3 s before its hello, and ended at the sweep 10 s after its RST.
  CHECK((record.timestamp_unix_ns - record.started_unix_ns) / 1'000'000'000 >= 13);
  CHECK((record.timestamp_unix_ns - record.started_unix_ns) / 1'000'000'000 <= 15);
  const std::string line = pipeline.last_line(FlowEvent::Type::flow);
  CAPTURE(line);
  for (const char* part :
       {R"("src_ip":"198.18.0.2","src_port":40000,"dest_ip":"198.19.0.2","dest_port":443)",
        R"("proto":"TCP")", R"("app_proto":"tls","tls":{"sni":"good.test",)",
        R"("verdict":{"action":"allow"})", R"("name":"p","rule":"good")",
        R"("state":"allowed","reason":"reset")", R"("schema":1)"}) {
    CHECK(line.find(part) != std::string::npos);
  }
}

TEST_CASE("an HTTP flow's record says so", "[pipeline]") {
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  flow.send(request("good.test"));
  pipeline.end_all_flows();
  const std::string line = pipeline.last_line(FlowEvent::Type::flow);
  CAPTURE(line);
  CHECK(line.find(R"("app_proto":"http","http":{"hostname":"good.test",)"
                  R"("http_method":"GET","url":"/models/a"})") != std::string::npos);
  CHECK(line.find(R"("reason":"shutdown")") != std::string::npos);
}

TEST_CASE("a full table refuses new flows and keeps the old", "[pipeline]") {
  Pipeline pipeline(kPolicy, {.stage = {.flow_capacity = 16}});
  const auto query = [](uint16_t port) {
    return udp("198.18.0.2", port, "198.19.0.53", 53).payload("q").frame();
  };
  for (uint16_t port = 1; port <= 20; ++port) pipeline.from_inside(query(port));
  CHECK(pipeline.to_outside().size() == 16);
  CHECK(pipeline.drops("flow_table_full") == 4);
  pipeline.from_inside(query(1));
  CHECK(pipeline.to_outside().size() == 1);
  pipeline.sleep_ms(62'000);
  for (uint16_t port = 21; port <= 36; ++port) pipeline.from_inside(query(port));
  CHECK(pipeline.to_outside().size() == 16);  // every one of the old made room
}

TEST_CASE("a SYN with the number of a connection that was allowed opens nothing unseen",
          "[pipeline]") {
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};
  const Bytes other = hello().sni("other.test").record();
  const auto sent = static_cast<uint32_t>(kGood.size());

  SECTION("before anything was sent it is a retransmission") {
    pipeline.from_inside(flow.syn());
    pipeline.from_inside(flow.syn());
    pipeline.from_outside(flow.syn_ack());
    pipeline.from_inside(flow.syn());
    CHECK(pipeline.to_outside() == std::vector<Bytes>(3, flow.syn()));
    flow.send(kGood);
    CHECK(pipeline.payload_to_outside() == kGood);
  }
  SECTION("on an open connection it goes nowhere") {
    flow.open();
    flow.send(kGood);
    pipeline.from_outside(flow.in().ack(flow.client_first + sent).frame());
    pipeline.to_outside();
    pipeline.from_inside(flow.syn());
    CHECK(pipeline.to_outside().empty());
    CHECK(pipeline.drops("out_of_window") == 1);
    pipeline.from_inside(flow.out(sent).payload(app_data("more")).frame());
    CHECK(pipeline.payload_to_outside() == app_data("more"));
  }
  SECTION("after the end it opens another connection, which is inspected") {
    flow.open();
    flow.send(kGood);
    pipeline.from_outside(flow.in().ack(flow.client_first + sent).frame());
    const bool reset = GENERATE(true, false);
    if (reset) {
      pipeline.from_inside(flow.out(sent).flags(kRst).frame());
    } else {
      pipeline.from_inside(flow.out(sent).flags(kFin | kAck).frame());
      pipeline.from_outside(flow.in().flags(kFin | kAck).frame());
    }
    flow.open();
    CHECK(pipeline.counter("sallyport_flows", "state=allowed") == 0);
    CHECK(pipeline.counter("sallyport_flows", "state=pending") == 1);
    flow.send(other);
    CHECK(pipeline.payload_to_outside().empty());
    CHECK(pipeline.events().back().state == FlowState::denied);
    CHECK(pipeline.counter("sallyport_flows", "state=pending") == 0);
    CHECK(pipeline.counter("sallyport_flows", "state=denied") == 1);
  }
}

TEST_CASE("a whole connection in one burst", "[pipeline]") {
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};
  pipeline.burst_from_inside({flow.syn(), flow.syn(), flow.out().payload(kGood).frame()});
  CHECK(pipeline.to_outside().size() == 2);
  CHECK(pipeline.drops("before_handshake") == 1);
  CHECK(pipeline.counter("sallyport_flows", "state=pending") == 1);
}

TEST_CASE("what is held when the gateway stops is not sent, and not leaked", "[pipeline]") {
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  pipeline.from_inside(flow.segment(kGood, 0, 50));
  CHECK(pipeline.packets_in_use() == 1);
  pipeline.end_all_flows();
  CHECK(pipeline.packets_in_use() == 0);
  CHECK(pipeline.to_outside().empty());
  CHECK(pipeline.drops("held_at_flow_end") == 1);
  REQUIRE(ends(pipeline).size() == 1);
}
