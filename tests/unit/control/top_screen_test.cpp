// The screens of `sallyport top`, as text.
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <random>

#include "control/common/system.h"
#include "control/top/top_text.h"
#include "control/top/top_view.h"
#include "tests/unit/control/top_support.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

/// Two cores in two seconds, the second with more of everything.
TopModel busy_gateway() {
  const StatsFile before = made_gateway();
  StatsFile after = made_gateway(kStart + 3 * kSecond);
  for (size_t core = 0; core < 2; ++core) {
    const uint64_t n = core + 1;
    const auto set = [&](std::string_view family, std::string_view labels, uint64_t value) {
      value_of(after, core, family, labels) = n * value;
    };
    set("sallyport_packets_total", "direction=rx,port=inside", 1'000'000);
    set("sallyport_packets_total", "direction=rx,port=outside", 2'000'000);
    set("sallyport_packets_total", "direction=tx,port=outside", 900'000);
    set("sallyport_bytes_total", "direction=rx,port=inside", 90'000'000);
    set("sallyport_bytes_total", "direction=rx,port=outside", 2'800'000'000);
    set("sallyport_resets_sent_total", "", 42);
    set("sallyport_verdicts_total", "action=allow,mode=enforce,protocol=tls", 2470);
    set("sallyport_verdicts_total", "action=deny,mode=enforce,protocol=tls", 31);
    set("sallyport_polls_total", "result=busy", 1000);
    set("sallyport_polls_total", "result=idle", 3000);
    set("sallyport_flows", "state=pending", 12);
    set("sallyport_flows", "state=allowed", 4711);
    set("sallyport_held_packets", "", 30);
    set("sallyport_drops_total", "reason=denied", 5);
    set("sallyport_drops_total", "reason=inbound", 400);
    after.cores[core].recorded[0] = std::vector<uint64_t>(1000, n * 12'000);
    after.cores[core].recorded[0].back() = n * 3'000'000;
    after.cores[core].recorded[1] = {n * 1'000'000, n * 40'000'000};
  }
  return between(before, after);
}

/// With hits of four rules, the last of which has a name as long as may be.
TopModel hit_gateway() {
  StatsFile before = made_gateway();
  StatsFile after = made_gateway(kStart + 3 * kSecond);
  const std::string longest = std::string(63, 'p') + "/" + std::string(63, 'r');
  before.rules[0] =
      after.rules[0] = {.revision = 0x3fa9c1d27b60,
                        .rules = 4,
                        .names = {"packages/pypi", "packages/conda", "hubs/models", longest}};
  for (size_t core = 0; core < 2; ++core) {
    before.cores[core].hits = {.revision = 0x3fa9c1d27b60, .hits = {0, 50'000, 7, 0}};
    after.cores[core].hits = {
        .revision = 0x3fa9c1d27b60, .hits = {4000, 50'100, 7, core}, .no_rule = 30};
  }
  return between(before, after);
}

Screen shown(const TopModel& model, TopView view, size_t height, size_t width) {
  return render_top(model, view, height, width);
}

}  // namespace

TEST_CASE("every figure is six columns wide, with three digits", "[top]") {
  struct Row {
    double value;
    std::string text;
  };
  const std::vector<Row> rows{{0, "   0  "},      {0.004, "0.00  "},     {0.5, "0.50  "},
                              {9.994, "9.99  "},  {9.996, "10.0  "},     {99.94, "99.9  "},
                              {99.96, " 100  "},  {999.4, " 999  "},     {999.6, "1.00 k"},
                              {12'345, "12.3 k"}, {999'600, "1.00 M"},   {1.23e9, "1.23 G"},
                              {-1, "   -  "},     {1.0 / 0.0, "   -  "}, {4e20, " 400 E"}};
  for (const Row& row : rows) CHECK(rate_text(row.value) == row.text);
  const std::vector<Row> times{{0, "0.00ns"},      {999.4, " 999ns"},     {999.6, "1.00us"},
                               {12'345, "12.3us"}, {1'230'000, "1.23ms"}, {69e9, "69.0s "}};
  for (const Row& row : times) CHECK(latency_text(row.value) == row.text);
  CHECK(total_text(99'999'999, 8) == "99999999");
  CHECK(total_text(100'000'000, 8) == "   100 M");
  CHECK(total_text(7, 5) == "    7");
  CHECK(total_text(123'456, 5) == " 123k");
  CHECK(total_text(1'234'567, 5) == "1.23M");
  CHECK(fitted("retransmission", 5) == "retr~");
  CHECK(fitted("short", 7) == "short  ");
}

TEST_CASE("the overview on 80 columns", "[top]") {
  CHECK(shown(busy_gateway(), {}, 24, 80).text() ==
        R"(sallyport top  running, pid 4242, up 1 h 1 min             23:00:03Z over  2.0 s
policy 3fa9c1d27b60, generation 7   no identities
no alarms
                    POLLS        PACKET LATENCY       TO VERDICT    FLOWS PKTS
 CORE  PKT/s  BIT/s BUSY% DROP/s    p50    p99  p99.9    p99 VERD/s  PEND  HELD
>   1 1.50 M 11.6 G  25.0  202   11.9us 11.9us 11.9us 40.4ms 1.25 k    12    30
    2 3.00 M 23.1 G  25.0  405   23.8us 23.8us 23.8us 80.7ms 2.50 k    24    60
TOTAL 4.50 M 34.7 G  25.0  608   23.8us 23.8us 23.8us 80.7ms 3.75 k    36    90

DROPS BY REASON            /s    TOTAL    VERDICTS  ALLOW/s  TOTAL DENY/s  TOTAL
inbound                 600       1200    tls        3.71 k   7410 46.5       93
denied                 7.50         15    dns           0        0    0        0











?help q:quit Enter:zoom u:rules <>:sort r:reverse           by CORE, least first
)");
}

TEST_CASE("what audit let pass is not among the denials", "[top]") {
  const StatsFile before = made_gateway();
  StatsFile after = made_gateway(kStart + 3 * kSecond);
  const auto set = [&](std::string_view labels, uint64_t value) {
    value_of(after, 0, "sallyport_verdicts_total", labels) = value;
  };
  set("action=allow,mode=enforce,protocol=tls", 8);
  set("action=deny,mode=enforce,protocol=tls", 2);
  const std::string without = shown(between(before, after), {}, 24, 80).text();
  CHECK(without.find("audit") == std::string::npos);
  set("action=deny,mode=audit,protocol=tls", 6000);
  const std::string with = shown(between(before, after), {}, 24, 80).text();
  CHECK(with.find("tls        4.00        8 1.00        2\n") != std::string::npos);
  CHECK(with.find("passed by audit alone    3.00 k   6000\n") != std::string::npos);
}

TEST_CASE("rules by hits", "[top]") {
  const TopModel model = hit_gateway();
  SECTION("those that were hit, beneath the verdicts") {
    const std::string text = shown(model, {}, 24, 80).text();
    CAPTURE(text);
    CHECK(text.find(R"(
                                          RULES BY HITS              /s    TOTAL
                                          packages/pypi          4.00 k     8000
                                          packages/conda          100     100200
                                          (no rule)              30.0         60
                                          ppppppppppppppppppppp~ 0.50          1
                                          hubs/models               0         14
)") != std::string::npos);
  }
  SECTION("all of them, on a page of their own") {
    TopView view;
    view.page = TopPage::rules;
    const std::string text = shown(model, view, 24, 80).text();
    CHECK(text.find(R"(
RULES BY HITS of all cores, by HITS/s, most first; < > and r sort

RULE                                           HITS/s        TOTAL  REVISION
packages/pypi                                  4.00 k         8000  3fa9c1d27b60
packages/conda                                  100         100200  3fa9c1d27b60
(no rule)                                      30.0             60  3fa9c1d27b60
ppppppppppppppppppppppppppppppppppppppppppppp~ 0.50              1  3fa9c1d27b60
hubs/models                                       0             14  3fa9c1d27b60
)") != std::string::npos);
    CHECK(text.find("lines 1-5 of 5\n") != std::string::npos);
  }
  SECTION("of one core, by another column, the other way round") {
    TopView view;
    for (const TopKey key :
         {TopKey::down, TopKey::enter, TopKey::rules, TopKey::sort_right, TopKey::reverse}) {
      view = after_key(view, key, model);
    }
    const std::string text = shown(model, view, 24, 80).text();
    CHECK(text.find("RULES BY HITS of core 2, by TOTAL, least first;") != std::string::npos);
    CHECK(text.find("hubs/models                                       0              7") <
          text.find("packages/pypi                                  2.00 k         4000"));
    CHECK(text.find("packages/conda                                 50.0          50100") !=
          std::string::npos);
  }
  SECTION("more than there is room for: a line says so, and the page scrolls") {
    TopModel many = model;
    for (int i = 0; i < 50; ++i) {
      many.total.rules.push_back({.name = fmt::format("p/{:02}", i), .hits = {.total = 1}});
    }
    const std::string text = shown(many, {}, 24, 80).text();
    CHECK(text.find("more: u lists rules") != std::string::npos);
    TopView view;
    view.page = TopPage::rules;
    view.scroll = 1000;
    CHECK(render_top(many, view, 24, 80).text().find("lines 40-55 of 55\n") != std::string::npos);
  }
}

TEST_CASE("one core on 120 columns", "[top]") {
  TopView view;
  view.page = TopPage::core;
  view.selected = 2;
  const Screen screen = shown(busy_gateway(), view, 40, 120);
  const std::string expected =
      R"(CORE 2  running, heartbeat 0 ms ago, busy  25.0%, policy 3fa9c1d27b60

QUANTILES     p50    p90    p99  p99.9   DROPS BY REASON            /s    TOTAL   OTHER COUNTS               /s    TOTAL
latency    23.8us 23.8us 23.8us 23.8us   inbound                 400        800   resets_sent            42.0         84
to verdict 2.02ms 80.7ms 80.7ms 80.7ms   denied                 5.00         10
burst pkts    -      -      -      -     retransmission_differs    0          0

PORTS      RX P/s RX b/s TX P/s TX b/s
inside     1.00 M  720 M    0      0
outside    2.00 M 22.4 G  900 k    0

VERDICTS  ALLOW/s  TOTAL DENY/s  TOTAL
tls        2.47 k   4940 31.0       62
dns           0        0    0        0

GAUGES                             NOW
flows pending                       24
flows allowed                     9422
held_packets                        60
)";
  CHECK(screen.text().find(expected) != std::string::npos);
}

TEST_CASE("what is not known yet is not shown as 0", "[top]") {
  TopModel model = busy_gateway();
  const TempDir folder;
  write_text(folder / "stats", stats_bytes(made_gateway(unix_now_ns() + 60 * kSecond)));
  model = compare(nullptr, TopSampler(folder / "stats").sample());
  const std::string text = shown(model, {}, 24, 80).text();
  CHECK(text.find("measuring ...") != std::string::npos);
  CHECK(
      text.find(
          "\n>   1    -      -       -    -      -      -      -      -      -       0     0\n") !=
      std::string::npos);
}

TEST_CASE("what is wrong stands in words", "[top]") {
  const StatsFile before = made_gateway();
  StatsFile after = made_gateway(kStart + 3 * kSecond);
  after.cores[1].heartbeat_unix_ns = kStart - 9 * kSecond;
  after.cores[1].revision = 1;
  const std::string stalled = shown(between(before, after), {}, 24, 80).text();
  CHECK(stalled.find("\n! core 2 is stalled: no heartbeat for 12.0 s (and 1 more: ? has all)\n") !=
        std::string::npos);
  CHECK(stalled.find("\n !  2 ") != std::string::npos);
  CHECK(stalled.find("policy differs by core") != std::string::npos);
  TopView help;
  help.page = TopPage::help;
  CHECK(shown(between(before, after), help, 24, 80).text().find("! the cores run different") !=
        std::string::npos);

  const TempDir folder;
  const TopModel missing = compare(nullptr, TopSampler(folder / "stats").sample());
  const std::string text = shown(missing, {}, 24, 80).text();
  CHECK(text.find("sallyport top  missing") == 0);
  CHECK(text.find("no data plane") != std::string::npos);
  CHECK(text.find("waiting for a data plane") != std::string::npos);
}

TEST_CASE("a terminal that is too small is told what is needed, in what room it has", "[top]") {
  CHECK(shown(busy_gateway(), {}, 23, 80)
            .text()
            .starts_with(
                "sallyport top needs 80 columns and 24 lines; this terminal has 80 and 23."));
  for (size_t height = 1; height < 26; ++height) {
    for (size_t width = 1; width < 82; width += 3) {
      const Screen screen = shown(busy_gateway(), {}, height, width);
      REQUIRE(screen.lines.size() == height);
      for (const std::string& line : screen.lines) REQUIRE(line.size() == width);
    }
  }
}

// Figures of every size: columns stay where they are, and nothing but printable ASCII is shown.
TEST_CASE("no figure moves a column", "[top]") {
  std::mt19937_64 random(1);
  for (int round = 0; round < 60; ++round) {
    const StatsFile before = made_gateway();
    StatsFile after = made_gateway(kStart + 3 * kSecond);
    for (auto& core : after.cores) {
      core.hits.revision = core.revision;
      core.hits.hits.resize(kStatsFileRules);
      for (uint64_t& value : core.hits.hits) value = random() >> (random() % 64);
      for (uint64_t& value : core.values) value = random() >> (24 + random() % 40);
      for (auto& recorded : core.recorded) recorded = {random() >> (28 + random() % 36), 1};
    }
    after.rules[0] = {.revision = after.cores[0].revision, .rules = 2, .names = {"p/a", "p/b"}};
    const TopModel model = between(before, after);
    for (const auto& [height, width] : {std::pair<size_t, size_t>{24, 80}, {40, 120}}) {
      for (const TopPage page : {TopPage::overview, TopPage::core, TopPage::rules}) {
        TopView view;
        view.page = page;
        const Screen screen = shown(model, view, height, width);
        for (const std::string& line : screen.lines) {
          REQUIRE(line.size() == width);
          REQUIRE(std::ranges::all_of(line, [](char c) { return c >= ' ' && c <= '~'; }));
        }
        if (page != TopPage::overview) continue;
        // Between two columns stands a space in each row.
        std::vector<size_t> edges{5, 12, 19, 25, 32, 39, 46, 53, 60, 67};
        for (const size_t edge :
             width == 80 ? std::vector<size_t>{73} : std::vector<size_t>{74, 81, 87, 93}) {
          edges.push_back(edge);
        }
        for (const size_t edge : edges) {
          for (const size_t row : {5, 6, 7}) REQUIRE(screen.lines[row][edge] == ' ');
        }
      }
    }
  }
}

TEST_CASE("keys: choose a core, sort, zoom and come back", "[top]") {
  const TopModel model = busy_gateway();
  const auto press = [&](TopView view, std::vector<TopKey> keys) {
    for (const TopKey key : keys) view = after_key(view, key, model);
    return view;
  };
  const auto first = [&](const TopView& view) {
    return model.cores[order_of(model, view)[0]].core;
  };
  using enum TopKey;
  CHECK(press({}, {down}).selected == 2);
  CHECK(press({}, {down, down, down}).selected == 2);
  CHECK(press({}, {down, up, up}).selected == 1);
  CHECK(press({}, {page_down}).selected == 2);
  CHECK(first({}) == 1);
  CHECK(first(press({}, {reverse})) == 2);
  for (int i = 1; i < static_cast<int>(TopSort::count_); ++i) {
    const TopView view = press({}, std::vector<TopKey>(static_cast<size_t>(i), sort_right));
    CHECK(view.sort == static_cast<TopSort>(i));
    CHECK_FALSE(to_string(view.sort).empty());
    if (view.sort != TopSort::busy) CHECK(first(view) == 2);  // both are as busy
    CHECK(first(press(view, {reverse})) == 1);
  }
  CHECK(press({}, {sort_left}).sort == TopSort::held);
  // The cursor stays with its core when the order changes.
  CHECK(press({}, {down, sort_right}).selected == 2);
  const TopView zoomed = press({}, {sort_right, enter});
  CHECK(zoomed.page == TopPage::core);
  CHECK(zoomed.selected == 2);
  CHECK(press(zoomed, {help}).page == TopPage::help);
  CHECK(press(zoomed, {help, help}).page == TopPage::core);
  CHECK(press(zoomed, {help, back}).page == TopPage::core);
  CHECK(press(zoomed, {back}).page == TopPage::overview);
  CHECK(press({}, {rules}).page == TopPage::rules);
  CHECK(press({}, {rules, back}).page == TopPage::overview);
  CHECK(press({}, {rules, rules}).page == TopPage::overview);
  CHECK(press(zoomed, {rules}).page == TopPage::rules);
  CHECK(press(zoomed, {rules, back}).page == TopPage::core);
  CHECK(press({}, {rules, help, back}).page == TopPage::rules);
  CHECK(press({}, {help, rules, back}).page == TopPage::overview);
  // Each table keeps its own order.
  CHECK(press({}, {rules, sort_right, reverse, back}).sort == TopSort::core);
  CHECK_FALSE(press({}, {rules, reverse}).reversed);
  CHECK(press({}, {rules, sort_left}).rule_sort == TopRuleSort::name);
  CHECK(press({}, {sort_right}).rule_sort == TopRuleSort::rate);
  CHECK(press(zoomed, {down, down, up}).scroll == 1);
  CHECK(press(zoomed, {up}).scroll == 0);
  CHECK(press({}, {pause}).paused);
  CHECK_FALSE(press({}, {pause, pause}).paused);
  CHECK(press({}, {quit}).quit);
  CHECK(press({}, {other}).page == TopPage::overview);
}

TEST_CASE("a long page scrolls to its end and no further", "[top]") {
  TopView view;
  view.page = TopPage::help;
  view.scroll = 1000;
  const TopModel model = busy_gateway();
  const std::string text = render_top(model, view, 24, 80).text();
  CHECK(view.scroll < 100);
  CHECK(text.find("docs/observability.md") != std::string::npos);
  CHECK(text.find("KEYS") == std::string::npos);
}

TEST_CASE("more cores than lines: the selected one is always shown", "[top]") {
  StatsFile file = made_gateway(kStart + 3 * kSecond);
  while (file.cores.size() < 64) {
    file.cores.push_back(file.cores.back());
    ++file.cores.back().core;
  }
  const TopModel model = between(file, file);
  for (uint32_t core = 1; core <= 64; ++core) {
    TopView view;
    view.selected = core;
    const std::string text = shown(model, view, 24, 80).text();
    CAPTURE(text);
    REQUIRE(text.find(fmt::format("\n> {:>3} ", core)) != std::string::npos);
    REQUIRE(text.find("\nTOTAL") != std::string::npos);
    REQUIRE(text.find("DROPS BY REASON") != std::string::npos);
  }
  const std::string printed = top_text_page(model);
  CHECK(printed.find("\n   64 ") != std::string::npos);
}
