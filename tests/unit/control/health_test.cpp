// When the gateway is ready, and what /readyz and /healthz say when not.
#include "control/agent/health.h"

#include <catch2/catch.hpp>

#include "tests/unit/control/support.h"

using namespace sallyport;
using namespace sallyport::test;
using std::chrono::seconds;

namespace {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kNow = 1'800'000'000 * kSecond;
constexpr AgentBoard::Time kTime{seconds(1'000)};

StatsSnapshot healthy() {
  StatsSnapshot out;
  out.pid = 42;
  out.started_unix_ns = 7;
  out.log_writer_unix_ns = kNow;
  out.counters = {{"sallyport_events_lost_total", "cause=ring_full", "", StatsKind::counter},
                  {"sallyport_events_lost_total", "cause=no_space", "", StatsKind::counter}};
  out.cores = {{1, kNow, 0xabcdef123456, 3, {0, 0}}, {2, kNow, 0xabcdef123456, 3, {0, 0}}};
  return out;
}

std::vector<std::string> reasons(const SegmentResult& segment, const LossWatch::Loss& loss = {}) {
  return unreadiness(segment, loss, kNow);
}

using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("a gateway in good order is ready", "[health]") {
  CHECK(reasons(healthy()).empty());
  CHECK(dataplane_runs(healthy(), kNow));
}

TEST_CASE("each thing that is wrong has its line", "[health]") {
  StatsSnapshot segment = healthy();
  SECTION("no segment") {
    const SegmentResult none = read_stats("/nonexistent/stats");
    CHECK(reasons(none) == Lines{none.error().text});
    CHECK_FALSE(dataplane_runs(none, kNow));
  }
  SECTION("stopped in order") {
    segment.ended = true;
    CHECK(reasons(segment) == Lines{"the data plane has stopped; start sallyport-dataplane"});
    CHECK_FALSE(dataplane_runs(segment, kNow));
  }
  SECTION("no cores") {
    segment.cores.clear();
    CHECK(reasons(segment) == Lines{"the data plane has no worker cores"});
    CHECK_FALSE(dataplane_runs(segment, kNow));
  }
  SECTION("one core stalled") {
    segment.cores[1].heartbeat_unix_ns = kNow - 12 * kSecond;
    CHECK(reasons(segment) == Lines{"core 2 is stalled: no heartbeat for 12 s"});
    CHECK(dataplane_runs(segment, kNow));
  }
  SECTION("killed") {
    for (auto& core : segment.cores) core.heartbeat_unix_ns = kNow - 3 * kSecond;
    CHECK(reasons(segment) == Lines{"the data plane is gone or stuck: none of its cores turns",
                                    "core 1 is stalled: no heartbeat for 3 s",
                                    "core 2 is stalled: no heartbeat for 3 s"});
    CHECK_FALSE(dataplane_runs(segment, kNow));
  }
  SECTION("no policy") {
    for (auto& core : segment.cores) core.revision = 0;
    CHECK(reasons(segment) == Lines{"no policy is in force: everything is denied; push one"});
  }
  SECTION("two policies") {
    segment.cores[1].revision = 0;
    CHECK(reasons(segment) ==
          Lines{"the cores run different policies: core 1 abcdef123456, core 2 none"});
  }
  SECTION("a log whose writer turns no more") {
    segment.log_writer_unix_ns = kNow - 5 * kSecond;
    CHECK(reasons(segment).empty());
    segment.log_writer_unix_ns = kNow - 12 * kSecond;
    CHECK(reasons(segment) ==
          Lines{"the flow log's writer is stuck or has ended: it has not turned for 12 s"});
  }
  SECTION("a log whose writer never turned") {
    segment.log_writer_unix_ns = 0;
    segment.started_unix_ns = kNow - 2 * kSecond;
    CHECK(reasons(segment).empty());
    segment.started_unix_ns = kNow - 6 * kSecond;
    CHECK(reasons(segment) ==
          Lines{"the flow log's writer is stuck or has ended: it has not turned for 6 s"});
  }
  SECTION("a log that loses events") {
    CHECK(reasons(segment, {.events = 7, .age_seconds = 5, .causes = "ring_full 7"}) ==
          Lines{"the flow log lost 7 events, the last 5 s ago (ring_full 7)"});
  }
}

TEST_CASE("events lost are told for a minute, and only those since", "[health]") {
  LossWatch watch;
  StatsSnapshot segment = healthy();
  segment.cores[0].values[0] = 100;  // Before the agent was there.
  CHECK(watch.look(segment, kTime).events == 0);
  segment.cores[1].values[1] = 2;
  segment.cores[0].values[0] = 101;
  const auto loss = watch.look(segment, kTime + seconds(10));
  CHECK(loss.events == 3);
  CHECK(loss.age_seconds == 0);
  CHECK(loss.causes == "no_space 2, ring_full 101");
  CHECK(watch.look(segment, kTime + seconds(70)).age_seconds == 60);
  CHECK(watch.look(segment, kTime + seconds(71)).events == 0);

  SECTION("a new data plane begins at nothing") {
    segment = healthy();
    segment.started_unix_ns = 8;
    CHECK(watch.look(segment, kTime + seconds(80)).events == 0);
    segment.cores[0].values[0] = 1;
    CHECK(watch.look(segment, kTime + seconds(81)).events == 1);
  }
  SECTION("what one lost before it was first looked at is its own") {
    segment.started_unix_ns = 8;
    segment.cores[0].values[0] = 1;
    segment.cores[1].values[1] = 0;
    CHECK(watch.look(segment, kTime + seconds(80)).events == 1);
  }
}

TEST_CASE("the agent is ill when its loop has not come by for long", "[health]") {
  const AgentBoard::Note note{.facts = {}, .at = kTime};
  CHECK(illness(note, kTime + seconds(120)).empty());
  CHECK(illness(note, kTime + seconds(121)) ==
        Lines{"the agent has been busy with one thing for 121 s; restart it, traffic is not "
              "affected"});
}
