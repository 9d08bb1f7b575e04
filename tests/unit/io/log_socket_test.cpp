// The log as a stream to a collector, which may be slow, gone, or come back. Nothing here waits.
#include "dataplane/io/log_socket.h"

#include <catch2/catch.hpp>
#include <optional>

#include "tests/unit/io/log_sinks.h"
#include "tests/unit/io/log_support.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

struct Sent {
  LogFolder folder;
  std::string path = folder / "collector";
  LogLosses losses{2};
  LogSocket socket{path, {3, 5}, losses};
  uint64_t now = kNoon;

  /// Until the collector has all that is kept.
  void drain_to(Collector& collector) {
    for (int i = 0; i < 2; ++i) {
      do {
        socket.tick(now += 2 * kSecond);
      } while (collector.read() > 0);
    }
  }
};

constexpr size_t kLarge = 10'000;  // of padding; a batch of a hundred is some megabyte

}  // namespace

TEST_CASE("a collector that is there has every line", "[log]") {
  Sent sent;
  Collector collector(sent.path);
  sent.socket.tick(sent.now);
  for (uint64_t i = 0; i < 50; ++i) {
    sent.socket.take(numbered(i * 10, 10), sent.now);
    collector.read();
  }
  CHECK(numbers_in(records_of(collector.text)) == counting(0, 500));
  CHECK(sent.losses.of(0, LogLoss::sink_gone) == 0);
  CHECK(sent.socket.trouble().empty());
}

TEST_CASE("without a collector a bound of lines is kept, and the rest counted and said", "[log]") {
  Sent sent;
  for (uint64_t i = 0; i < 10; ++i) {
    sent.socket.take(numbered(i * 100, 100, i % 2, kLarge), sent.now);
    sent.socket.tick(sent.now += kSecond);
  }
  CHECK_THAT(sent.socket.trouble(),
             Catch::StartsWith(sent.path + ": cannot reach the collector: No such file"));
  constexpr uint64_t kKept = 400;
  CHECK(sent.losses.of(0, LogLoss::sink_gone) == 300);
  CHECK(sent.losses.of(1, LogLoss::sink_gone) == 300);
  Collector collector(sent.path);
  sent.drain_to(collector);
  sent.socket.take(numbered(1000, 1), sent.now);
  collector.read();
  const auto records = records_of(collector.text);
  auto expected = counting(0, kKept);
  expected.push_back(1000);
  CHECK(numbers_in(records) == expected);
  const auto gaps = gaps_in(records);
  REQUIRE(gaps.size() == 2);
  CHECK(gaps[0]["gap"] == nlohmann::json{{"events", 300},
                                         {"cause", "sink_gone"},
                                         {"start", "2023-11-15T12:00:00.400000+0000"},
                                         {"end", "2023-11-15T12:00:00.899000+0000"}});
  CHECK(gaps[1]["core"] == 5);
  CHECK(records.back()["n"] == 1000);  // behind the gaps
}

TEST_CASE("a collector that does not read delays nothing", "[log]") {
  Sent sent;
  Collector collector(sent.path);
  sent.socket.tick(sent.now);
  collector.read(1);  // accepts
  const auto begun = std::chrono::steady_clock::now();
  for (uint64_t i = 0; i < 20; ++i) {
    sent.socket.take(numbered(i * 100, 100, 0, kLarge), sent.now += 2 * kSecond);
    sent.socket.tick(sent.now);
  }
  CHECK(std::chrono::steady_clock::now() - begun < std::chrono::seconds(5));
  CHECK_THAT(sent.socket.trouble(), Catch::Contains("the collector reads too slowly"));
  const uint64_t lost = sent.losses.of(0, LogLoss::sink_slow);
  CHECK(lost >= 1400);
  sent.drain_to(collector);
  const auto records = records_of(collector.text);
  CHECK(numbers_in(records) == counting(0, 2000 - lost));
  REQUIRE(gaps_in(records).size() == 1);
  CHECK(gaps_in(records)[0]["gap"]["events"] == lost);
  CHECK(gaps_in(records)[0]["gap"]["cause"] == "sink_slow");
}

TEST_CASE("one that reads half of what there is has few gaps, and the books balance", "[log]") {
  Sent sent;
  Collector collector(sent.path);
  constexpr uint64_t kBatches = 300;
  for (uint64_t i = 0; i < kBatches; ++i) {
    sent.socket.take(numbered(i * 10, 10, 0, kLarge), sent.now += 2 * kSecond);
    sent.socket.tick(sent.now);
    collector.read(5 * kLarge);
  }
  sent.drain_to(collector);
  const auto records = records_of(collector.text);
  uint64_t missing = 0;
  for (const auto& gap : gaps_in(records)) missing += gap["gap"]["events"].get<uint64_t>();
  CHECK(gaps_in(records).size() < 12);
  CHECK(missing > 500);
  CHECK(missing == sent.losses.of(0, LogLoss::sink_slow));
  CHECK(numbers_in(records).size() + missing == kBatches * 10);
}

TEST_CASE("a collector that comes back begins with a whole line, and misses none that was kept",
          "[log]") {
  Sent sent;
  const size_t read_before = GENERATE(1UL, 10'003UL, 10'023UL, 100'000UL, 555'555UL);
  CAPTURE(read_before);
  std::optional<Collector> collector(sent.path);
  sent.socket.tick(sent.now);
  sent.socket.take(numbered(0, 100, 0, kLarge), sent.now);
  collector->read(read_before);
  sent.socket.tick(sent.now);
  collector.reset();
  sent.socket.tick(sent.now += 2 * kSecond);
  sent.socket.take(numbered(100, 5), sent.now);
  collector.emplace(sent.path);
  sent.drain_to(*collector);
  const auto numbers = numbers_in(records_of(collector->text));
  REQUIRE_FALSE(numbers.empty());
  CHECK(numbers == counting(105 - numbers.size(), numbers.size()));
  CHECK(numbers.size() >= 6);
  CHECK(sent.losses.of(0, LogLoss::sink_gone) == 0);
}

TEST_CASE("the last words are sent, and wait for nobody", "[log]") {
  Sent sent;
  std::optional<Collector> collector;
  const bool there = GENERATE(true, false);
  if (there) collector.emplace(sent.path);
  sent.socket.tick(sent.now);
  LogGaps missing({3, 5});
  missing.note(1, LogLoss::ring_full, {7, kNoon, kNoon + 1000});
  sent.socket.note_missing(missing);
  const auto begun = std::chrono::steady_clock::now();
  sent.socket.finish(sent.now);
  CHECK(std::chrono::steady_clock::now() - begun < std::chrono::seconds(3));
  if (!there) return;
  collector->read();
  const auto gaps = gaps_in(records_of(collector->text));
  REQUIRE(gaps.size() == 1);
  CHECK(gaps[0]["gap"]["events"] == 7);
  CHECK(gaps[0]["gap"]["cause"] == "ring_full");
}
