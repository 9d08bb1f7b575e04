// What is kept of a flow decides it after a push, however long it is.
#include <catch2/catch.hpp>

#include "tests/pipeline/conversation.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

/// Allows good.test under a path, with a field, and what `other` says.
std::string policy(const std::string& paths, const std::string& team,
                   const std::string& other = "else.test") {
  return "apiVersion: sallyport/v1\nkind: EgressPolicy\nmetadata: {name: p}\nspec:\n  egress:\n"
         "    - {name: web, action: Allow, to: {domainNames: [good.test]}, protocols: [{http: "
         "{paths: [\"" +
         paths + "\"], headers: {x-team: \"" + team +
         "\"}}}]}\n    - {name: other, action: Allow, to: {domainNames: [" + other + "]}}\n";
}

/// A request with a body of which the last 4 bytes are missing.
Bytes upload(const std::string& path, const std::string& team) {
  return bytes_of("PUT " + path + " HTTP/1.1\r\nHost: good.test\r\nX-Team: " + team +
                  "\r\nContent-Length: 8\r\n\r\nhalf");
}

struct Upload {
  Conversation flow;
  size_t sent = 0;

  explicit Upload(Pipeline& pipeline, uint16_t port = 40000)
      : flow{.pipeline = pipeline, .client_port = port} {
    flow.open();
  }
  /// In segments of a usual size. @return whether all of it left.
  bool send(const Bytes& bytes) {
    for (size_t at = 0; at < bytes.size(); at += 1400) {
      const size_t end = std::min(at + 1400, bytes.size());
      const Bytes part(bytes.begin() + static_cast<std::ptrdiff_t>(at),
                       bytes.begin() + static_cast<std::ptrdiff_t>(end));
      flow.pipeline.from_inside(flow.out(sent).payload(part).frame());
      sent += part.size();
    }
    return flow.pipeline.payload_to_outside() == bytes;
  }
};

}  // namespace

TEST_CASE("a flow with long facts outlives a push that still allows it", "[facts]") {
  struct Row {
    std::string path;
    std::string team;
  };
  const auto row = GENERATE(values<Row>({
      {"/up/x", "red"},
      {"/up/" + std::string(3000, 'p'), "red"},
      {"/up/x", "red" + std::string(3000, 'h')},
      {"/up/" + std::string(8000, 'p'), "red" + std::string(8000, 'h')},
      // Servers read it in several ways, and each is kept.
      {"/up/" + std::string(4000, 'p') + "%2f..%2f" + std::string(2000, 'q'), "red"},
  }));
  CAPTURE(row.path.size(), row.team.size());
  Pipeline pipeline(policy("/up/**", "red*"));
  Upload client(pipeline);
  REQUIRE(client.send(upload(row.path, row.team)));

  SECTION("by the same rule") {
    pipeline.push(policy("/up/**", "red*", "more.test"));
    CHECK(client.send(bytes_of("more")));
  }
  SECTION("by another") {
    pipeline.push(policy("/**", "*"));
    CHECK(client.send(bytes_of("more")));
  }
  SECTION("not when the path is denied now") {
    pipeline.push(policy("/down/**", "red*"));
    CHECK_FALSE(client.send(bytes_of("more")));
    CHECK(pipeline.events().back().reason == FlowReason::default_deny);
  }
  SECTION("nor when the field is") {
    pipeline.push(policy("/up/**", "blue*"));
    CHECK_FALSE(client.send(bytes_of("more")));
    CHECK(pipeline.events().back().reason == FlowReason::default_deny);
  }
  pipeline.end_all_flows();
  CHECK(pipeline.flow_memory().fact_blocks == 0);
}

TEST_CASE("long facts leave room for those of others", "[facts]") {
  // 100 blocks of 58 bytes: a flow with a path of 2,500 takes 44 and over, a short one two.
  Pipeline pipeline(policy("/up/**", "red*"), {.stage = {.limits = {.fact_blocks = 100}}});
  const std::string path = "/up/" + std::string(2400, 'p');
  Upload first(pipeline, 40001);
  CHECK(first.send(upload(path, "red")));
  const uint32_t taken = pipeline.flow_memory().fact_blocks;
  CHECK(taken > 40);
  Upload second(pipeline, 40002);
  CHECK(second.send(upload(path, "red")));
  CHECK(pipeline.flow_memory().fact_blocks == taken);
  Upload third(pipeline, 40003);
  CHECK(third.send(upload("/up/x", "red")));
  CHECK(pipeline.flow_memory().fact_blocks > taken);

  // Only the one of which nothing is kept is decided without it.
  pipeline.push(policy("/up/**", "red*", "more.test"));
  CHECK(first.send(bytes_of("more")));
  CHECK_FALSE(second.send(bytes_of("more")));
  CHECK(pipeline.events().back().reason == FlowReason::facts_not_inspected);
  CHECK(third.send(bytes_of("more")));
}
