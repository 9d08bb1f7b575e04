// What each core measures of the packets that pass it.
#include <catch2/catch.hpp>
#include <numeric>

#include "tests/pipeline/conversation.h"

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
