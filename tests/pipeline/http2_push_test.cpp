// HTTP/2: a push judges every request that its client may still send for, and the last.
#include <catch2/catch.hpp>
#include <functional>

#include "tests/pipeline/http2_talk.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

/// Allows these paths of good.test; CONNECT has none.
std::string paths(const std::string& allowed, const std::string& more = "") {
  return "apiVersion: sallyport/v1\nkind: EgressPolicy\nmetadata: {name: p}\nspec:\n  egress:\n" +
         (allowed.empty()
              ? std::string()
              : "    - {name: web, action: Allow, to: {domainNames: [good.test]}, protocols: "
                "[{http: {paths: [" +
                    allowed + "]}}]" + more + "}\n") +
         "    - {name: tunnel, action: Allow, to: {domainNames: [tunnel.test]}}\n"
         "    - {name: ssh, action: Allow, to: {cidrs: [198.19.0.22/32]}}\n";
}
std::string without_tunnel() {
  return "apiVersion: sallyport/v1\nkind: EgressPolicy\nmetadata: {name: p}\nspec:\n  egress:\n"
         "    - {name: web, action: Allow, to: {domainNames: [good.test]}}\n";
}

const Bytes kConnect = h2_open(1, {{":method", "CONNECT"}, {":authority", "tunnel.test:443"}});

FlowReason last_reason(Pipeline& pipeline) {
  const auto events = pipeline.events();
  return events.empty() ? FlowReason::undecided : events.back().reason;
}

}  // namespace

TEST_CASE("a push that denies an open earlier stream ends the connection", "[http2]") {
  Pipeline pipeline(paths("/a, /b"));
  Http2Talk client(pipeline);
  REQUIRE(client.passes(h2_post(1, "/a")));
  REQUIRE(client.passes(h2_data(1, 100)));
  const bool newest_is_open = GENERATE(false, true);
  CAPTURE(newest_is_open);
  REQUIRE(client.passes(newest_is_open ? h2_post(3, "/b") : h2_get_of(3, "/b")));

  SECTION("at the next bytes of that stream") {
    pipeline.push(paths("/b"));
    CHECK(client.is_cut(h2_data(1, 100)));
  }
  SECTION("at those of the connection") {
    pipeline.push(paths("/b"));
    CHECK(client.is_cut(h2_frame(kH2Ping, 0, 0, Bytes(8, 0))));
  }
  SECTION("at a request that is allowed") {
    pipeline.push(paths("/b"));
    CHECK(client.is_cut(h2_get_of(5, "/b")));
  }
  SECTION("at the server's next bytes") {
    pipeline.push(paths("/b"));
    CHECK(client.answer_is_cut());
  }
  SECTION("in the middle of a frame, of which more comes than of any other") {
    REQUIRE(client.passes(prefix_of(h2_data(1, 1000, kH2EndStream), 600)));
    pipeline.push(paths("/b"));
    CHECK(client.is_cut(Bytes(9, 'x')));
  }
  SECTION("with no policy at all") {
    pipeline.take_policy_away();
    CHECK(client.is_cut(h2_data(1, 100)));
    CHECK(last_reason(pipeline) == FlowReason::no_policy);
  }
  SECTION("not when both are allowed by other rules now") {
    pipeline.push(paths("\"/**\""));
    CHECK(client.passes(h2_data(1, 100)));
    pipeline.push(paths("/b, /a"));
    CHECK(client.passes(h2_data(1, 100, kH2EndStream)));
    // And now that it has ended, nor when it is denied.
    pipeline.push(paths("/b"));
    CHECK(client.passes(h2_get_of(5, "/b")));
  }
  check_nothing_left(pipeline);
}

TEST_CASE("a push that denies a stream which its client has ended changes nothing", "[http2]") {
  struct Row {
    std::string what;
    Bytes end;
  };
  const auto row = GENERATE(values<Row>({
      {"its last DATA", h2_data(1, 40, kH2EndStream)},
      {"an empty one", h2_data(1, 0, kH2EndStream)},
      {"trailers", h2_frame(kH2Headers, kH2EndHeaders | kH2EndStream, 1,
                            hpack_literals({{"grpc-status", "0"}}))},
      {"a reset", h2_frame(kH2Reset, 0, 1, Bytes(4, 0))},
  }));
  CAPTURE(row.what);
  Pipeline pipeline(paths("/a, /b"));
  Http2Talk client(pipeline);
  REQUIRE(client.passes(h2_post(1, "/a") + h2_data(1, 100)));
  const bool ends_first = GENERATE(false, true);
  const Bytes second = h2_post(3, "/b");
  REQUIRE(client.passes(ends_first ? row.end + second : second + row.end));
  pipeline.push(paths("/b"));
  CHECK(client.passes(h2_data(3, 100)));
  CHECK(client.passes(h2_get_of(5, "/b")));
  // Nor may anything more be sent on it.
  CHECK(client.is_cut(h2_data(1, 1)));
  CHECK(last_reason(pipeline) == FlowReason::malformed);
  check_nothing_left(pipeline);
}

TEST_CASE("a push that denies the last request ends the connection, open or not", "[http2]") {
  Pipeline pipeline(paths("/a, /b"));
  Http2Talk client(pipeline);
  REQUIRE(client.passes(h2_post(1, "/a") + h2_get_of(3, "/b")));
  // Its answer may be under way, whoever sends now.
  REQUIRE(client.passes(h2_data(1, 100)));
  pipeline.push(paths("/a"));
  CHECK(client.is_cut(h2_data(1, 100)));
  check_nothing_left(pipeline);
}

TEST_CASE("a rule that expires ends the connection of each of its open streams", "[http2]") {
  const std::string rules = paths("/a", ", expiresAt: \"2023-11-14T22:13:30Z\"") +
                            "    - {name: rest, action: Allow, to: {domainNames: [good.test]}, "
                            "protocols: [{http: {paths: [/b]}}]}\n";
  Pipeline pipeline(rules);
  Http2Talk client(pipeline);
  REQUIRE(client.passes(h2_post(1, "/a")));
  REQUIRE(client.passes(h2_get_of(3, "/b")));
  pipeline.sleep_ms(5'000);
  pipeline.push(rules);
  CHECK(client.passes(h2_data(1, 100)));
  pipeline.sleep_ms(6'000);
  pipeline.push(rules);  // as the keeper does when a time has passed
  CHECK(client.is_cut(h2_data(1, 100)));
  check_nothing_left(pipeline);
}

TEST_CASE("a tunnel in a stream is judged as long as it is open", "[http2]") {
  Pipeline pipeline(paths("/b"));
  Http2Talk client(pipeline);
  REQUIRE(client.passes(kConnect));
  REQUIRE(client.passes(h2_get_of(3, "/b")));
  const bool open = GENERATE(true, false);
  REQUIRE(client.passes(h2_data(1, 100, open ? 0 : kH2EndStream)));
  pipeline.push(without_tunnel());
  if (open) {
    CHECK(client.is_cut(h2_data(1, 100)));
  } else {
    CHECK(client.passes(h2_get_of(5, "/b")));
  }
  check_nothing_left(pipeline);
}

TEST_CASE("more streams than are followed stay judged by what they asked for", "[http2]") {
  constexpr uint32_t kStreams = Http2Streams::kMostStreams;
  Pipeline pipeline(paths("/a, /b"));
  Http2Talk client(pipeline);
  // Never ended by their client: the server may have, which is not read.
  REQUIRE(client.passes(h2_post(1, "/a")));
  for (uint32_t i = 1; i <= kStreams; ++i) REQUIRE(client.passes(h2_post(2 * i + 1, "/b")));
  CHECK(client.passes(h2_data(1, 100)));
  CHECK(client.passes(h2_data(3, 100)));

  SECTION("a push that allows all changes nothing") {
    pipeline.push(paths("/b, /a"));
    CHECK(client.passes(h2_data(1, 100)));
    CHECK(client.passes(h2_post(2 * kStreams + 3, "/b")));
  }
  SECTION("one that denies the request of a lost one ends the connection") {
    REQUIRE(client.passes(h2_data(1, 1, kH2EndStream)));
    pipeline.push(paths("/b"));
    CHECK(client.is_cut(h2_data(3, 100)));
    CHECK(last_reason(pipeline) == FlowReason::default_deny);
  }
  check_nothing_left(pipeline);
}

TEST_CASE("more kinds of requests than are kept cannot be judged anew", "[http2]") {
  constexpr uint32_t kKinds = Http2Streams::kMostRequests;
  const uint32_t more = GENERATE(0, 1, 20);
  CAPTURE(more);
  Pipeline pipeline(paths("\"/**\""));
  Http2Talk client(pipeline);
  for (uint32_t i = 0; i < kKinds + more; ++i) {
    REQUIRE(client.passes(h2_post(2 * i + 1, "/up" + std::to_string(i))));
  }
  for (uint32_t i = 0; i < kKinds + more; ++i) REQUIRE(client.passes(h2_data(2 * i + 1, 20)));
  SECTION("while they are open") {
    pipeline.push(paths("\"/**\"", ", log: all"));
    if (more == 0) {
      CHECK(client.passes(h2_data(1, 100)));
    } else {
      CHECK(client.is_cut(h2_data(1, 100)));
      CHECK(last_reason(pipeline) == FlowReason::facts_not_inspected);
      CHECK(pipeline.counter("sallyport_exceptions_total", "condition=facts_not_inspected") == 1);
    }
  }
  SECTION("but when they are over") {
    for (uint32_t i = 0; i < kKinds + more; ++i) {
      REQUIRE(client.passes(h2_data(2 * i + 1, 1, kH2EndStream)));
    }
    REQUIRE(client.passes(h2_get_of(2 * (kKinds + more) + 1, "/a")));
    const auto blocks = pipeline.flow_memory().fact_blocks;
    CHECK(blocks <= 3);
    pipeline.push(paths("/a"));
    CHECK(client.passes(h2_get_of(2 * (kKinds + more) + 3, "/a")));
  }
  check_nothing_left(pipeline);
}

TEST_CASE("a request is told as one more of its kind, whoever has sent since the last", "[http2]") {
  const std::string rules = paths("/a") +
                            "    - {name: rest, action: Allow, log: all, to: {domainNames: "
                            "[good.test]}, protocols: [{http: {paths: [/b]}}]}\n";
  Pipeline pipeline(rules);
  Http2Talk client(pipeline);
  REQUIRE(client.passes(h2_post(1, "/a")));
  REQUIRE(client.passes(h2_get_of(3, "/b")));
  pipeline.events();
  REQUIRE(client.passes(h2_data(1, 100)));
  REQUIRE(client.passes(h2_get_of(5, "/b")));
  const auto events = pipeline.events();
  REQUIRE(events.size() == 1);
  CHECK(events.front().type == FlowEvent::Type::request);
}

TEST_CASE("open streams of one request keep its facts once", "[http2]") {
  Pipeline pipeline(paths("/a, /b"));
  Http2Talk client(pipeline);
  REQUIRE(client.passes(h2_post(1, "/a")));
  const uint32_t one = pipeline.flow_memory().fact_blocks;
  CHECK(one > 0);
  for (uint32_t i = 1; i < 40; ++i) REQUIRE(client.passes(h2_post(2 * i + 1, "/a")));
  CHECK(pipeline.flow_memory().fact_blocks == one);
  REQUIRE(client.passes(h2_post(81, "/b")));
  CHECK(pipeline.flow_memory().fact_blocks == 2 * one);
  SECTION("a denied connection keeps one") {
    CHECK(client.is_cut(h2_get_of(83, "/c")));
    CHECK(pipeline.flow_memory().fact_blocks == one);
    CHECK(pipeline.flow_memory().http2_connections == 0);
  }
  check_nothing_left(pipeline);
}
