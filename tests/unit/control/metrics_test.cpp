// What /metrics says, to the letter, of a stats segment and what the agent knows besides.
#include <prometheus/text_serializer.h>

#include <catch2/catch.hpp>
#include <cstdlib>

#include "control/agent/budget_metrics.h"
#include "control/agent/gateway_metrics.h"
#include "control/agent/metrics_service.h"
#include "control/agent/segment_metrics.h"
#include "control/common/system.h"
#include "tests/unit/control/stats_file.h"
#include "tests/unit/control/support.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kNow = 1'800'000'000 * kSecond;

StatsFile two_cores() {
  return {.pid = 42,
          .started_unix_ns = kNow - 100 * kSecond,
          .ended = false,
          .identity_revision = 5,
          .identity_addresses = 1204,
          .counters = {{"sallyport_packets_total", "direction=rx,port=inside"},
                       {"sallyport_flows", "state=pending", StatsKind::gauge},
                       {"sallyport_packets_total", "direction=tx,port=inside"},
                       {"sallyport_resets_sent_total", ""}},
          .cores = {{1, kNow - kSecond / 4, 0xabcdef123456, 3, {10, 2, 11, 0}},
                    {9, kNow, 0xabcdef123456, 4, {12345678901234, 0, 1, 7}}}};
}

SegmentResult segment_of(const StatsFile& file) {
  const TempDir folder;
  write_text(folder / "stats", stats_bytes(file));
  return read_stats(folder / "stats");
}

std::string text_of(const std::vector<prometheus::MetricFamily>& families) {
  return prometheus::TextSerializer().Serialize(families);
}

std::string segment_text(const StatsFile& file, bool running = true) {
  return text_of(segment_families(segment_of(file).value(), running));
}

BudgetCount count(std::string rule, std::string labels, uint64_t used, uint64_t limit) {
  return {.policy = "storage",
          .rule = std::move(rule),
          .scope = BudgetScope::subject,
          .source = {},
          .labels = std::move(labels),
          .window_seconds = 60,
          .window_start = 1'799'999'999,
          .used = used,
          .limit = limit};
}

constexpr std::string_view kSegmentText =
    R"(# HELP sallyport_packets_total What it counts.
# TYPE sallyport_packets_total counter
sallyport_packets_total{core="1",direction="rx",port="inside"} 10
sallyport_packets_total{core="9",direction="rx",port="inside"} 12345678901234
sallyport_packets_total{core="1",direction="tx",port="inside"} 11
sallyport_packets_total{core="9",direction="tx",port="inside"} 1
# HELP sallyport_flows What it counts.
# TYPE sallyport_flows gauge
sallyport_flows{core="1",state="pending"} 2
sallyport_flows{core="9",state="pending"} 0
# HELP sallyport_resets_sent_total What it counts.
# TYPE sallyport_resets_sent_total counter
sallyport_resets_sent_total{core="1"} 0
sallyport_resets_sent_total{core="9"} 7
)";

constexpr std::string_view kAgentText =
    R"(# HELP sallyport_build_info Always 1: the agent's version and that of the segment it reads.
# TYPE sallyport_build_info gauge
sallyport_build_info{stats_version="VERSION",version="0.1.0"} 1
# HELP sallyport_up 1 while the data plane runs.
# TYPE sallyport_up gauge
sallyport_up 1
# HELP sallyport_ready 1 while /readyz says so.
# TYPE sallyport_ready gauge
sallyport_ready 0
# HELP sallyport_collector_success 1 when this source of metrics could be read.
# TYPE sallyport_collector_success gauge
sallyport_collector_success{collector="stats"} 1
sallyport_collector_success{collector="budgets"} 1
# HELP sallyport_agent_dataplane_connected 1 while the agent can push to the data plane.
# TYPE sallyport_agent_dataplane_connected gauge
sallyport_agent_dataplane_connected 1
# HELP sallyport_agent_policy_info The number of rules of the policy that the agent holds to be in force.
# TYPE sallyport_agent_policy_info gauge
sallyport_agent_policy_info{revision="abcdef123456",source="files"} 12
# HELP sallyport_agent_last_push_timestamp_seconds When a policy was last pushed, in Unix time.
# TYPE sallyport_agent_last_push_timestamp_seconds gauge
sallyport_agent_last_push_timestamp_seconds{result="accepted"} 1799999000
# HELP sallyport_budget_used_ratio Share that is used up in this window, of the source or subject under this rule that has least left.
# TYPE sallyport_budget_used_ratio gauge
sallyport_budget_used_ratio{policy="storage",rule="models",scope="subject"} 0.75
# HELP sallyport_budget_left_bytes What the same one has left.
# TYPE sallyport_budget_left_bytes gauge
sallyport_budget_left_bytes{policy="storage",rule="models",scope="subject"} 250
# HELP sallyport_budget_counts Sources, subjects, or 1 for the rule, that have used any of it.
# TYPE sallyport_budget_counts gauge
sallyport_budget_counts{policy="storage",rule="models",scope="subject"} 2
# HELP sallyport_budget_spent_counts Of them, those with nothing left.
# TYPE sallyport_budget_spent_counts gauge
sallyport_budget_spent_counts{policy="storage",rule="models",scope="subject"} 0
# HELP sallyport_dataplane_start_time_seconds When the data plane started, in Unix time.
# TYPE sallyport_dataplane_start_time_seconds gauge
sallyport_dataplane_start_time_seconds 1799999900
# HELP sallyport_core_heartbeat_age_seconds Time since the core last said that it turns; stalled when over 1.
# TYPE sallyport_core_heartbeat_age_seconds gauge
sallyport_core_heartbeat_age_seconds{core="1"} 0.25
sallyport_core_heartbeat_age_seconds{core="9"} 0
# HELP sallyport_log_writer_heartbeat_age_seconds How long ago the flow log's writer last turned.
# TYPE sallyport_log_writer_heartbeat_age_seconds gauge
sallyport_log_writer_heartbeat_age_seconds 0
# HELP sallyport_policy_revision The policy in force, as a number; 0 for none. The same on each core, or something is wrong.
# TYPE sallyport_policy_revision gauge
sallyport_policy_revision{core="1"} 188900967593046
sallyport_policy_revision{core="9"} 188900967593046
# HELP sallyport_policy_generation Policies and identity feeds put in force since the start.
# TYPE sallyport_policy_generation gauge
sallyport_policy_generation{core="1"} 3
sallyport_policy_generation{core="9"} 4
# HELP sallyport_identity_revision The identity feed in force, as a number; 0 for none.
# TYPE sallyport_identity_revision gauge
sallyport_identity_revision 5
# HELP sallyport_identity_addresses Addresses of that feed.
# TYPE sallyport_identity_addresses gauge
sallyport_identity_addresses 1204
)";

std::string gateway_text(const SegmentResult& segment, uint64_t now = kNow) {
  const BudgetFile::Reading budgets{
      .budgets = summarise_budgets(
          {count("models", "job=a", 750, 1000), count("models", "job=b", 1, 1000)}),
      .good = true};
  return text_of(gateway_families({.segment = segment,
                                   .budgets = budgets,
                                   .agent = {.dataplane_connected = true,
                                             .revision = 0xabcdef123456,
                                             .rules = 12,
                                             .source = "files",
                                             .last_push_result = "accepted",
                                             .last_push_unix_seconds = 1'799'999'000},
                                   .ready = false,
                                   .now_unix_ns = now}));
}

}  // namespace

TEST_CASE("the segment's families, with its own names, help and kinds", "[metrics]") {
  CHECK(segment_text(two_cores()) == kSegmentText);
}

TEST_CASE("histograms are gathered under bounds in base units", "[metrics]") {
  StatsFile file;
  file.histograms = {{"sallyport_x_seconds"}, {"sallyport_y", StatsUnit::packets}};
  file.cores = {{.core = 3,
                 .recorded = {{99, 1'000, 150'000, 150'001, 999'000, 2'000'000'000, 60'000'000'000},
                              {1, 1, 32, 33, 64}}}};
  const std::string text = segment_text(file, false);
  CHECK(
      text.starts_with("# HELP sallyport_x_seconds What it measures.\n# TYPE "
                       "sallyport_x_seconds histogram\n"));
  const auto has = [&](std::string_view line) {
    CAPTURE(line);
    CHECK(text.find("\n" + std::string(line) + "\n") != std::string::npos);
  };
  has("sallyport_x_seconds_count{core=\"3\"} 7");
  has("sallyport_x_seconds_sum{core=\"3\"} 62.0013001");
  has("sallyport_x_seconds_bucket{core=\"3\",le=\"1e-07\"} 1");
  has("sallyport_x_seconds_bucket{core=\"3\",le=\"5e-07\"} 1");
  has("sallyport_x_seconds_bucket{core=\"3\",le=\"1e-06\"} 2");
  has("sallyport_x_seconds_bucket{core=\"3\",le=\"0.0001\"} 2");
  has("sallyport_x_seconds_bucket{core=\"3\",le=\"0.0002\"} 4");
  has("sallyport_x_seconds_bucket{core=\"3\",le=\"0.001\"} 5");
  has("sallyport_x_seconds_bucket{core=\"3\",le=\"2\"} 6");
  has("sallyport_x_seconds_bucket{core=\"3\",le=\"10\"} 6");
  has("sallyport_x_seconds_bucket{core=\"3\",le=\"+Inf\"} 7");
  has("sallyport_y_count{core=\"3\"} 5");
  has("sallyport_y_sum{core=\"3\"} 131");
  has("sallyport_y_bucket{core=\"3\",le=\"1\"} 2");
  has("sallyport_y_bucket{core=\"3\",le=\"24\"} 2");
  has("sallyport_y_bucket{core=\"3\",le=\"32\"} 3");
  has("sallyport_y_bucket{core=\"3\",le=\"48\"} 4");
  has("sallyport_y_bucket{core=\"3\",le=\"64\"} 4");
}

TEST_CASE("what the agent knows stands in front of it", "[metrics]") {
  const std::string version = std::to_string(kStatsVersion);
  CHECK(gateway_text(segment_of(two_cores())) ==
        replaced(std::string(kAgentText), "VERSION", version) + std::string(kSegmentText));
}

TEST_CASE("a data plane that is gone leaves its counts and takes its gauges", "[metrics]") {
  const auto check_gone = [](const std::string& text) {
    CHECK(text.find("\nsallyport_up 0\n") != std::string::npos);
    CHECK(text.find("\nsallyport_flows{") == std::string::npos);
    CHECK(text.find("\nsallyport_policy_revision{") == std::string::npos);
    CHECK(text.find("\nsallyport_resets_sent_total{core=\"9\"} 7\n") != std::string::npos);
  };
  SECTION("killed: its heartbeats are old") {
    const std::string text = gateway_text(segment_of(two_cores()), kNow + 2 * kSecond);
    check_gone(text);
    CHECK(text.find("heartbeat_age_seconds{core=\"9\"} 2\n") != std::string::npos);
  }
  SECTION("stopped in order") {
    StatsFile file = two_cores();
    file.ended = true;
    check_gone(gateway_text(segment_of(file)));
  }
  SECTION("one core that turns is a data plane that runs") {
    StatsFile file = two_cores();
    file.cores[0].heartbeat_unix_ns = kNow - 60 * kSecond;
    CHECK(gateway_text(segment_of(file)).find("\nsallyport_up 1\n") != std::string::npos);
  }
  SECTION("never there, or no segment at all") {
    const std::string text = gateway_text(read_stats("/nonexistent"));
    CHECK(text.find("\nsallyport_up 0\n") != std::string::npos);
    CHECK(text.find("success{collector=\"stats\"} 0\n") != std::string::npos);
    CHECK(text.find("sallyport_packets_total") == std::string::npos);
  }
}

TEST_CASE("no text in a segment can break or forge a line", "[metrics]") {
  StatsFile file = two_cores();
  const std::string good = segment_text(file);
  const std::vector<StatsFileCounter> hostile{
      {"not a name", ""},
      {"", ""},
      {"1st", ""},
      {"sallyport_x\nsallyport_up 1\n", ""},
      {"sallyport_x", "no label"},
      {"sallyport_x", "core=7"},
      {"sallyport_x", "__name__=y"},
      {"sallyport_x", "a-b=c"},
      {"sallyport_packets_total", "direction=rx,port=inside"},       // A series twice.
      {"sallyport_packets_total", "direction=x", StatsKind::gauge},  // A family of two kinds.
      {"sallyport_x", "", static_cast<StatsKind>(77)}};
  for (const StatsFileCounter& one : hostile) {
    CAPTURE(one.family, one.labels);
    StatsFile with = file;
    with.counters.push_back(one);
    CHECK(segment_text(with) == good);
  }
  file.counters.push_back({"sallyport_x", "reason=a\"} 1 \\ \x01"});
  CHECK(segment_text(file) == good +
                                  "# HELP sallyport_x What it counts.\n# TYPE sallyport_x "
                                  "counter\nsallyport_x{core=\"1\",reason=\"a\\\"} 1 \\\\ ?\"} 0\n"
                                  "sallyport_x{core=\"9\",reason=\"a\\\"} 1 \\\\ ?\"} 0\n");
}

TEST_CASE("a backslash in help is no escape", "[metrics]") {
  StatsSnapshot snapshot;
  snapshot.counters = {{"sallyport_x", "", R"(a\nb)", StatsKind::counter}};
  CHECK(text_of(segment_families(snapshot, true)).starts_with("# HELP sallyport_x a\\\\nb\n"));
}

TEST_CASE("a segment cannot speak in the agent's name", "[metrics]") {
  StatsFile file = two_cores();
  file.ended = true;
  file.counters.push_back({"sallyport_up", "of=mine", StatsKind::counter});
  CHECK(gateway_text(segment_of(file)).find("of=") == std::string::npos);
}

TEST_CASE("a rule's budget is that of who has least left, and rules have a bound", "[metrics]") {
  const auto one = summarise_budgets({count("a", "job=x", 10, 100), count("a", "job=y", 100, 100),
                                      count("a", "job=z", 101, 100), count("b", "", 0, 0)});
  REQUIRE(one.size() == 2);
  CHECK(one[0].counts == 3);
  CHECK(one[0].spent == 2);
  CHECK(one[0].used_ratio == Approx(1.01));
  CHECK(one[0].left_bytes == 0);
  CHECK(one[1].used_ratio == 1);  // A budget of nothing is spent.

  std::vector<BudgetCount> many;
  for (size_t i = 0; i < kMostBudgetSummaries + 500; ++i) {
    many.push_back(count("r" + std::to_string(i), "", i, 10'000));
  }
  const auto bounded = summarise_budgets(many);
  REQUIRE(bounded.size() == kMostBudgetSummaries);
  CHECK(bounded.front().used_ratio == Approx(0.1499));
  CHECK(bounded.back().used_ratio == Approx(0.05));
}

TEST_CASE("the budgets are read again when the file changes and when a window is over",
          "[metrics]") {
  const TempDir folder;
  const auto write = [&](uint64_t used) {
    const std::vector<BudgetCount> counts{count("a", "job=x", used, 100)};
    write_text(folder / "new", budget_state_text(counts));
    std::filesystem::rename(folder / "new", folder / "b");
  };
  BudgetFile file(folder / "b");
  CHECK(file.read(1'800'000'000).budgets.empty());  // None yet is no fault.
  CHECK(file.read(1'800'000'000).good);
  write(50);
  REQUIRE(file.read(1'800'000'000).budgets.size() == 1);
  CHECK(file.read(1'800'000'001).budgets[0].used_ratio == 0.5);
  write(60);
  CHECK(file.read(1'800'000'002).budgets[0].used_ratio == 0.6);
  CHECK(file.read(1'800'000'058).budgets.size() == 1);
  CHECK(file.read(1'800'000'059).budgets.empty());  // 1,799,999,999 + 60.
  write_text(folder / "b", "nonsense");
  CHECK_FALSE(file.read(1'800'000'000).good);
  CHECK(file.read(1'800'000'000).budgets.empty());
}

TEST_CASE("each scrape reads the segment that is there then", "[metrics]") {
  const TempDir folder;
  AgentBoard board;
  board.post({}, std::chrono::steady_clock::now());
  const MetricsService service({.stats = folder / "stats", .budgets = folder / "b"}, board);
  CHECK(service.metrics().body.find("\nsallyport_up 0\n") != std::string::npos);
  CHECK(service.readyz().status == 503);
  StatsFile file = two_cores();
  for (auto& core : file.cores) core.heartbeat_unix_ns = unix_now_ns() + 60 * kSecond;
  write_text(folder / "stats", stats_bytes(file));
  const HttpAnswer answer = service.metrics();
  CHECK(answer.content_type == "text/plain; version=0.0.4; charset=utf-8");
  CHECK(answer.body.find("\nsallyport_up 1\n") != std::string::npos);
  CHECK(answer.body.find("\nsallyport_ready 1\n") != std::string::npos);
  CHECK(service.readyz().body == "ok\n");
  CHECK(service.healthz().body == "ok\n");
  write_text(folder / "stats", "cut");
  CHECK(service.metrics().body.find("\nsallyport_up 0\n") != std::string::npos);
}

TEST_CASE("each family that the agent adds has its row in docs/observability.md",
          "[metrics][docs]") {
  const char* source = std::getenv("SALLYPORT_SOURCE");
  REQUIRE(source != nullptr);
  const std::string text = read_text(std::filesystem::path(source) / "docs/observability.md");
  StatsFile file = two_cores();
  file.counters.clear();  // Those stand in docs/dataplane.md, which has a test of its own.
  for (auto& core : file.cores) core.values.clear();
  const std::string served = gateway_text(segment_of(file));
  size_t families = 0;
  for (size_t at = served.find("# TYPE "); at != std::string::npos;
       at = served.find("# TYPE ", at + 1)) {
    const std::string name = served.substr(at + 7, served.find(' ', at + 7) - at - 7);
    CAPTURE(name);
    CHECK(text.find("\n| `" + name + "` | ") != std::string::npos);
    ++families;
  }
  CHECK(families == 18);
}
