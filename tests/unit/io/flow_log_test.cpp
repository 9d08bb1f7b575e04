// The writer between rings and sinks: every event is a line or stands in a gap.
#include "dataplane/io/flow_log.h"

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <map>
#include <thread>

#include "tests/support/eal.h"
#include "tests/unit/io/log_sinks.h"
#include "tests/unit/io/log_support.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

const LogOptions kNoRotation{.rotate_mb = 0, .rotate_minutes = 0};

FlowEvent event_of(uint64_t n, unsigned core) {
  FlowEvent event{};
  event.flow_id = n;
  event.core = core;
  event.timestamp_unix_ns = kNoon + n * 1000;
  return event;
}

/// Lines and gaps by core.
struct Books {
  std::map<unsigned, uint64_t> lines, missing;
  uint64_t sum(unsigned core) { return lines[core] + missing[core]; }

  explicit Books(const std::vector<nlohmann::json>& records) {
    for (const auto& record : records) {
      const unsigned core = record["core"];
      if (record.contains("gap")) {
        missing[core] += record["gap"]["events"].get<uint64_t>();
      } else {
        ++lines[core];
      }
    }
  }
};

constexpr uint64_t kMostOfABatch = 2000;  // of such events

uint64_t lines_in(const std::string& text) {
  return static_cast<uint64_t>(std::ranges::count(text, '\n'));
}

/// The lines that have their end.
std::vector<nlohmann::json> whole_records_of(const std::string& text) {
  return records_of(text.substr(0, text.rfind('\n') + 1));
}

}  // namespace

TEST_CASE("the writer's heart beats while it turns, and no longer", "[log]") {
  start_eal();
  const LogFolder folder;
  FlowEventRing ring("log_beat", 64, -1);
  const PolicyNames names;
  std::atomic<uint64_t> heartbeat{0};
  auto log = FlowLog::start(folder / "flows", kNoRotation, {{&ring, 1}}, names).value();
  log->watch([&](uint64_t turned_unix_ns) { heartbeat = turned_unix_ns; });
  const auto beats_on = [&](uint64_t from) {
    for (int i = 0; i < 100 && heartbeat <= from; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return heartbeat > from;
  };
  CHECK(beats_on(0));
  CHECK(beats_on(heartbeat));
  log.reset();
  const uint64_t last = heartbeat;
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  CHECK(heartbeat == last);
}

TEST_CASE("what waits for the writer is told", "[log]") {
  start_eal();
  FlowEventRing ring("log_fill", 64, -1);
  CHECK(ring.capacity() == 63);
  CHECK(ring.lines_waiting() == 0);
  REQUIRE(ring.push(event_of(1, 1)));
  const unsigned lines = ring.lines_waiting();
  CHECK(lines > 0);
  REQUIRE(ring.push(event_of(2, 1)));
  CHECK(ring.lines_waiting() == 2 * lines);
}

TEST_CASE("what a full ring lost stands in the log, with its times", "[log]") {
  start_eal();
  const LogFolder folder;
  FlowEventRing ring("log_full", 64, -1);
  uint64_t taken = 0;
  while (ring.push(event_of(taken, 9))) ++taken;
  for (uint64_t i = 1; i < 5; ++i) CHECK_FALSE(ring.push(event_of(taken + i, 9)));
  const PolicyNames names;
  FlowLog::start(folder / "flows", kNoRotation, {{&ring, 9}}, names).value().reset();
  const auto records = records_of(text_of(folder / "flows"));
  REQUIRE(gaps_in(records).size() == 1);
  const nlohmann::json gap = gaps_in(records)[0];
  CHECK(gap["event_type"] == "gap");
  CHECK(gap["core"] == 9);
  const auto micros = [](uint64_t n) {
    return "2023-11-15T12:00:00.0000" + std::to_string(n) + "+0000";
  };
  CHECK(gap["gap"] == nlohmann::json{{"events", 5},
                                     {"cause", "ring_full"},
                                     {"start", micros(taken)},
                                     {"end", micros(taken + 4)}});
  CHECK(records.size() == taken + 1);
}

TEST_CASE("however fast the workers are, lines and gaps make up what they had to say", "[log]") {
  start_eal();
  const LogFolder folder;
  static FlowEventRing first("log_fast_0", 256, -1);
  static FlowEventRing second("log_fast_1", 256, -1);
  const PolicyNames names;
  constexpr uint64_t kEvents = 200'000;
  {
    auto log = FlowLog::start(folder / "flows", kNoRotation, {{&first, 3}, {&second, 5}}, names);
    REQUIRE(log);
    const auto work = [](FlowEventRing& ring, unsigned core) {
      for (uint64_t n = 0; n < kEvents; ++n) {
        ring.push(event_of(n, core));
        if (n % 1000 == 0) std::this_thread::sleep_for(std::chrono::microseconds(50));
      }
    };
    std::jthread one(work, std::ref(first), 3);
    std::jthread two(work, std::ref(second), 5);
  }
  Books books(records_of(text_of(folder / "flows")));
  for (const unsigned core : {3U, 5U}) {
    CAPTURE(core);
    CHECK(books.lines[core] > 0);
    CHECK(books.missing[core] > 0);
    CHECK(books.lines[core] + books.missing[core] == kEvents);
  }
}

TEST_CASE("a dead file costs its lines alone", "[log]") {
  start_eal();
  FlowEventRing ring("log_dead", 1 << 12, -1);
  const PolicyNames names;
  auto log = FlowLog::start("/dev/full", kNoRotation, {{&ring, 9}}, names);
  REQUIRE(log);
  for (uint64_t n = 0; n < 1000; ++n) REQUIRE(ring.push(event_of(n, 9)));
  CHECK(soon([&] { return (*log)->losses().of(0, LogLoss::write_failed) == 1000; }));
}

TEST_CASE("a file that hangs costs its lines alone, is seen, and is left behind at the end",
          "[log]") {
  start_eal();
  const LogFolder folder;
  Fifo fifo(folder / "flows");  // which hangs when it is full
  Collector collector(folder / "collector");
  static FlowEventRing ring("log_stuck", 1 << 12, -1);
  const PolicyNames names;
  LogOptions options = kNoRotation;
  options.socket = folder / "collector";
  std::atomic<uint64_t> turned{0};
  auto log = FlowLog::start(folder / "flows", options, {{&ring, 9}}, names).value();
  log->watch([&](uint64_t turned_unix_ns) { turned = turned_unix_ns; });
  // Until it hangs, then until there is no more room for what it does not take.
  uint64_t pushed = 0;
  const auto lost = [&] { return log->losses().of(0, LogLoss::sink_slow); };
  bool collected = true;
  while (lost() == 0 && pushed < 1'000'000 && collected) {
    for (int i = 0; i < 1000; ++i) pushed += ring.push(event_of(pushed, 9)) ? 1 : 0;
    collected = soon([&] {
      collector.read();
      return lines_in(collector.text) == pushed;
    });
  }
  CHECK(collected);
  CHECK(lost() > 0);
  CHECK(log->losses().of(0, LogLoss::sink_gone) == 0);
  const uint64_t hangs_since = turned;
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  CHECK(turned == hangs_since);

  SECTION("it ends within bounds, and what waited is counted") {
    const auto begun = std::chrono::steady_clock::now();
    CHECK_FALSE(log->end());
    CHECK(std::chrono::steady_clock::now() - begun < std::chrono::seconds(5));
    fifo.read();
    Books books(whole_records_of(fifo.text));
    CHECK(books.lines[9] + lost() >= pushed);
    CHECK(books.lines[9] + lost() <= pushed + kMostOfABatch);  // what it had in hand may be there
  }
  SECTION("read at last, it has lines and gaps for all") {
    CHECK(soon([&] {
      fifo.read();
      return fifo.text.ends_with('\n') && fifo.text.find("\"gap\"") != std::string::npos &&
             Books(records_of(fifo.text)).sum(9) == pushed;
    }));
    CHECK(Books(records_of(fifo.text)).missing[9] == lost());
    CHECK(turned > hangs_since);
    CHECK(log->end());
  }
}

TEST_CASE("who wants no flow without a record has events wait in the ring for a file that hangs",
          "[log]") {
  start_eal();
  const LogFolder folder;
  Fifo fifo(folder / "flows");
  static FlowEventRing ring("log_held_back", 1 << 12, -1);
  const PolicyNames names;
  LogOptions options = kNoRotation;
  options.holds_back = true;
  auto log = FlowLog::start(folder / "flows", options, {{&ring, 9}}, names).value();
  uint64_t pushed = 0;
  const auto is_full = [&] {
    while (ring.push(event_of(pushed, 9))) ++pushed;
    std::this_thread::sleep_for(std::chrono::milliseconds(200));  // ten turns of the log
    return ring.lines_waiting() + FlowEventRing::kMostLines > ring.capacity();
  };
  CHECK(soon(is_full));
  CHECK(log->losses().of(0, LogLoss::sink_slow) == 0);
  CHECK(soon([&] {
    fifo.read();
    return ring.lines_waiting() == 0 && lines_in(fifo.text) > pushed;  // and the gaps of the ring
  }));
  CHECK(log->end());
  CHECK(log->losses().of(0, LogLoss::sink_slow) == 0);
}

TEST_CASE("reopened between two lines", "[log]") {
  start_eal();
  const LogFolder folder;
  FlowEventRing ring("log_reopen", 1 << 12, -1);
  const PolicyNames names;
  auto log = FlowLog::start(folder / "flows", kNoRotation, {{&ring, 9}}, names);
  REQUIRE(log);
  ring.push(event_of(1, 9));
  REQUIRE(soon([&] { return !text_of(folder / "flows").empty(); }));
  std::filesystem::rename(folder / "flows", folder / "flows.1");
  (*log)->reopen();
  REQUIRE(soon([&] { return std::filesystem::exists(folder / "flows"); }));
  ring.push(event_of(2, 9));
  log->reset();
  CHECK(records_of(text_of(folder / "flows.1")).size() == 1);
  CHECK(records_of(text_of(folder / "flows")).size() == 1);
}

TEST_CASE("a log that cannot be opened says where and why", "[log]") {
  start_eal();
  const LogFolder folder;
  const PolicyNames names;
  const auto said = [&](const std::string& path, const std::string& socket) {
    LogOptions options;
    options.socket = socket;
    const auto log = FlowLog::start(path, options, {}, names);
    REQUIRE_FALSE(log);
    return log.error();
  };
  CHECK(said(folder.path, "") == "flow log " + folder.path.string() +
                                     ": cannot open: Is a directory (paths.flow_log in the "
                                     "configuration)");
  const std::string far = "/" + std::string(120, 's');
  CHECK(said(folder / "flows", far) ==
        "flow log " + far + ": the path is too long for a socket (flow_log.socket)");
}
