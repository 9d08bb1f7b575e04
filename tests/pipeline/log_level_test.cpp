// What a rule's `log` puts into the flow log: which events of a flow, and of which flows.
#include <catch2/catch.hpp>

#include "tests/pipeline/conversation.h"
#include "tests/support/dns_builder.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

using Type = FlowEvent::Type;

std::string policy_of(std::string_view level, std::string_view mode = "enforce") {
  const std::string log = ", log: " + std::string(level) + "}\n";
  return "apiVersion: sallyport/v1\nkind: EgressPolicy\nmetadata: {name: p}\nspec:\n  mode: " +
         std::string(mode) +
         "\n  egress:\n"
         "    - {name: good, action: Allow, to: {domainNames: [good.test]}" +
         log + "    - {name: also, action: Allow, to: {domainNames: [also.test]}" + log +
         "    - {name: bad, action: Deny, to: {domainNames: [bad.test]}" + log;
}

std::string words(const std::vector<FlowEvent>& events) {
  static constexpr const char* kNames[] = {"start", "verdict", "request", "flow"};
  std::string out;
  for (const FlowEvent& event : events) {
    const bool flow = event.type == Type::flow || event.type == Type::start;
    out += (out.empty() ? "" : " ") + std::string(kNames[static_cast<size_t>(event.type)]) +
           (flow ? "" : ":" + std::string(event.text(EventText::host)));
  }
  return out;
}

// One connection that asks for each of these in its turn, and its end.
std::string of_requests(Pipeline& pipeline, const std::vector<std::string>& hosts) {
  const Conversation flow{.pipeline = pipeline, .server_port = 80};
  flow.open();
  size_t sent = 0;
  for (const std::string& host : hosts) {
    const Bytes asks = request(host);
    pipeline.from_inside(flow.out(sent).payload(asks).frame());
    sent += asks.size();
  }
  pipeline.end_all_flows();
  return words(pipeline.events());
}

}  // namespace

TEST_CASE("each level of `log` has its events", "[log]") {
  struct Row {
    std::string level;
    std::vector<std::string> hosts;
    std::string said;
  };
  const auto row = GENERATE(values<Row>({
      {"none", {"good.test", "good.test", "bad.test"}, ""},
      {"denies", {"good.test", "good.test"}, ""},
      {"denies", {"good.test", "bad.test"}, "verdict:bad.test flow"},
      {"decisions", {"good.test", "good.test", "good.test"}, "verdict:good.test flow"},
      {"decisions",
       {"good.test", "also.test", "also.test", "good.test"},
       "verdict:good.test verdict:also.test verdict:good.test flow"},
      {"decisions",
       {"good.test", "good.test", "bad.test"},
       "verdict:good.test verdict:bad.test flow"},
      {"all",
       {"good.test", "good.test", "also.test", "also.test", "bad.test"},
       "start verdict:good.test request:good.test verdict:also.test request:also.test "
       "verdict:bad.test flow"},
      {"all", {"bad.test"}, "start verdict:bad.test flow"},
  }));
  CAPTURE(row.level, row.hosts);
  Pipeline pipeline(policy_of(row.level));
  CHECK(of_requests(pipeline, row.hosts) == row.said);
}

TEST_CASE("a denial that is only audited is said each time", "[log]") {
  Pipeline pipeline(policy_of("denies", "audit"));
  CHECK(of_requests(pipeline, {"bad.test", "bad.test"}) ==
        "verdict:bad.test verdict:bad.test flow");
}

TEST_CASE("each request counts as a verdict, logged or not", "[log]") {
  Pipeline pipeline(policy_of(GENERATE("none", "decisions", "all")));
  of_requests(pipeline, {"good.test", "good.test", "good.test"});
  CHECK(pipeline.counter("sallyport_verdicts_total", "action=allow,mode=enforce,protocol=http") ==
        3);
}

TEST_CASE("queries of one flow are its requests", "[log]") {
  const bool all = GENERATE(true, false);
  Pipeline pipeline(policy_of(all ? "all" : "decisions"));
  for (int i = 0; i < 3; ++i) {
    pipeline.from_inside(
        udp("198.18.0.2", 5300, "198.19.0.53", 53).payload(dns_query("good.test")).frame());
  }
  CHECK(
      words(pipeline.events()) ==
      (all ? "start verdict:good.test request:good.test request:good.test" : "verdict:good.test"));
}

TEST_CASE("a start has the time of the first packet, and the rule that wants it logged", "[log]") {
  Pipeline pipeline(policy_of("all"));
  const Conversation flow{.pipeline = pipeline, .server_port = 80};
  flow.open();
  pipeline.sleep_ms(1500);
  flow.send(request("good.test"));
  const std::vector<FlowEvent> events = pipeline.events();
  REQUIRE(words(events) == "start verdict:good.test");
  CHECK(events[1].timestamp_unix_ns - events[0].timestamp_unix_ns == 1'500'000'000);
  CHECK(events[0].timestamp_unix_ns == events[1].started_unix_ns);
  CHECK(events[0].flow_id == events[1].flow_id);
  const std::string line = pipeline.last_line(Type::start);
  CHECK(line.contains(R"("event_type":"start")"));
  CHECK(line.contains(R"("rule":"good")"));
  CHECK_FALSE(line.contains(R"("verdict")"));
}

TEST_CASE("what a pushed rule says of `log` holds from the next request on", "[log]") {
  Pipeline pipeline(policy_of("decisions"));
  const Conversation flow{.pipeline = pipeline, .server_port = 80};
  const Bytes asks = request("good.test");
  flow.open();
  flow.send(asks);
  pipeline.push(policy_of("all"));
  pipeline.from_inside(flow.out(asks.size()).payload(asks).frame());
  pipeline.from_inside(flow.out(2 * asks.size()).payload(asks).frame());
  CHECK(words(pipeline.events()) == "verdict:good.test request:good.test request:good.test");
}
