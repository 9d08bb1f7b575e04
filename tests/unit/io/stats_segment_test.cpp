// What the data plane writes is what control's reader reads.
#include "dataplane/io/stats_segment.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <set>
#include <thread>

#include "control/common/stats_reader.h"
#include "control/common/system.h"
#include "dataplane/inspect/fault_info.h"
#include "tests/support/policy_builder.h"

using namespace sallyport;
using namespace sallyport::test;
namespace fs = std::filesystem;

namespace {

/// A folder that goes with the test.
struct Folder {
  fs::path path;
  Folder() {
    std::string pattern = (fs::temp_directory_path() / "sallyport-stats-XXXXXX").string();
    REQUIRE(mkdtemp(pattern.data()) != nullptr);
    path = pattern;
  }
  ~Folder() { fs::remove_all(path); }
};

StatsSnapshot read(const fs::path& path) {
  const auto reader = StatsReader::open(path);
  if (!reader) FAIL(reader.error().text);
  auto snapshot = reader->snapshot();
  REQUIRE(snapshot);
  return *snapshot;
}

constexpr std::array<unsigned, 3> kCores{4, 2, 9};

std::string policy_of(const std::vector<std::string>& rules) {
  std::string text = "  egress:\n";
  for (const std::string& rule : rules) {
    text += "    - {name: " + rule + ", action: Allow, to: {domainNames: [" + rule + ".test]}}\n";
  }
  return policy_text(text);
}

}  // namespace

TEST_CASE("the reader finds every counter, in the order of its table", "[stats]") {
  const Folder folder;
  const auto segment = StatsSegment::create(folder.path / "stats", kCores);
  REQUIRE(segment);
  const StatsSnapshot seen = read(folder.path / "stats");
  CHECK(seen.pid == getpid());
  CHECK_FALSE(seen.ended);
  CHECK(unix_now_ns() - seen.started_unix_ns < 60'000'000'000);
  REQUIRE(seen.counters.size() == kAllCounters);

  size_t at = 0;
  for (const CounterInfo& counter : kCounterInfo) {
    CHECK(seen.counters[at].family == counter.family);
    CHECK(seen.counters[at].labels == counter.labels);
    CHECK(seen.counters[at].help == counter.help);
    CHECK(seen.counters[at].kind == counter.kind);
    CHECK(seen.counters[at].entry == counter.entry);
    CHECK(seen.counters[at].books == counter.books);
    CHECK(counter.entry.empty() == (counter.books == BookSides{}));
    ++at;
  }
  const auto check_drops = [&](const auto& table) {
    for (const auto& row : table) {
      for (const std::string towards : {"outside", "inside"}) {
        CHECK(seen.counters[at].family == "sallyport_drops_total");
        CHECK(seen.counters[at].labels ==
              "reason=" + std::string(row.name) + ",towards=" + towards);
        CHECK(seen.counters[at].help == row.help);
        CHECK(seen.counters[at].entry == "dropped: " + std::string(row.name));
        CHECK(seen.counters[at].books == (towards == "outside" ? kOutOfOutbound : kOutOfInbound));
        ++at;
      }
    }
  };
  const auto check_table = [&](const auto& table, const std::string& family,
                               const std::string& label) {
    for (const auto& row : table) {
      CHECK(seen.counters[at].family == family);
      CHECK(seen.counters[at].labels == label + "=" + std::string(row.name));
      CHECK(seen.counters[at].help == row.help);
      CHECK(seen.counters[at].kind == StatsKind::counter);
      ++at;
    }
  };
  check_drops(kDropReasonInfo);
  check_drops(std::span(kDecodeFaultInfo).subspan(1));
  check_table(std::span(kInspectFaultInfo).subspan(1), "sallyport_inspection_faults_total",
              "fault");
  check_table(kExceptionInfo, "sallyport_exceptions_total", "condition");
  for (const ExceptionInfo& info : kExceptionInfo) {
    CHECK(seen.counters[at].family == "sallyport_exception_fails_open");
    CHECK(seen.counters[at].labels == "condition=" + std::string(info.name));
    CHECK(seen.counters[at].kind == StatsKind::gauge);
    ++at;
  }
  CHECK(at == kAllCounters);
  REQUIRE(seen.histograms.size() == kHistograms);
  for (const HistogramInfo& info : kHistogramInfo) {
    const StatsHistogram& histogram = seen.histograms[static_cast<size_t>(info.id)];
    CHECK(histogram.family == info.family);
    CHECK(histogram.help == info.help);
    CHECK(histogram.unit == info.unit);
  }
}

TEST_CASE("each measurement lands under its own histogram and core", "[stats]") {
  const Folder folder;
  const auto segment = StatsSegment::create(folder.path / "stats", kCores);
  REQUIRE(segment);
  for (size_t core = 0; core < kCores.size(); ++core) {
    for (const HistogramInfo& info : kHistogramInfo) {
      const uint64_t value = 1000 * core + static_cast<uint64_t>(info.id);
      (*segment)->counters(core).record(info.id, value, core + 1);
    }
  }
  const StatsSnapshot seen = read(folder.path / "stats");
  for (size_t core = 0; core < kCores.size(); ++core) {
    REQUIRE(seen.cores[core].histograms.size() == kHistograms);
    for (size_t i = 0; i < kHistograms; ++i) {
      const StatsHistogramValues& values = seen.cores[core].histograms[i];
      CAPTURE(core, i);
      CHECK(values.sum == (1000 * core + i) * (core + 1));
      REQUIRE(values.counts.size() == kHistogramBuckets);
      CHECK(values.counts[bucket_of(1000 * core + i)] == core + 1);
      CHECK(std::accumulate(values.counts.begin(), values.counts.end(), uint64_t{0}) == core + 1);
    }
    for (const uint64_t counter : seen.cores[core].values) CHECK(counter == 0);
  }
}

TEST_CASE("hits of a rule land under its name, core and policy", "[stats]") {
  const Folder folder;
  const auto segment = StatsSegment::create(folder.path / "stats", kCores);
  REQUIRE(segment);
  CHECK(read(folder.path / "stats").rules.empty());
  const auto a = load_table(policy_of({"one", "two"}));
  const auto b = load_table(policy_of({"two", "three", "one"}));
  const auto c = load_table(policy_of({"four"}));
  const auto names_of = [&](uint64_t revision) {
    for (const StatsRules& rules : read(folder.path / "stats").rules) {
      if (rules.revision == revision) return rules.names;
    }
    return std::vector<std::string>{};
  };
  using Names = std::vector<std::string>;

  (*segment)->name_rules(*a);
  (*segment)->name_rules(*a);  // a new feed
  CHECK(names_of(a->revision()) == Names{"p/one", "p/two"});
  RuleHits hits = (*segment)->counters(1).rule_hits();
  hits.begin(a->revision());
  for (const uint32_t rule : {0U, 1U, 1U, kRulesCounted - 1, kRulesCounted, 1'000'000U, kNoRule}) {
    hits.add(rule);
  }
  StatsRuleHits seen = read(folder.path / "stats").cores[1].rules;
  CHECK(seen.whole);
  CHECK(seen.revision == a->revision());
  REQUIRE(seen.hits.size() == kRulesCounted);
  CHECK(seen.hits[0] == 1);
  CHECK(seen.hits[1] == 2);
  CHECK(seen.hits[kRulesCounted - 1] == 1);
  CHECK(seen.others == 2);
  CHECK(seen.no_rule == 1);
  CHECK(std::accumulate(seen.hits.begin(), seen.hits.end(), uint64_t{0}) == 4);
  for (const size_t other : {0, 2}) {
    const StatsRuleHits none = read(folder.path / "stats").cores[other].rules;
    CHECK(none.no_rule + none.others + none.hits[0] == 0);
  }

  // The names of what the core still runs stay until the push after the next.
  (*segment)->name_rules(*b);
  CHECK(names_of(a->revision()) == Names{"p/one", "p/two"});
  CHECK(names_of(b->revision()) == Names{"p/two", "p/three", "p/one"});
  (*segment)->name_rules(*a);  // it is put back
  (*segment)->name_rules(*c);
  CHECK(names_of(a->revision()) == Names{"p/one", "p/two"});
  CHECK(names_of(b->revision()).empty());
  CHECK(names_of(c->revision()) == Names{"p/four"});

  const uint64_t sequence = seen.sequence;
  hits.begin(c->revision());
  seen = read(folder.path / "stats").cores[1].rules;
  CHECK(seen.sequence > sequence);
  CHECK(seen.revision == c->revision());
  CHECK(std::ranges::count(seen.hits, 0) == kRulesCounted);
  CHECK(seen.others + seen.no_rule == 0);
}

// Names that tell which table they are of: a reader that mixed two would see both.
TEST_CASE("a reader never sees two policies in one, however fast they change", "[stats]") {
  const Folder folder;
  const auto segment = StatsSegment::create(folder.path / "stats", kCores);
  REQUIRE(segment);
  const std::array policies{load_table(policy_of({"a0", "a1", "a2"})),
                            load_table(policy_of({"b0", "b1", "b2"})),
                            load_table(policy_of({"c0", "c1", "c2"}))};
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    RuleHits hits = (*segment)->counters(0).rule_hits();
    for (size_t i = 0; !stop; i = (i + 1) % policies.size()) {
      (*segment)->name_rules(*policies[i]);
      hits.begin(policies[i]->revision());
      for (uint32_t n = 0; n < 3; ++n) hits.add(static_cast<uint32_t>(i));
      // Often enough that most readings meet a change, and now and then one does not.
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
  });
  const auto reader = StatsReader::open(folder.path / "stats");
  size_t whole = 0;
  size_t named = 0;
  for (int round = 0; round < 200; ++round) {
    const auto seen = reader->snapshot();
    for (const StatsRules& rules : seen->rules) {
      ++named;
      if (rules.names.size() != 3) FAIL("names of half a policy");
      const auto which = static_cast<size_t>(rules.names[0][2] - 'a');
      if (which > 2 || rules.revision != policies[which]->revision() ||
          rules.names[1][2] != rules.names[0][2] || rules.names[2][2] != rules.names[0][2]) {
        FAIL("names of two policies: " << rules.names[0] << ' ' << rules.names[2]);
      }
    }
    const StatsRuleHits& hits = seen->cores[0].rules;
    if (!hits.whole || hits.revision == 0) continue;
    ++whole;
    for (size_t i = 0; i < policies.size(); ++i) {
      if (hits.hits[i] != 0 && hits.revision != policies[i]->revision()) {
        FAIL("hits of another policy");
      }
    }
  }
  stop = true;
  writer.join();
  CHECK(whole > 0);
  CHECK(named > 0);
}

TEST_CASE("no name is cut, doubled or without its help", "[stats]") {
  const Folder folder;
  const auto segment = StatsSegment::create(folder.path / "stats", kCores);
  REQUIRE(segment);
  std::set<std::pair<std::string, std::string>> names;
  std::set<std::string> families;
  for (const StatsCounter& counter : read(folder.path / "stats").counters) {
    CAPTURE(counter.family, counter.labels);
    CHECK(counter.family.starts_with("sallyport_"));
    // One byte of each field ends the text.
    CHECK(counter.family.size() < sizeof(StatsCounterInfo::family) - 1);
    CHECK(counter.labels.size() < sizeof(StatsCounterInfo::labels) - 1);
    CHECK(counter.help.size() < sizeof(StatsCounterInfo::help));
    CHECK(counter.help.ends_with('.'));
    CHECK(counter.family.ends_with("_total") == (counter.kind == StatsKind::counter));
    CHECK(names.emplace(counter.family, counter.labels).second);
    families.insert(counter.family);
  }
  CHECK(families.size() >= 10);
}

TEST_CASE("each addition lands under its own name and core", "[stats]") {
  const Folder folder;
  const auto made = StatsSegment::create(folder.path / "stats", kCores);
  REQUIRE(made);
  StatsSegment& segment = **made;
  // Value 1000 * core index + n for the n-th counter, by every way to count.
  for (size_t core = 0; core < kCores.size(); ++core) {
    CoreCounters counters = segment.counters(core);
    uint64_t n = 1000 * core;
    for (const CounterInfo& info : kCounterInfo) counters.add(info.id, n++);
    for (const auto& row : kDropReasonInfo) {
      for (const Direction to : {Direction::outbound, Direction::inbound}) {
        counters.drop(row.id, to, n++);
      }
    }
    for (const auto& row : std::span(kDecodeFaultInfo).subspan(1)) {
      for (const Direction to : {Direction::outbound, Direction::inbound}) {
        for (uint64_t i = 0; i < n; ++i) counters.fault(row.id, to);
        ++n;
      }
    }
    for (const auto& row : std::span(kInspectFaultInfo).subspan(1)) {
      for (uint64_t i = 0; i < n; ++i) counters.fault(row.id);
      ++n;
    }
    for (const ExceptionInfo& info : kExceptionInfo) {
      for (uint64_t i = 0; i < n; ++i) counters.exception(info.id);
      ++n;
    }
    for (const ExceptionInfo& info : kExceptionInfo) counters.fails_open(info.id, core == 1);
    segment.core(core).revision = 77 + core;
    segment.core(core).generation = 88 + core;
    segment.core(core).heartbeat_unix_ns = 99 + core;
  }
  const StatsSnapshot seen = read(folder.path / "stats");
  REQUIRE(seen.cores.size() == kCores.size());
  for (size_t core = 0; core < kCores.size(); ++core) {
    const StatsCoreValues& values = seen.cores[core];
    CHECK(values.core == kCores[core]);
    CHECK(values.revision == 77 + core);
    CHECK(values.generation == 88 + core);
    CHECK(values.heartbeat_unix_ns == 99 + core);
    REQUIRE(values.values.size() == kAllCounters);
    for (size_t i = 0; i < kAllCounters; ++i) {
      CAPTURE(core, seen.counters[i].labels);
      if (seen.counters[i].family == "sallyport_exception_fails_open") {
        CHECK(values.values[i] == (core == 1 ? 1 : 0));
        continue;
      }
      CHECK(values.values[i] == 1000 * core + i);
      CHECK(segment.find(seen.counters[i].family, seen.counters[i].labels) == 3000 + 3 * i);
    }
  }
  segment.counters(1).set(Counter::held_packets, 5);
  segment.counters(1).set(Counter::held_packets, 4);
  segment.counters(1).add(Counter::held_packets);
  CHECK(read(folder.path / "stats").cores[1].values[static_cast<size_t>(Counter::held_packets)] ==
        5);
  CHECK_FALSE(segment.find("sallyport_drops_total", "reason=none").has_value());
  CHECK_FALSE(segment.find("sallyport_drops_total", "").has_value());
}

TEST_CASE("the end is written into the segment, and the next one is another file", "[stats]") {
  const Folder folder;
  const fs::path path = folder.path / "stats";
  auto first = StatsSegment::create(path, kCores);
  REQUIRE(first);
  const auto reader = StatsReader::open(path);
  REQUIRE(reader);
  CHECK_FALSE(reader->replaced());
  auto second = StatsSegment::create(path, kCores);
  REQUIRE(second);
  CHECK(reader->replaced());
  CHECK_FALSE(reader->snapshot()->ended);
  first->reset();
  CHECK(reader->snapshot()->ended);
  CHECK_FALSE(read(path).ended);
  second->reset();
  CHECK(read(path).ended);
  CHECK((fs::status(path).permissions() & fs::perms::others_write) == fs::perms::none);
}

TEST_CASE("without a path nothing is written anywhere", "[stats]") {
  const auto segment = StatsSegment::create("", kCores);
  REQUIRE(segment);
  (*segment)->counters(2).drop(DropReason::denied, Direction::outbound, 3);
  (*segment)->counters(1).drop(DropReason::denied, Direction::inbound, 4);
  CHECK((*segment)->find("sallyport_drops_total", "reason=denied,towards=outside") == 3);
  CHECK((*segment)->find("sallyport_drops_total", "reason=denied") == 7);
  CHECK_FALSE((*segment)->find("sallyport_drops_total", "reason=den").has_value());
}

TEST_CASE("a path that cannot be written is named, and nothing is left", "[stats]") {
  const Folder folder;
  const auto said = [](const fs::path& path) {
    const auto segment = StatsSegment::create(path, kCores);
    REQUIRE_FALSE(segment);
    return segment.error();
  };
  CHECK(said(folder.path / "none" / "stats") == "stats segment " +
                                                    (folder.path / "none" / "stats.new").string() +
                                                    ": cannot create: No such file or directory");
  fs::create_directory(folder.path / "stats");
  CHECK(said(folder.path / "stats") == "stats segment " + (folder.path / "stats.new").string() +
                                           ": cannot rename: Is a directory");
  CHECK(std::distance(fs::directory_iterator(folder.path), {}) == 1);
}

TEST_CASE("a leftover of a writer that died is replaced", "[stats]") {
  const Folder folder;
  std::ofstream(folder.path / "stats.new") << "half a segment";
  std::ofstream(folder.path / "stats") << "something else";
  const auto segment = StatsSegment::create(folder.path / "stats", kCores);
  REQUIRE(segment);
  CHECK(read(folder.path / "stats").cores.size() == 3);
}

namespace {

constexpr int kCannotMount = 77;

/// In a process of its own: a disk in memory over `folder`, too small for the segment.
int create_without_room(const fs::path& folder) {
  if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      mount("none", folder.c_str(), "tmpfs", 0, "size=64k") != 0) {
    return kCannotMount;
  }
  const auto segment = StatsSegment::create(folder / "stats", kCores);
  if (segment) return 1;
  const bool says = segment.error().find("No space left") != std::string::npos &&
                    segment.error().find("paths.stats") != std::string::npos;
  return says && fs::is_empty(folder) ? 0 : 2;
}

}  // namespace

TEST_CASE("a folder without room is an error and not a signal", "[stats]") {
  const Folder folder;
  const pid_t child = fork();
  if (child == 0) _exit(create_without_room(folder.path));
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  if (WEXITSTATUS(status) == kCannotMount) {
    WARN("skipped: no right to mount a tmpfs");
    return;
  }
  CHECK(WEXITSTATUS(status) == 0);
}
