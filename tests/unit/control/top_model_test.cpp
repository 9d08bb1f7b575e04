// From made segments to what `sallyport top` says of them.
#include "control/top/top_model.h"

#include <catch2/catch.hpp>
#include <tuple>

#include "control/common/system.h"
#include "control/top/top_json.h"
#include "tests/unit/control/top_support.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

constexpr const char* kInside = "direction=rx,port=inside";
constexpr const char* kOutside = "direction=rx,port=outside";

/// Two cores, two seconds in which the first did something and both beat.
struct Two {
  StatsFile before = made_gateway();
  StatsFile after = made_gateway(kStart + 3 * kSecond);

  TopModel model(double seconds = 2) const { return between(before, after, seconds); }
};

}  // namespace

TEST_CASE("rates are what came within the measured time", "[top]") {
  Two two;
  value_of(two.before, 0, "sallyport_packets_total", kInside) = 1000;
  value_of(two.after, 0, "sallyport_packets_total", kInside) = 4000;
  value_of(two.after, 0, "sallyport_packets_total", kOutside) = 1000;
  value_of(two.after, 0, "sallyport_packets_total", "direction=tx,port=outside") = 77;
  value_of(two.after, 1, "sallyport_packets_total", kInside) = 500;
  value_of(two.after, 0, "sallyport_bytes_total", kInside) = 64000;
  value_of(two.before, 0, "sallyport_drops_total", "reason=denied") = 5;
  value_of(two.after, 0, "sallyport_drops_total", "reason=denied") = 6;
  value_of(two.after, 0, "sallyport_drops_total", "reason=inbound") = 2;
  value_of(two.after, 1, "sallyport_verdicts_total", "action=deny,mode=enforce,protocol=tls") = 3;
  for (const double seconds : {2.0, 0.5, 2.5}) {
    const TopModel model = two.model(seconds);
    CHECK(model.seconds == Approx(seconds));
    REQUIRE(model.cores.size() == 2);
    CHECK(model.cores[0].packets.per_second == Approx(4000 / seconds));
    CHECK(model.cores[0].packets.total == 5000);
    CHECK(model.cores[0].bytes.per_second == Approx(64000 / seconds));
    CHECK(model.cores[0].drops.per_second == Approx(3 / seconds));
    CHECK(model.cores[0].drops.total == 8);
    CHECK(model.cores[1].packets.per_second == Approx(500 / seconds));
    CHECK(model.cores[1].verdicts.per_second == Approx(3 / seconds));
    CHECK(model.total.packets.per_second == Approx(4500 / seconds));
    CHECK(model.total.drops.total == 8);
    CHECK(model.total.verdicts.per_second == Approx(3 / seconds));
  }
}

TEST_CASE("a gauge is what is there now", "[top]") {
  Two two;
  value_of(two.before, 0, "sallyport_flows", "state=pending") = 9;
  value_of(two.after, 0, "sallyport_flows", "state=pending") = 4;
  value_of(two.after, 1, "sallyport_flows", "state=pending") = 1;
  value_of(two.after, 1, "sallyport_flows", "state=allowed") = 100;
  value_of(two.after, 1, "sallyport_held_packets") = 12;
  const TopModel model = two.model();
  CHECK(model.cores[0].pending_flows == 4);
  CHECK(model.total.pending_flows == 5);
  CHECK(model.total.held_packets == 12);
  for (const TopCounter& value : model.cores[1].counters) CHECK(value.per_second == 0);
}

TEST_CASE("the busy share is that of the polls within the interval", "[top]") {
  Two two;
  CHECK_FALSE(two.model().total.busy_ratio.has_value());
  value_of(two.before, 0, "sallyport_polls_total", "result=busy") = 1000;
  value_of(two.after, 0, "sallyport_polls_total", "result=busy") = 1100;
  value_of(two.after, 0, "sallyport_polls_total", "result=idle") = 300;
  value_of(two.after, 1, "sallyport_polls_total", "result=idle") = 600;
  const TopModel model = two.model();
  CHECK(model.cores[0].busy_ratio.value() == Approx(0.25));
  CHECK(model.cores[1].busy_ratio.value() == 0);
  CHECK(model.total.busy_ratio.value() == Approx(0.1));
}

TEST_CASE("quantiles are those of what was recorded within the interval", "[top]") {
  Two two;
  // Long ago everything was slow; now it is quick, but for one in a hundred.
  two.before.cores[0].recorded[0] = std::vector<uint64_t>(5000, 9'000'000);
  two.after.cores[0].recorded[0] = two.before.cores[0].recorded[0];
  two.after.cores[0].recorded[0].insert(two.after.cores[0].recorded[0].end(), 985, 1000);
  two.after.cores[0].recorded[0].insert(two.after.cores[0].recorded[0].end(), 15, 100'000);
  two.after.cores[1].recorded[0] = std::vector<uint64_t>(1000, 2000);
  const TopModel model = two.model();
  const TopQuantiles& first = model.cores[0].latency;
  CHECK(first.count == 1000);
  CHECK(first.p50 == Approx(1000).epsilon(0.016));
  CHECK(first.p90 == Approx(1000).epsilon(0.016));
  CHECK(first.p99 == Approx(100'000).epsilon(0.016));
  CHECK(first.mean == Approx((985 * 1000 + 15 * 100'000) / 1000.0));
  CHECK(model.total.latency.count == 2000);
  CHECK(model.total.latency.p50 == Approx(2000).epsilon(0.016));
  CHECK(model.total.latency.p999 == Approx(100'000).epsilon(0.016));
  CHECK(model.total.time_to_verdict.count == 0);
}

// The first core's policy has two rules; the second core runs another one in some rows.
TEST_CASE("hits are named by the policy that the core counted them under", "[top]") {
  using Rows = std::vector<std::tuple<std::string, uint64_t, double>>;
  const auto rows = [](const TopCore& core) {
    Rows out;
    for (const TopRule& rule : core.rules) {
      out.emplace_back(rule.name, rule.hits.total, rule.hits.per_second);
    }
    return out;
  };
  Two two;
  two.before.rules[0] = {.revision = 7, .rules = 2, .names = {"p/a", "p/b"}};
  two.before.cores[0].hits = {.sequence = 2, .revision = 7, .hits = {100, 10}, .no_rule = 1};
  two.before.cores[1].hits = {.sequence = 2, .revision = 7, .hits = {0, 5}};
  two.after.rules = two.before.rules;
  SECTION("the same policy: what came since, core by core and over all") {
    two.after.cores[0].hits = {.sequence = 2, .revision = 7, .hits = {104, 10}, .no_rule = 7};
    two.after.cores[1].hits = {.sequence = 2, .revision = 7, .hits = {0, 6}};
    const TopModel model = two.model();
    CHECK(rows(model.cores[0]) == Rows{{"p/a", 104, 2}, {"p/b", 10, 0}, {"(no rule)", 7, 3}});
    CHECK(rows(model.total) == Rows{{"p/a", 104, 2}, {"p/b", 16, 0.5}, {"(no rule)", 7, 3}});
  }
  SECTION("a push that turns the rules round, which one core has taken") {
    two.after.rules[1] = {.revision = 8, .rules = 2, .names = {"p/b", "p/a"}};
    two.after.cores[0].hits = {.sequence = 4, .revision = 8, .hits = {2, 6}};
    two.after.cores[1].hits = {.sequence = 2, .revision = 7, .hits = {0, 7}};
    const TopModel model = two.model();
    CHECK(rows(model.cores[0]) == Rows{{"p/b", 2, 1}, {"p/a", 6, 3}, {"(no rule)", 0, 0}});
    CHECK(rows(model.cores[1]) == Rows{{"p/a", 0, 0}, {"p/b", 7, 1}, {"(no rule)", 0, 0}});
    REQUIRE(model.total.rules.size() == 6);  // rules of two revisions are not added up
    CHECK(model.total.rules[4].revision == 7);
  }
  SECTION("a policy that nobody remembers, and hits in the midst of a change") {
    two.after.rules = {};
    two.after.cores[0].hits = {.sequence = 2, .revision = 7, .hits = {104, 10}, .no_rule = 1};
    two.after.cores[1].hits = {.sequence = 3, .revision = 7, .hits = {104, 10}};
    const TopModel model = two.model();
    CHECK(rows(model.cores[0]) ==
          Rows{{"(rules of an older policy)", 114, 2}, {"(no rule)", 1, 0}});
    CHECK(rows(model.cores[1]).empty());
  }
  SECTION("more rules than there is room for") {
    two.after.rules[0] = {
        .revision = 7, .rules = 9, .names = {"p/a", "p/b", "p/c", "p/d", "p/e", "p/f"}};
    two.after.cores[0].hits = {.sequence = 2, .revision = 7, .hits = {100, 10}, .others = 4};
    const Rows seen = rows(two.model().cores[0]);
    REQUIRE(seen.size() == 8);
    CHECK(seen[1] == Rows::value_type{"p/b", 10, 0});
    CHECK(seen[5] == Rows::value_type{"p/f", 0, 0});
    CHECK(seen[6] == Rows::value_type{"(rules beyond those counted each)", 4, 2});
    CHECK(seen[7] == Rows::value_type{"(no rule)", 0, 0});
  }
}

TEST_CASE("one sample has totals and no rates", "[top]") {
  const TempDir folder;
  StatsFile file = made_gateway();
  value_of(file, 0, "sallyport_packets_total", kInside) = 1000;
  file.cores[0].recorded[0] = {5, 6};
  write_text(folder / "stats", stats_bytes(file));
  const TopModel model = compare(nullptr, TopSampler(folder / "stats").sample());
  CHECK(model.seconds == 0);
  CHECK(model.total.packets.total == 1000);
  CHECK(model.total.packets.per_second == 0);
  CHECK(model.total.latency.count == 0);
}

TEST_CASE("a count that went back says nothing", "[top]") {
  Two two;
  value_of(two.before, 0, "sallyport_packets_total", kInside) = 1000;
  value_of(two.after, 0, "sallyport_packets_total", kInside) = 10;
  two.before.cores[0].recorded[0] = {5, 6};
  CHECK(two.model().total.packets.per_second == 0);
  CHECK(two.model().total.latency.count == 0);
}

TEST_CASE("states and alarms", "[top]") {
  Two two;
  CHECK(two.model().state == TopState::running);
  CHECK(two.model().alarms.empty());
  CHECK(two.model().uptime_ns == 3703 * kSecond);

  two.after.cores[1].heartbeat_unix_ns = kStart - 10 * kSecond;
  two.after.cores[1].revision = 5;
  CHECK(two.model().state == TopState::running);
  CHECK(two.model().cores[1].stalled);
  CHECK(two.model().alarms == std::vector<std::string>{"core 2 is stalled: no heartbeat for 13.0 s",
                                                       "the cores run different policies"});

  two.after.cores[0].heartbeat_unix_ns = kStart - 20 * kSecond;
  CHECK(two.model().state == TopState::gone);
  CHECK(two.model().alarms ==
        std::vector<std::string>{
            "the data plane is gone or stuck: no core turned for 13.0 s; waiting"});
  two.after.ended = true;
  CHECK(two.model().state == TopState::stopped);
  CHECK(two.model().uptime_ns == 0);

  Two losing;
  for (auto& core : losing.after.cores) core.revision = 0;
  value_of(losing.after, 0, "sallyport_missed_packets_total", "cause=queue_full,port=inside") = 9;
  value_of(losing.after, 1, "sallyport_events_lost_total", "cause=ring_full") = 8;
  CHECK(losing.model(1).alarms ==
        std::vector<std::string>{"no policy is in force: everything is denied",
                                 "ports missed 9 packets/s before any core saw them",
                                 "the flow log lost 8 events/s"});
}

TEST_CASE("a data plane that takes the place of another is told, and not compared with it",
          "[top]") {
  const TempDir folder;
  const auto path = folder / "stats";
  TopSampler sampler(path);
  TopHistory history;
  CHECK(history.add(sampler.sample()).state == TopState::missing);

  StatsFile file = made_gateway(unix_now_ns() + 60 * kSecond);
  value_of(file, 0, "sallyport_packets_total", kInside) = 1000;
  write_text(path, stats_bytes(file));
  CHECK(history.add(sampler.sample()).alarms.empty());
  TopModel model = history.add(sampler.sample());
  CHECK(model.seconds > 0);
  CHECK(model.alarms.empty());

  file.pid = 777;
  value_of(file, 0, "sallyport_packets_total", kInside) = 5000;
  write_text(folder / "stats.new", stats_bytes(file));
  std::filesystem::rename(folder / "stats.new", path);
  model = history.add(sampler.sample());
  CHECK(model.pid == 777);
  CHECK(model.seconds == 0);
  CHECK(model.total.packets.per_second == 0);
  CHECK(model.alarms == std::vector<std::string>{
                            "the data plane was restarted: now pid 777, counting from 0 again"});
  CHECK(history.add(sampler.sample()).seconds > 0);

  std::filesystem::remove(path);
  model = history.add(sampler.sample());
  CHECK(model.state == TopState::missing);
  CHECK(model.problem.find("does not exist") != std::string::npos);
  write_text(path, "nonsense");
  CHECK(history.add(sampler.sample()).state == TopState::unreadable);
  write_text(folder / "stats.new", stats_bytes(file));
  std::filesystem::rename(folder / "stats.new", path);
  CHECK(history.add(sampler.sample()).state == TopState::running);
}

TEST_CASE("JSON has base units and names that stay", "[top]") {
  Two two;
  value_of(two.after, 0, "sallyport_packets_total", kInside) = 3000;
  value_of(two.after, 0, "sallyport_verdicts_total", "action=allow,mode=enforce,protocol=tls") = 6;
  value_of(two.after, 0, "sallyport_verdicts_total", "action=deny,mode=audit,protocol=tls") = 5;
  value_of(two.after, 1, "sallyport_drops_total", "reason=denied") = 4;
  two.after.cores[0].recorded[0] = {1000, 1000};
  two.after.cores[0].recorded[2] = {8};
  two.after.rules[1] = {.revision = 0x3fa9c1d27b60, .rules = 2, .names = {"p/a", "p/b"}};
  two.after.cores[1].hits = {.revision = 0x3fa9c1d27b60, .hits = {0, 8}};
  const Json json = top_json(two.model());
  CHECK(json["schema"] == 1);
  CHECK(json["interval_seconds"] == 2.0);
  CHECK(json["dataplane"]["state"] == "running");
  CHECK(json["cores"][0]["core"] == 1);
  CHECK(json["cores"][0]["revision"] == "3fa9c1d27b60");
  CHECK(json["cores"][0]["packets"] == Json{{"per_second", 1500.0}, {"total", 3000}});
  CHECK(json["cores"][0]["busy_ratio"].is_null());
  CHECK(json["total"]["drops_by_reason"].size() == 1);
  CHECK(json["total"]["drops_by_reason"]["denied"] == Json{{"per_second", 2.0}, {"total", 4}});
  CHECK(json["total"]["verdicts_by_protocol"]["tls"]["allow"]["total"] == 6);
  CHECK(json["total"]["verdicts_by_protocol"]["dns"]["allow"]["total"] == 0);
  CHECK(json["total"]["verdicts_by_protocol"]["tls"]["deny"]["total"] == 0);
  CHECK(json["total"]["verdicts_by_protocol"]["tls"]["audit"]["total"] == 5);
  const Json hit{
      {"name", "p/b"}, {"revision", "3fa9c1d27b60"}, {"hits", {{"per_second", 4.0}, {"total", 8}}}};
  CHECK(json["cores"][1]["rules"] == Json::array({hit}));
  CHECK(json["total"]["rules"][1] == Json{{"name", "p/a"},
                                          {"revision", "3fa9c1d27b60"},
                                          {"hits", {{"per_second", 0.0}, {"total", 0}}}});
  CHECK(json["total"]["rules"][2] == hit);
  const Json& histograms = json["total"]["histograms"];
  CHECK(histograms["sallyport_packet_latency_seconds"]["p50"].get<double>() ==
        Approx(1e-6).epsilon(0.016));
  CHECK(histograms["sallyport_burst_packets"]["p99"] == 8.0);
  CHECK(histograms["sallyport_time_to_verdict_seconds"]["p99"].is_null());
}
