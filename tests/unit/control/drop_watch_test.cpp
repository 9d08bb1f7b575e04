// The drops of each second, over restarts of the data plane.
#include "control/cli/drop_watch.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <thread>

#include "control/common/json_text.h"
#include "tests/unit/control/stats_file.h"
#include "tests/unit/control/support.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

using Event = DropChange::Event;
using Look = std::expected<StatsSnapshot, StatsError>;

/// Two cores; each value is of (malformed on 1, malformed on 2, denied on 1, denied on 2).
StatsSnapshot counts(std::array<uint64_t, 4> values, int32_t pid = 7) {
  StatsSnapshot out;
  out.pid = pid;
  out.started_unix_ns = 1000;
  out.counters = {{"sallyport_drops_total", "reason=malformed", "Bad.", StatsKind::counter},
                  {"sallyport_packets_total", "port=inside", "", StatsKind::counter},
                  {"sallyport_drops_total", "reason=denied", "No.", StatsKind::counter}};
  out.cores = {{.core = 1, .values = {values[0], 99, values[2]}},
               {.core = 2, .values = {values[1], 99, values[3]}}};
  return out;
}

/// "malformed 1 2, denied 0 5".
std::string say(const std::vector<DropRow>& rows) {
  std::string out;
  for (const DropRow& row : rows) {
    out += (out.empty() ? "" : ", ") + row.reason;
    uint64_t total = 0;
    for (const uint64_t one : row.by_core) {
      out += " " + std::to_string(one);
      total += one;
    }
    CHECK(row.total == total);
  }
  return out;
}

const Look kGone = std::unexpected(StatsError{});

}  // namespace

TEST_CASE("drops in all, and only those that occurred") {
  CHECK(say(drop_rows(counts({1, 2, 0, 0}), false)) == "malformed 1 2");
  CHECK(say(drop_rows(counts({1, 2, 0, 0}), true)) == "malformed 1 2, denied 0 0");
  CHECK(drop_rows(counts({1, 2, 0, 0}), false)[0].help == "Bad.");
}

TEST_CASE("drops between two looks") {
  DropWatch watch;
  CHECK(say(watch.look(counts({10, 20, 0, 5})).rows).empty());  // Not of this second.
  CHECK(say(watch.look(counts({11, 20, 0, 9})).rows) == "malformed 1 0, denied 0 4");
  CHECK(say(watch.look(counts({11, 20, 0, 9})).rows).empty());
  CHECK(say(watch.look(counts({11, 23, 0, 9})).rows) == "malformed 0 3");
}

TEST_CASE("another data plane counts from zero, and that is said once") {
  DropWatch watch;
  CHECK(watch.look(counts({10, 20, 0, 5})).event == Event::none);
  const DropChange other = watch.look(counts({2, 30, 0, 0}, 8));
  CHECK(other.event == Event::restarted);
  CHECK(say(other.rows) == "malformed 2 30");
  CHECK(watch.look(counts({2, 30, 0, 0}, 8)).event == Event::none);
  StatsSnapshot same_pid = counts({1, 0, 0, 0}, 8);
  same_pid.started_unix_ns = 2000;
  CHECK(watch.look(same_pid).event == Event::restarted);
}

TEST_CASE("a data plane that stops, a segment that goes, and what comes after") {
  DropWatch watch;
  watch.look(counts({10, 0, 0, 0}));
  StatsSnapshot last = counts({12, 0, 0, 0});
  last.ended = true;
  const DropChange stopped = watch.look(last);
  CHECK(stopped.event == Event::stopped);
  CHECK(say(stopped.rows) == "malformed 2 0");
  CHECK(watch.look(last).event == Event::none);
  CHECK(watch.look(kGone).event == Event::gone);
  CHECK(watch.look(kGone).event == Event::none);
  const DropChange back = watch.look(counts({3, 0, 0, 0}, 9));
  CHECK(back.event == Event::restarted);
  CHECK(say(back.rows) == "malformed 3 0");
}

TEST_CASE("a segment that is not there yet is none that has gone") {
  DropWatch watch;
  CHECK(watch.look(kGone).event == Event::none);
  CHECK(watch.look(counts({3, 0, 0, 0})).event == Event::none);
  CHECK(say(watch.look(counts({4, 0, 0, 0})).rows) == "malformed 1 0");
}

namespace {

/// The segment of one data plane, in place or as a new file under the same name.
struct Segment {
  TempDir folder;
  std::string path = folder / "stats";

  static std::string bytes(int32_t pid, uint64_t drops) {
    StatsFile file{.pid = pid, .started_unix_ns = static_cast<uint64_t>(pid)};
    file.counters = {{"sallyport_drops_total", "reason=malformed"}};
    file.cores = {{1, 0, 0, 0, {drops}}};
    return stats_bytes(file);
  }
  void count(int32_t pid, uint64_t drops) const {
    const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    const std::string text = bytes(pid, drops);
    REQUIRE(::pwrite(fd.get(), text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
  }
  void replace(int32_t pid, uint64_t drops) const {
    write_text(path + ".new", bytes(pid, drops));
    std::filesystem::rename(path + ".new", path);
  }
};

}  // namespace

TEST_CASE("drops --follow: totals, then rates, through a restart") {
  const Segment segment;
  segment.replace(7, 100);
  const std::string out = segment.folder / "out";
  const Process follower({"/bin/sh", "-c", "exec \"$@\" >\"$0\"", out, program("sallyport"),
                          "drops", "--stats", segment.path, "--follow", "--format", "text"},
                         segment.folder / "err");
  const auto shows = [&out](const char* what) {
    return eventually([&] { return read_text(out).contains(what); });
  };
  REQUIRE(shows("malformed     100    100\n"));
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  segment.count(7, 1'000'100);
  CHECK(shows("\nUTC      REASON                     CORE 1/s    TOTAL/s\n"));
  CHECK(shows(" malformed  "));
  segment.replace(8, 5);
  CHECK(shows("-- the data plane was restarted, pid 8: its counts begin at zero\n"));
  std::filesystem::remove(segment.path);
  CHECK(shows("-- the stats segment cannot be read: waiting for a data plane\n"));
}

TEST_CASE("drops --follow into a file: one object a second") {
  const Segment segment;
  segment.replace(7, 100);
  const std::string out = segment.folder / "out";
  const Process follower({"/bin/sh", "-c", "exec \"$@\" >\"$0\"", out, program("sallyport"),
                          "drops", "--stats", segment.path, "--follow"},
                         segment.folder / "err");
  const auto lines = [&out] { return std::ranges::count(read_text(out), '\n'); };
  REQUIRE(eventually([&] { return lines() > 0; }));
  segment.replace(8, 5);
  REQUIRE(eventually([&] { return read_text(out).contains("\"event\""); }));
  const std::string text = read_text(out);
  const size_t at = text.rfind('\n', text.find("\"event\"")) + 1;
  const Json json = Json::parse(text.substr(at, text.find('\n', at) - at));
  CHECK(json["event"] == "restarted");
  CHECK(json["drops"][0]["reason"] == "malformed");
  CHECK(json["drops"][0]["cores"]["1"] == 5);
  CHECK(json["drops"][0]["total"] == 5);
}
