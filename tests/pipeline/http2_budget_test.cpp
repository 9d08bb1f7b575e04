// HTTP/2: each frame is charged to the request whose stream it is on, in whatever order they come.
#include <catch2/catch.hpp>
#include <map>

#include "tests/pipeline/http2_talk.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

constexpr size_t kHeaders = 54;
constexpr uint64_t kPlenty = 1'000'000;

/// /up and /down have a budget each, everything else has none.
std::string policy(uint64_t up, uint64_t down, const std::string& on_exceed = "deny") {
  const auto rule = [&](const std::string& name, uint64_t bytes) {
    return "    - {name: " + name +
           ", action: Allow, to: {domainNames: [good.test]}, protocols: [{http: {paths: [/" + name +
           "]}}], budget: {bytesOut: " + std::to_string(bytes) +
           ", window: 1h, scope: rule, onExceed: " + on_exceed + "}}\n";
  };
  return "apiVersion: sallyport/v1\nkind: EgressPolicy\nmetadata: {name: p}\nspec:\n  egress:\n" +
         rule("up", up) + rule("down", down) +
         "    - {name: rest, action: Allow, to: {domainNames: [good.test]}}\n";
}

std::map<std::string, uint64_t> used(Pipeline& pipeline) {
  pipeline.end_all_flows();  // gives back what is leased
  std::map<std::string, uint64_t> out{{"up", 0}, {"down", 0}};
  for (const BudgetCount& count : pipeline.budgets()) out[count.rule] = count.used;
  return out;
}

size_t frame(const Bytes& segment) {
  return segment.size() + kHeaders;
}
/// With what the first segment has in front of its frames.
size_t first_frame(const Bytes& segment) {
  return frame(h2_start() + segment);
}

}  // namespace

TEST_CASE("bytes of an open stream count for it, whoever asked last", "[http2]") {
  Pipeline pipeline(policy(kPlenty, kPlenty));
  Http2Talk client(pipeline);
  const Bytes up = h2_post(1, "/up");
  const Bytes down = h2_post(5, "/down");
  REQUIRE(client.passes(up));
  REQUIRE(client.passes(h2_get_of(3, "/")));
  REQUIRE(client.passes(down));
  for (int i = 0; i < 3; ++i) {
    REQUIRE(client.passes(h2_data(1, 500)));
    REQUIRE(client.passes(h2_data(5, 40)));
  }
  REQUIRE(client.passes(h2_get_of(7, "/")));
  const auto counts = used(pipeline);
  CHECK(counts.at("up") == first_frame(up) + 3 * frame(h2_data(1, 500)));
  CHECK(counts.at("down") == frame(down) + 3 * frame(h2_data(5, 40)));
  check_nothing_left(pipeline);
}

TEST_CASE("a body in many segments counts for its stream to the last byte", "[http2]") {
  Pipeline pipeline(policy(kPlenty, kPlenty));
  Http2Talk client(pipeline);
  const Bytes up = h2_post(1, "/up") + h2_get_of(3, "/");
  REQUIRE(client.passes(up));
  const Bytes body = h2_data(1, 5000, kH2EndStream);
  size_t expected = first_frame(up);
  for (size_t at = 0; at < body.size(); at += 1000) {
    const Bytes piece(body.begin() + static_cast<std::ptrdiff_t>(at),
                      body.begin() + static_cast<std::ptrdiff_t>(std::min(at + 1000, body.size())));
    REQUIRE(client.passes(piece));
    expected += frame(piece);
  }
  const Bytes next = h2_get_of(5, "/");
  REQUIRE(client.passes(next));
  CHECK(used(pipeline).at("up") == expected);
}

TEST_CASE("a segment with frames of several streams counts once for each", "[http2]") {
  Pipeline pipeline(policy(kPlenty, kPlenty));
  Http2Talk client(pipeline);
  const Bytes open = h2_post(1, "/up") + h2_post(3, "/down") + h2_post(5, "/");
  REQUIRE(client.passes(open));
  SECTION("both end in it") {
    const Bytes mixed = h2_data(1, 100, kH2EndStream) + h2_data(5, 30) +
                        h2_data(3, 20, kH2EndStream) + h2_data(5, 100);
    const Bytes free = h2_data(5, 10, kH2EndStream);
    REQUIRE(client.passes(mixed));
    REQUIRE(client.passes(free));
    const auto counts = used(pipeline);
    CHECK(counts.at("up") == first_frame(open) + frame(mixed));
    CHECK(counts.at("down") == first_frame(open) + frame(mixed));
  }
  SECTION("in turn, again and again") {
    Bytes mixed;
    for (int i = 0; i < 50; ++i) append(mixed, h2_data(1, 3) + h2_data(3, 2) + h2_data(5, 1));
    REQUIRE(client.passes(mixed));
    const Bytes last = h2_data(3, 300);
    REQUIRE(client.passes(last));
    const auto counts = used(pipeline);
    CHECK(counts.at("up") == first_frame(open) + frame(mixed));
    CHECK(counts.at("down") == first_frame(open) + frame(mixed) + frame(last));
  }
  SECTION("windows, trailers and resets are their stream's") {
    const Bytes window = h2_frame(kH2WindowUpdate, 0, 1, Bytes(4, 1));
    const Bytes trailers =
        h2_frame(kH2Headers, kH2EndHeaders | kH2EndStream, 3, hpack_literals({{"x", "y"}}));
    const Bytes reset = h2_frame(kH2Reset, 0, 1, Bytes(4, 0));
    for (const Bytes& one : {window, trailers, h2_data(5, 9), reset, h2_data(5, 9)}) {
      REQUIRE(client.passes(one));
    }
    const auto counts = used(pipeline);
    CHECK(counts.at("up") == first_frame(open) + frame(window) + frame(reset));
    CHECK(counts.at("down") == first_frame(open) + frame(trailers));
  }
}

TEST_CASE("segments of streams in turn that waited for a lost one", "[http2]") {
  Pipeline pipeline(policy(kPlenty, kPlenty));
  Http2Talk client(pipeline);
  const Bytes open = h2_post(1, "/up") + h2_post(3, "/down") + h2_get_of(5, "/");
  REQUIRE(client.passes(open));
  const std::vector<Bytes> segments{h2_get_of(7, "/"), h2_data(3, 50), h2_data(1, 200),
                                    h2_data(3, 60, kH2EndStream)};
  const auto order = GENERATE(std::vector<size_t>{0, 1, 2, 3}, std::vector<size_t>{3, 2, 1, 0},
                              std::vector<size_t>{1, 3, 2, 0});
  for (const size_t index : order) {
    size_t offset = client.sent;
    for (size_t i = 0; i < index; ++i) offset += segments[i].size();
    pipeline.from_inside(client.flow.out(offset).payload(segments[index]).frame());
  }
  CHECK(pipeline.to_outside().size() == segments.size());
  const auto counts = used(pipeline);
  CHECK(counts.at("up") == first_frame(open) + frame(segments[2]));
  CHECK(counts.at("down") == first_frame(open) + frame(segments[1]) + frame(segments[3]));
}

TEST_CASE("an open stream's budget that is spent ends the connection", "[http2]") {
  const Bytes up = h2_post(1, "/up");
  const Bytes data = h2_data(1, 500);
  const size_t less = GENERATE(size_t{0}, size_t{1});
  CAPTURE(less);
  Pipeline pipeline(policy(first_frame(up) + 2 * frame(data) - less, kPlenty));
  Http2Talk client(pipeline);
  REQUIRE(client.passes(up));
  REQUIRE(client.passes(h2_get_of(3, "/")));
  REQUIRE(client.passes(data));
  REQUIRE(client.passes(h2_get_of(5, "/")));
  if (less == 0) REQUIRE(client.passes(data));
  CHECK(client.is_cut(data));
  CHECK(pipeline.events().back().reason == FlowReason::budget_exceeded);
  CHECK(pipeline.counter("sallyport_budget_exceeded_total", "action=deny") == 1);
  CHECK(used(pipeline).at("up") == first_frame(up) + (2 - less) * frame(data));
  check_nothing_left(pipeline);
}

TEST_CASE("another stream's bytes pass when a budget is spent, its own do not", "[http2]") {
  const Bytes up = h2_post(1, "/up");
  Pipeline pipeline(policy(first_frame(up) + 100, kPlenty));
  Http2Talk client(pipeline);
  REQUIRE(client.passes(up));
  REQUIRE(client.passes(h2_post(3, "/")));
  for (int i = 0; i < 5; ++i) REQUIRE(client.passes(h2_data(3, 700)));
  CHECK(client.is_cut(h2_data(1, 200)));
  CHECK(used(pipeline).at("up") == first_frame(up));
}

TEST_CASE("a budget that is only audited goes on counting for its stream", "[http2]") {
  const Bytes up = h2_post(1, "/up");
  Pipeline pipeline(policy(first_frame(up) + 600, kPlenty, "audit"));
  Http2Talk client(pipeline);
  REQUIRE(client.passes(up));
  REQUIRE(client.passes(h2_post(3, "/")));
  for (int i = 0; i < 4; ++i) {
    REQUIRE(client.passes(h2_data(1, 500)));
    REQUIRE(client.passes(h2_data(3, 500)));
  }
  CHECK(pipeline.counter("sallyport_budget_exceeded_total", "action=audit") == 1);
  CHECK(used(pipeline).at("up") == first_frame(up) + 4 * frame(h2_data(1, 500)));
}

TEST_CASE("a push gives each open stream the budget of its rule now", "[http2]") {
  Pipeline pipeline(policy(kPlenty, kPlenty));
  Http2Talk client(pipeline);
  const Bytes open = h2_post(1, "/up");
  REQUIRE(client.passes(open));
  REQUIRE(client.passes(h2_post(3, "/")));
  SECTION("a lower one") {
    const Bytes data = h2_data(1, 1400);  // a full frame's worth is left at the push
    pipeline.push(policy(first_frame(open) + 2 * frame(data), kPlenty));
    REQUIRE(client.passes(h2_data(3, 500)));
    REQUIRE(client.passes(data));
    REQUIRE(client.passes(h2_data(3, 500)));
    REQUIRE(client.passes(data));
    REQUIRE(client.passes(h2_data(3, 500)));
    CHECK(client.is_cut(data));
    CHECK(used(pipeline).at("up") == first_frame(open) + 2 * frame(data));
  }
  SECTION("in the middle of a frame") {
    const Bytes front = prefix_of(h2_data(1, 900), 500);
    REQUIRE(client.passes(front));
    pipeline.push(policy(kPlenty, kPlenty / 2));
    REQUIRE(client.passes(Bytes(409, 'x')));
    REQUIRE(client.passes(h2_data(3, 500)));
    CHECK(used(pipeline).at("up") == first_frame(open) + frame(front) + 409 + kHeaders);
  }
}

TEST_CASE("streams that are lost pay what they all would, or nothing passes", "[http2]") {
  constexpr uint32_t kStreams = Http2Streams::kMostStreams;
  Pipeline pipeline(policy(kPlenty, kPlenty));
  Http2Talk client(pipeline);
  const Bytes up = h2_post(1, "/up");
  REQUIRE(client.passes(up));
  const bool mixed = GENERATE(false, true);
  if (mixed) REQUIRE(client.passes(h2_post(3, "/")));
  const uint32_t before = mixed ? 2 : 1;
  for (uint32_t i = 0; i < kStreams; ++i) {
    REQUIRE(client.passes(h2_post(2 * (before + i) + 1, "/down")));
  }
  REQUIRE(client.passes(h2_get_of(2 * (before + kStreams) + 1, "/rest")));
  if (mixed) {
    CHECK(client.is_cut(h2_data(1, 300)));
    CHECK(pipeline.events().back().reason == FlowReason::inspection_limit);
    CHECK(pipeline.counter("sallyport_exceptions_total", "condition=inspection_limit") == 1);
    CHECK(used(pipeline).at("up") == first_frame(up));
  } else {
    CHECK(client.passes(h2_data(1, 300)));
    CHECK(used(pipeline).at("up") == first_frame(up) + frame(h2_data(1, 300)));
  }
  check_nothing_left(pipeline);
}

TEST_CASE("what comes late of a body counts for it, whatever was asked for since", "[http2]") {
  Pipeline pipeline(policy(kPlenty, kPlenty));
  Http2Talk client(pipeline);
  const Bytes up = h2_post(1, "/up");
  REQUIRE(client.passes(up));
  const Bytes body = h2_data(1, 2000);
  const auto piece = [&](size_t from, size_t to) {
    return Bytes(body.begin() + static_cast<std::ptrdiff_t>(from),
                 body.begin() + static_cast<std::ptrdiff_t>(to));
  };
  const auto send = [&](size_t offset, const Bytes& bytes) {
    pipeline.from_inside(client.flow.out(client.sent + offset).payload(bytes).frame());
    return pipeline.payload_to_outside() == bytes;
  };
  REQUIRE(send(0, piece(0, 500)));
  REQUIRE(send(1500, piece(1500, body.size())));  // what lies between comes later
  REQUIRE(send(body.size(), h2_get_of(3, "/")));
  REQUIRE(send(500, piece(500, 1000)));
  REQUIRE(send(1000, piece(1000, 1500)));
  CHECK(used(pipeline).at("up") == first_frame(up) + body.size() + 4 * kHeaders);
}
