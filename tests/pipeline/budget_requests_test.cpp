// Requests of one connection under different budgets: each frame is charged for what it holds.
#include <algorithm>
#include <catch2/catch.hpp>
#include <map>

#include "tests/pipeline/conversation.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

constexpr size_t kHeaders = 54;

/// /up, /down and /side have a budget each, everything else has none.
std::string policy(uint64_t up, uint64_t down) {
  const auto rule = [](const std::string& name, uint64_t bytes) {
    return "    - {name: " + name +
           ", action: Allow, to: {domainNames: [good.test]}, protocols: " + "[{http: {paths: [/" +
           name + "]}}], budget: {bytesOut: " + std::to_string(bytes) +
           ", window: 1h, scope: rule}}\n";
  };
  return "apiVersion: sallyport/v1\nkind: EgressPolicy\nmetadata: {name: p}\nspec:\n  egress:\n" +
         rule("up", up) + rule("down", down) + rule("side", 1'000'000) +
         "    - {name: rest, action: Allow, to: {domainNames: [good.test]}}\n";
}
constexpr uint64_t kPlenty = 1'000'000;

Bytes get(const std::string& path) {
  return bytes_of("GET /" + path + " HTTP/1.1\r\nHost: good.test\r\n\r\n");
}
Bytes post(const std::string& path, size_t length) {
  return bytes_of("POST /" + path + " HTTP/1.1\r\nHost: good.test\r\nContent-Length: " +
                  std::to_string(length) + "\r\n\r\n") +
         Bytes(length, 'x');
}

/// Segments of one client, sent in any order.
struct Client {
  Conversation flow;
  std::vector<Bytes> segments;

  explicit Client(Pipeline& pipeline, std::vector<Bytes> pieces = {})
      : flow{.pipeline = pipeline}, segments(std::move(pieces)) {
    flow.open();
  }

  void send(size_t index) const {
    size_t offset = 0;
    for (size_t i = 0; i < index; ++i) offset += segments[i].size();
    flow.pipeline.from_inside(flow.out(offset).payload(segments[index]).frame());
  }
  size_t frame(size_t index) const { return segments[index].size() + kHeaders; }
};

std::map<std::string, uint64_t> used(Pipeline& pipeline) {
  pipeline.end_all_flows();  // gives back what is leased
  std::map<std::string, uint64_t> out{{"up", 0}, {"down", 0}, {"side", 0}};
  for (const BudgetCount& count : pipeline.budgets()) out[count.rule] = count.used;
  return out;
}

}  // namespace

TEST_CASE("segments that waited for a lost one are charged to their own requests", "[budget]") {
  Pipeline pipeline(policy(kPlenty, kPlenty));
  Client client(pipeline);
  client.segments = {post("up", 300), get("down"), get("other"), post("up", 40), get("other")};
  const auto order =
      GENERATE(std::vector<size_t>{0, 1, 2, 3, 4}, std::vector<size_t>{1, 2, 3, 4, 0},
               std::vector<size_t>{4, 3, 2, 1, 0}, std::vector<size_t>{0, 2, 4, 3, 1});
  for (const size_t index : order) client.send(index);
  CHECK(pipeline.to_outside().size() == 5);
  const auto counts = used(pipeline);
  CHECK(counts.at("up") == client.frame(0) + client.frame(3));
  CHECK(counts.at("down") == client.frame(1));
}

TEST_CASE("a segment with several requests counts once for each budget", "[budget]") {
  Pipeline pipeline(policy(kPlenty, kPlenty));
  Client client(pipeline);
  // The second ends one request of each and begins another.
  const Bytes cut = post("up", 100);
  client.segments = {
      Bytes(cut.begin(), cut.end() - 20),
      Bytes(cut.end() - 20, cut.end()) + get("down") + get("other") + get("down") + get("up"),
      get("down")};
  const bool reordered = GENERATE(false, true);
  CAPTURE(reordered);
  for (size_t i = 0; i < 3; ++i) client.send(reordered ? 2 - i : i);
  CHECK(pipeline.to_outside().size() == 3);
  const auto counts = used(pipeline);
  CHECK(counts.at("up") == client.frame(0) + client.frame(1));
  CHECK(counts.at("down") == client.frame(1) + client.frame(2));
}

TEST_CASE("a request is charged though its segment waits for another's rest", "[budget]") {
  Pipeline pipeline(policy(kPlenty, kPlenty));
  Client client(pipeline);
  const Bytes other = get("other");
  uint64_t carried = 0;
  for (int i = 0; i < 20; ++i) {
    client.segments.push_back(post("up", 500) + other + Bytes(other.begin(), other.begin() + 9));
    carried += client.segments.back().size() + kHeaders;
    client.segments.emplace_back(other.begin() + 9, other.end());
  }
  for (size_t i = 0; i < client.segments.size(); ++i) client.send(i);
  CHECK(pipeline.to_outside().size() == client.segments.size());
  CHECK(used(pipeline).at("up") == carried);
}

TEST_CASE("many requests in turn are all charged, and none is denied", "[budget]") {
  Pipeline pipeline(policy(kPlenty, kPlenty));
  Client client(pipeline);
  uint64_t up = 0;
  uint64_t down = 0;
  for (int i = 0; i < 40; ++i) {
    client.segments.push_back(get(i % 2 == 0 ? "up" : "down"));
    (i % 2 == 0 ? up : down) += client.segments.back().size() + kHeaders;
  }
  client.segments.push_back(get("side"));
  client.segments.push_back(get("other"));
  for (size_t i = client.segments.size(); i-- > 0;) client.send(i);
  CHECK(pipeline.to_outside().size() == client.segments.size());
  // What lies between two of one count may count for it, too. Nothing goes uncounted.
  const auto counts = used(pipeline);
  CHECK(counts.at("up") >= up);
  CHECK(counts.at("down") >= down);
  CHECK(counts.at("up") + counts.at("down") <= 2 * (up + down));
  CHECK(counts.at("side") == client.frame(40));
}

TEST_CASE("what comes late of a body counts for it, whatever was asked for since", "[budget]") {
  const Bytes up = post("up", 1000);
  const Bytes down = post("down", 1000);
  const auto part = [](const Bytes& whole, size_t from, size_t to) {
    const auto at = [&](size_t left) { return whole.end() - static_cast<std::ptrdiff_t>(left); };
    return Bytes(at(from), at(to));
  };
  const Bytes up_head(up.begin(), up.end() - 1000);
  const Bytes down_head(down.begin(), down.end() - 1000);
  const std::vector<Bytes> pieces{up_head,     part(up, 1000, 400),   part(up, 400, 0),
                                  down_head,   part(down, 1000, 100), part(down, 100, 0),
                                  get("other")};
  const auto sum = [&](size_t a, size_t b, size_t c) {
    return pieces[a].size() + pieces[b].size() + pieces[c].size() + 3 * kHeaders;
  };
  SECTION("of one of them") {
    Pipeline pipeline(policy(kPlenty, kPlenty));
    Client client(pipeline, pieces);
    for (const size_t index : {0, 2, 3, 4, 5, 6, 1}) client.send(index);
    REQUIRE(pipeline.to_outside().size() == 7);
    const auto counts = used(pipeline);
    CHECK(counts.at("up") == sum(0, 1, 2));
    CHECK(counts.at("down") == sum(3, 4, 5));
  }
  SECTION("of both: the second waits, for nobody could tell them apart") {
    Pipeline pipeline(policy(kPlenty, kPlenty));
    Client client(pipeline, pieces);
    for (const size_t index : {0, 2, 3, 5, 6, 1}) client.send(index);
    CHECK(pipeline.to_outside().size() == 4);
    client.send(4);
    CHECK(pipeline.to_outside().size() == 3);
    const auto counts = used(pipeline);
    CHECK(counts.at("up") == sum(0, 1, 2));
    CHECK(counts.at("down") == sum(3, 4, 5));
  }
  SECTION("and spends its budget") {
    Pipeline pipeline(policy(pieces[0].size() + pieces[2].size() + 2 * kHeaders + 10, kPlenty));
    Client client(pipeline, pieces);
    for (const size_t index : {0, 2, 3, 4, 5, 6, 1}) client.send(index);
    CHECK(pipeline.to_outside().size() == 7);  // the last is a RST
    CHECK(pipeline.events().back().reason == FlowReason::budget_exceeded);
    CHECK(used(pipeline).at("up") == pieces[0].size() + pieces[2].size() + 2 * kHeaders);
  }
}

TEST_CASE("a budget that is spent by a request that waited ends the connection", "[budget]") {
  const size_t first = post("up", 300).size() + kHeaders;
  const bool enough = GENERATE(true, false);
  CAPTURE(enough);
  Pipeline pipeline(policy(enough ? 2 * first : 2 * first - 1, kPlenty));
  Client client(pipeline);
  client.segments = {get("other"), post("up", 300), get("down"), post("up", 300), get("down")};
  for (const size_t index : {1, 2, 3, 4, 0}) client.send(index);
  const auto out = pipeline.to_outside();
  const auto counts = used(pipeline);
  if (enough) {
    CHECK(out.size() == 5);
    CHECK(counts.at("up") == 2 * first);
    CHECK(counts.at("down") == client.frame(2) + client.frame(4));
    return;
  }
  REQUIRE(out.size() == 4);  // three and a RST
  size_t left = 0;
  for (size_t i = 0; i < 3; ++i) left += client.segments[i].size();
  CHECK(is_reset({out.back()}, client.flow.client_first + static_cast<uint32_t>(left)));
  CHECK(counts.at("up") == first);
  CHECK(counts.at("down") == client.frame(2));
  CHECK(is_reset(pipeline.to_inside(), client.flow.server_first));
  CHECK(pipeline.packets_in_use() == 0);
}
