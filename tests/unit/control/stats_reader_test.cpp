#include "control/common/stats_reader.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <random>

#include "tests/unit/control/stats_file.h"
#include "tests/unit/control/support.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

StatsFile sample() {
  return {.pid = 42,
          .started_unix_ns = 7,
          .ended = false,
          .counters = {{"sallyport_drops_total", "reason=bad_l4_checksum"},
                       {"sallyport_flows", "", StatsKind::gauge}},
          .cores = {{1, 100, 0xabcdef123456, 3, {5, 6}}, {9, 200, 0xabcdef123456, 3, {7, 8}}}};
}

template <typename Value>
std::string with(std::string bytes, size_t offset, Value value) {
  std::memcpy(bytes.data() + offset, &value, sizeof value);
  return bytes;
}

/// A file in memory, to try thousands of contents quickly.
class MemoryFile {
 public:
  MemoryFile() : fd_(::memfd_create("stats", MFD_CLOEXEC)) {}

  /// The fault that reading `bytes` ends in, or -1 for none.
  int fault_of(std::string_view bytes) const {
    REQUIRE(::ftruncate(fd_.get(), static_cast<off_t>(bytes.size())) == 0);
    REQUIRE(::pwrite(fd_.get(), bytes.data(), bytes.size(), 0) ==
            static_cast<ssize_t>(bytes.size()));
    const auto reader = StatsReader::open("/proc/self/fd/" + std::to_string(fd_.get()));
    if (!reader) return static_cast<int>(reader.error().fault);
    const auto snapshot = reader->snapshot();
    return snapshot ? -1 : static_cast<int>(snapshot.error().fault);
  }

 private:
  UniqueFd fd_;
};

}  // namespace

TEST_CASE("a snapshot has every counter of every core") {
  const TempDir folder;
  write_text(folder / "stats", stats_bytes(sample()));
  const auto reader = StatsReader::open(folder / "stats");
  REQUIRE(reader);
  const auto snapshot = reader->snapshot();
  REQUIRE(snapshot);
  CHECK(snapshot->pid == 42);
  CHECK(snapshot->started_unix_ns == 7);
  CHECK_FALSE(snapshot->ended);
  REQUIRE(snapshot->counters.size() == 2);
  CHECK(snapshot->counters[0].family == "sallyport_drops_total");
  CHECK(label_value(snapshot->counters[0].labels, "reason") == "bad_l4_checksum");
  CHECK(snapshot->counters[1].kind == StatsKind::gauge);
  REQUIRE(snapshot->cores.size() == 2);
  CHECK(snapshot->cores[1].core == 9);
  CHECK(snapshot->cores[1].heartbeat_unix_ns == 200);
  CHECK(snapshot->cores[1].values == std::vector<uint64_t>{7, 8});
}

TEST_CASE("a segment that cannot be right is refused by name") {
  const MemoryFile file;
  const std::string good = stats_bytes(sample());
  CHECK(file.fault_of(good) == -1);
  struct Row {
    const char* what;
    std::string bytes;
    StatsFault fault;
  };
  const auto u32 = [&](size_t offset, uint32_t value) { return with(good, offset, value); };
  const std::vector<Row> rows{
      {"empty", "", StatsFault::too_short},
      {"magic", with(good, 0, 'X'), StatsFault::bad_magic},
      {"version", u32(8, kStatsVersion + 1), StatsFault::unsupported_version},
      {"counters", u32(12, 1000), StatsFault::bad_layout},
      {"counters, all bits", u32(12, UINT32_MAX), StatsFault::bad_layout},
      {"histograms", u32(44, 200), StatsFault::bad_layout},
      {"histograms, all bits", u32(44, UINT32_MAX), StatsFault::bad_layout},
      {"one more core", u32(16, 3), StatsFault::bad_layout},
      {"cores, all bits", u32(16, UINT32_MAX), StatsFault::bad_layout},
      {"offset in the names", u32(20, sizeof(StatsHeader)), StatsFault::bad_layout},
      {"offset not aligned", u32(20, 4095), StatsFault::bad_layout},
      {"offset, all bits", u32(20, UINT32_MAX & ~7U), StatsFault::bad_layout},
      {"rules", u32(80, kStatsFileRules + 20), StatsFault::bad_layout},
      {"rules, all bits", u32(80, UINT32_MAX), StatsFault::bad_layout},
      {"rule tables in the names", u32(84, sizeof(StatsHeader)), StatsFault::bad_layout},
      {"rule tables not aligned", u32(84, 1001), StatsFault::bad_layout},
      {"rule tables in the cores", u32(84, 4096), StatsFault::bad_layout},
      {"rule tables, all bits", u32(84, UINT32_MAX & ~7U), StatsFault::bad_layout},
      {"stride too small", u32(24, 40), StatsFault::bad_layout},
      {"stride, all bits", u32(24, UINT32_MAX & ~7U), StatsFault::bad_layout},
  };
  for (const Row& row : rows) {
    INFO(row.what);
    CHECK(file.fault_of(row.bytes) == static_cast<int>(row.fault));
  }
}

TEST_CASE("no prefix of a segment and no garbage crashes the reader") {
  const MemoryFile file;
  const std::string good = stats_bytes(sample());
  for (size_t size = 0; size < good.size(); ++size) {
    if (file.fault_of(good.substr(0, size)) == -1) FAIL("accepted at " << size << " bytes");
  }
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes = good;
    // Behind the magic and version, so that the layout checks see them.
    for (int i = 0; i < 4; ++i)
      bytes[12 + random() % (sizeof(StatsHeader) - 12)] = static_cast<char>(random());
    static_cast<void>(file.fault_of(bytes));
  }
}

TEST_CASE("hits and names of rules are read as of one moment, or not at all") {
  StatsFile file = sample();
  file.rules[0] = {.revision = 7, .rules = 2, .names = {"a/one", "a/two"}};
  file.rules[1] = {.revision = 8, .rules = 900, .names = {"b/\x1b[2J", "", "", "", "", "b/last"}};
  file.cores[0].hits = {
      .sequence = 6, .revision = 8, .hits = {1, 2, 3, 4, 5, 6}, .others = 70, .no_rule = 80};
  file.cores[1].hits = {.sequence = 7, .revision = 7, .hits = {9}};
  const TempDir folder;
  write_text(folder / "stats", stats_bytes(file));
  StatsSnapshot seen = read_stats(folder / "stats").value();
  REQUIRE(seen.rules.size() == 2);
  CHECK(seen.rules[0].names == std::vector<std::string>{"a/one", "a/two"});
  CHECK(seen.rules[1].revision == 8);
  CHECK(seen.rules[1].rules == 900);
  CHECK(seen.rules[1].names == std::vector<std::string>{"b/?[2J", "", "", "", "", "b/last"});
  const StatsRuleHits& first = seen.cores[0].rules;
  CHECK(first.whole);
  CHECK(first.sequence == 6);
  CHECK(first.revision == 8);
  CHECK(first.hits == std::vector<uint64_t>{1, 2, 3, 4, 5, 6});
  CHECK(first.others == 70);
  CHECK(first.no_rule == 80);
  CHECK_FALSE(seen.cores[1].rules.whole);  // a writer is in the midst of it
  file.rules[1].sequence = 3;
  write_text(folder / "stats", stats_bytes(file));
  seen = read_stats(folder / "stats").value();
  REQUIRE(seen.rules.size() == 1);
  CHECK(seen.rules[0].revision == 7);
}

TEST_CASE("paths that are no segment are told apart") {
  const TempDir folder;
  CHECK(StatsReader::open(folder / "none").error().fault == StatsFault::missing);
  CHECK(StatsReader::open(folder.path()).error().fault == StatsFault::not_a_file);
  REQUIRE(::mkfifo((folder / "fifo").c_str(), 0600) == 0);
  CHECK(StatsReader::open(folder / "fifo").error().fault == StatsFault::not_a_file);
}

TEST_CASE("a replaced or shrunk file is noticed") {
  const TempDir folder;
  const auto path = folder / "stats";
  write_text(path, stats_bytes(sample()));
  const auto reader = StatsReader::open(path);
  REQUIRE(reader);
  CHECK_FALSE(reader->replaced());
  write_text(folder / "new", stats_bytes(sample()));
  std::filesystem::rename(folder / "new", path);
  CHECK(reader->replaced());
  CHECK(reader->snapshot());  // The old one is still mapped.
  const auto second = StatsReader::open(path);
  REQUIRE(second);
  std::filesystem::resize_file(path, 100);
  REQUIRE_FALSE(second->snapshot());
  CHECK(second->snapshot().error().fault == StatsFault::shrunk);
}

TEST_CASE("text from the segment cannot move the cursor") {
  StatsFile file = sample();
  file.counters[0].labels = "reason=\x1b[2J";
  const TempDir folder;
  write_text(folder / "stats", stats_bytes(file));
  CHECK(StatsReader::open(folder / "stats")->snapshot()->counters[0].labels == "reason=?[2J");
}
