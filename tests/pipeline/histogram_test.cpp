// What each core measures of the packets that pass it.
#include <catch2/catch.hpp>
#include <chrono>
#include <numeric>
#include <thread>

#include "tests/pipeline/conversation.h"
#include "tests/support/fragment_builder.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

const Bytes kGood = hello().sni("good.test").record();

uint64_t total(const std::vector<uint64_t>& counts) {
  return std::accumulate(counts.begin(), counts.end(), uint64_t{0});
}

/// What was recorded from one moment on.
struct Watch {
  Pipeline& pipeline;
  Histogram id;
  std::vector<uint64_t> before = pipeline.histogram(id);

  std::vector<uint64_t> since() const {
    std::vector<uint64_t> counts = pipeline.histogram(id);
    for (size_t i = 0; i < counts.size(); ++i) counts[i] -= before[i];
    return counts;
  }
  uint64_t count() const { return total(since()); }
  double median_ms() const { return histogram_quantile(since(), 0.5) / 1e6; }
};

}  // namespace

TEST_CASE("each packet that is sent on is measured once", "[histogram]") {
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};
  const Watch latency{pipeline, Histogram::packet_latency};
  const Watch bursts{pipeline, Histogram::burst_size};
  flow.open();
  CHECK(latency.count() == 3);
  flow.send(kGood);
  CHECK(latency.count() == 4);
  pipeline.from_inside(flow.out(kGood.size()).flags(kSyn).payload("x").frame());  // dropped
  CHECK(latency.count() == 4);
  CHECK(bursts.count() == 5);
  CHECK(bursts.since()[1] == 5);
  pipeline.burst_from_inside({flow.out().frame(), flow.out().frame(), flow.out().frame()});
  CHECK(latency.count() == 7);
  CHECK(bursts.since()[3] == 1);
}

TEST_CASE("how long packets waited, and how long a verdict took", "[histogram]") {
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  const Watch held{pipeline, Histogram::hold_time};
  const Watch latency{pipeline, Histogram::packet_latency};
  const Watch verdict{pipeline, Histogram::time_to_verdict};
  const Watch scans{pipeline, Histogram::scan_time};
  pipeline.from_inside(flow.segment(kGood, 0, 20));
  CHECK(verdict.count() == 0);
  pipeline.sleep_ms(400);
  pipeline.from_inside(flow.segment(kGood, 20, kGood.size()));
  CHECK(pipeline.payload_to_outside() == kGood);

  CHECK(verdict.count() == 1);
  CHECK(verdict.median_ms() >= 393);  // 2 % is what a bucket may be off
  CHECK(verdict.median_ms() < 1000);
  // The second segment went in the turn in which it came.
  CHECK(held.count() == 1);
  CHECK(held.median_ms() >= 393);
  CHECK(latency.count() == 2);
  CHECK(histogram_quantile(latency.since(), 1.0) / 1e6 >= 393);
  CHECK(histogram_quantile(latency.since(), 0.4) / 1e6 < 393);
  CHECK(scans.count() >= 1);
}

TEST_CASE("a verdict that needs no bytes has its time, and so has a denial", "[histogram]") {
  const bool by_address = GENERATE(true, false);
  Pipeline pipeline(by_address ? kAllowAll : kPolicy);
  const Watch verdict{pipeline, Histogram::time_to_verdict};
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  CHECK(verdict.count() == (by_address ? 1 : 0));
  flow.send(hello().sni("denied.test").record());
  CHECK(verdict.count() == 1);
}

namespace {

Bytes query(uint16_t port, size_t size = 40) {
  return udp("198.18.0.2", port, "198.19.0.53", 53).payload(Bytes(size, 7)).frame();
}

uint64_t handed_off(const Pipeline& pipeline) {
  return pipeline.counter("sallyport_handed_off_packets_total", "towards=outside");
}

/// A client's port whose flows worker 1 of two owns, and none before `first`.
uint16_t port_of_the_other(Pipeline& pipeline, uint16_t first) {
  for (uint16_t port = first;; ++port) {
    const uint64_t before = handed_off(pipeline);
    pipeline.from_inside(query(port));
    pipeline.to_outside();
    if (handed_off(pipeline) > before) return port;
  }
}

/// Real time: what is measured is the CPU's counter.
void wait_ms(int ms) {
  std::this_thread::sleep_for(std::chrono::milliseconds(ms));
}

double quantile_ms(const Watch& watch, double quantile) {
  return histogram_quantile(watch.since(), quantile) / 1e6;
}

/// The longest that anything in `body` can have been measured to take.
template <class Body>
double most_ms(Body body) {
  const auto before = std::chrono::steady_clock::now();
  body();
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - before;
  return took.count() * 1.02 + 0.1;
}

}  // namespace

TEST_CASE("what was handed over is measured from the poll that received it", "[histogram]") {
  Pipeline pipeline(kPolicy, {.workers = 2, .stage = {}});
  const uint16_t port = port_of_the_other(pipeline, 1000);
  const Watch latency{pipeline, Histogram::packet_latency};
  pipeline.stall(1);
  pipeline.from_inside(query(port));
  pipeline.from_outside(udp("198.19.0.53", 53, "198.18.0.2", port).payload("answer").frame());
  wait_ms(40);
  pipeline.from_inside(query(port), 1);  // not handed over: it comes in the turn below
  CHECK(latency.count() == 0);
  const double turn_ms = most_ms([&] { pipeline.stall(1, false); });
  CHECK(pipeline.to_outside().size() == 2);
  CHECK(pipeline.to_inside().size() == 1);
  REQUIRE(latency.count() == 3);
  CHECK(quantile_ms(latency, 0.3) <= turn_ms);
  CHECK(quantile_ms(latency, 0.6) >= 39);
}

TEST_CASE("what waits in a ring and is held then waits for both", "[histogram]") {
  Pipeline pipeline(kPolicy, {.workers = 2, .stage = {}});
  const Conversation flow{.pipeline = pipeline, .client_port = port_of_the_other(pipeline, 2000)};
  flow.open();
  const bool in_one_turn = GENERATE(true, false);
  const Watch held{pipeline, Histogram::hold_time};
  const unsigned owner = [&] {
    const uint64_t before = handed_off(pipeline);
    pipeline.from_inside(flow.out().frame());
    return handed_off(pipeline) > before ? 1u : 0u;
  }();
  pipeline.to_outside();
  const Watch latency{pipeline, Histogram::packet_latency};
  pipeline.stall(owner);
  pipeline.from_inside(flow.segment(kGood, 0, 20), 1 - owner);
  wait_ms(40);
  if (!in_one_turn) {
    pipeline.stall(owner, false);
    pipeline.sleep_ms(400);
    pipeline.stall(owner);
  }
  const double second_ms = most_ms([&] {
    pipeline.from_inside(flow.segment(kGood, 20, kGood.size()), 1 - owner);
    pipeline.stall(owner, false);
  });
  CHECK(pipeline.payload_to_outside() == kGood);
  REQUIRE(latency.count() == 2);
  CHECK(held.count() == (in_one_turn ? 0 : 1));
  CHECK(quantile_ms(latency, 1.0) >= (in_one_turn ? 39 : 0.98 * (400 + 40)));
  CHECK(quantile_ms(latency, 0.4) <= second_ms);
}

TEST_CASE("a datagram put together is measured from its last fragment", "[histogram]") {
  Pipeline pipeline(kPolicy, {.workers = 2, .stage = {}});
  // The datagram belongs to the first worker, so that what it waited is what its fragments did; of
  // these every id has another owner.
  uint16_t port = 3000;
  for (uint64_t before = handed_off(pipeline);; ++port) {
    pipeline.from_inside(query(port));
    pipeline.to_outside();
    if (handed_off(pipeline) == before) break;
    before = handed_off(pipeline);
  }
  for (uint32_t id = 1; id <= 16; ++id) {
    const auto parts = test::fragments::split(query(port, 1400), 800, id);
    const uint64_t before = handed_off(pipeline);
    pipeline.stall(1);
    pipeline.from_inside(parts.front());
    const bool handed = handed_off(pipeline) > before;
    wait_ms(20);
    if (!handed) {
      pipeline.stall(1, false);
      pipeline.from_inside(parts.back());
      pipeline.to_outside();
      continue;
    }
    const Watch latency{pipeline, Histogram::packet_latency};
    const double last_ms = most_ms([&] {
      pipeline.from_inside(parts.back());
      wait_ms(40);
      pipeline.stall(1, false);
    });
    CHECK(pipeline.to_outside().size() == 2);
    REQUIRE(latency.count() == 1);
    CHECK(latency.median_ms() >= 39);
    CHECK(latency.median_ms() <= last_ms);
    return;
  }
  FAIL("no fragment was handed over");
}
