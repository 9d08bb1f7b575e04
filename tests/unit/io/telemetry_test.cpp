// What DPDK's telemetry is answered: the segment's own figures, within DPDK's limits.
#include <catch2/catch.hpp>
#include <limits>
#include <map>
#include <set>

#include "dataplane/inspect/fault_info.h"
#include "dataplane/io/telemetry_answers.h"

using namespace sallyport;

namespace {

constexpr std::array<unsigned, 2> kCores{3, 9};
constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();

std::unique_ptr<StatsSegment> segment() {
  auto made = StatsSegment::create("", kCores);
  REQUIRE(made);
  return std::move(*made);
}

std::map<std::string, uint64_t> numbers(const TelemetryAnswer& answer) {
  std::map<std::string, uint64_t> out;
  for (const auto& [name, value] : answer) {
    REQUIRE(std::holds_alternative<uint64_t>(value));
    REQUIRE(out.emplace(name, std::get<uint64_t>(value)).second);
  }
  return out;
}

template <typename Value>
Value entry(const TelemetryAnswer& answer, std::string_view wanted) {
  for (const auto& [name, value] : answer) {
    if (name == wanted) return std::get<Value>(value);
  }
  FAIL("no entry " << wanted);
  return {};
}

std::string error_of(const TelemetryAnswer& answer) {
  REQUIRE(answer.size() == 1);
  return entry<std::string>(answer, "error");
}

}  // namespace

TEST_CASE("counters by family, label and core", "[telemetry]") {
  const auto stats = segment();
  stats->counters(0).add(Counter::rx_packets_inside, 5);
  stats->counters(1).add(Counter::rx_packets_inside, 7);
  stats->counters(1).add(Counter::tx_packets_outside, 2);
  stats->counters(1).set(Counter::held_packets, 4);
  const auto all = numbers(counters_answer(*stats, "sallyport_packets_total"));
  CHECK(all == std::map<std::string, uint64_t>{
                   {"rx/inside", 12}, {"rx/outside", 0}, {"tx/inside", 0}, {"tx/outside", 2}});
  CHECK(numbers(counters_answer(*stats, "sallyport_packets_total,3")).at("rx/inside") == 5);
  CHECK(numbers(counters_answer(*stats, "sallyport_packets_total,9")).at("rx/inside") == 7);
  CHECK(numbers(counters_answer(*stats, "sallyport_held_packets")) ==
        std::map<std::string, uint64_t>{{"total", 4}});
  const auto families = numbers(counters_answer(*stats, ""));
  CHECK(families.at("sallyport_packets_total") == 14);
  CHECK(families.at("sallyport_held_packets") == 4);
  std::set<std::string> known;
  for (const auto& info : stats->infos()) known.insert(info.family.data());
  CHECK(families.size() == known.size());
}

TEST_CASE("drops have every reason", "[telemetry]") {
  const auto stats = segment();
  stats->counters(0).drop(DropReason::denied, Direction::outbound, 2);
  stats->counters(0).drop(DropReason::denied, Direction::inbound, 1);
  stats->counters(1).drop(DropReason::denied, Direction::inbound, 1);
  stats->counters(1).fault(DecodeFault::land, Direction::outbound);
  const auto all = numbers(drops_answer(*stats, ""));
  CHECK(all.size() == kDropReasons + kDecodeFaults);
  CHECK(all.at("denied") == 4);
  CHECK(all.at("land") == 1);
  CHECK(numbers(drops_answer(*stats, "3")).at("denied") == 3);
}

TEST_CASE("cores", "[telemetry]") {
  const auto stats = segment();
  stats->core(1).revision = 0x3fa9c1d27b60;
  stats->core(1).generation = 7;
  stats->core(1).heartbeat_unix_ns = 99;
  const TelemetryAnswer cores = cores_answer(*stats, "");
  CHECK(entry<std::vector<uint64_t>>(cores, "core") == std::vector<uint64_t>{3, 9});
  CHECK(entry<std::vector<std::string>>(cores, "revision") ==
        std::vector<std::string>{"none", "3fa9c1d27b60"});
  CHECK(entry<std::vector<uint64_t>>(cores, "generation") == std::vector<uint64_t>{0, 7});
  CHECK(entry<std::vector<uint64_t>>(cores, "heartbeat_unix_ns") == std::vector<uint64_t>{0, 99});
}

TEST_CASE("histograms", "[telemetry]") {
  const auto stats = segment();
  stats->counters(0).record(Histogram::packet_latency, 1000, 99);
  stats->counters(1).record(Histogram::packet_latency, 100'000);
  stats->counters(1).record(Histogram::packet_latency, 0);
  const TelemetryAnswer all = histograms_answer(*stats, "sallyport_packet_latency_seconds");
  CHECK(entry<std::string>(all, "unit") == "nanoseconds");
  CHECK(entry<uint64_t>(all, "count") == 101);
  CHECK(entry<uint64_t>(all, "sum") == 199'000);
  CHECK(static_cast<double>(entry<uint64_t>(all, "p50")) == Approx(1000).epsilon(0.016));
  CHECK(static_cast<double>(entry<uint64_t>(all, "p999")) == Approx(100'000).epsilon(0.016));
  const auto floors = entry<std::vector<uint64_t>>(all, "bucket_floor");
  const auto counts = entry<std::vector<uint64_t>>(all, "bucket_count");
  REQUIRE(floors.size() == counts.size());
  for (size_t i = 0; i < floors.size(); ++i) {
    CAPTURE(floors[i]);
    CHECK(counts[i] == (floors[i] == 0 ? 1 : floors[i] == 512 ? 99 : floors[i] == 65'536 ? 1 : 0));
  }
  const TelemetryAnswer one = histograms_answer(*stats, "sallyport_packet_latency_seconds,9");
  CHECK(entry<uint64_t>(one, "count") == 2);
  CHECK(entry<uint64_t>(one, "sum") == 100'000);
  CHECK(entry<std::string>(histograms_answer(*stats, "sallyport_burst_packets"), "unit") ==
        "packets");
  CHECK(entry<std::vector<std::string>>(histograms_answer(*stats, ""), "histograms").size() ==
        kHistograms);
}

TEST_CASE("what is asked wrongly is named", "[telemetry]") {
  const auto stats = segment();
  for (const std::string core : {"1", "x", "-3", "3x", " 3", "99999999999", "3,9"}) {
    CAPTURE(core);
    const std::string says = "no such worker core; there are: 3 9";
    CHECK(error_of(drops_answer(*stats, core)) == says);
    CHECK(error_of(counters_answer(*stats, "sallyport_flows," + core)) == says);
    CHECK(error_of(histograms_answer(*stats, "sallyport_scan_seconds," + core)) == says);
  }
  CHECK(error_of(counters_answer(*stats, "nonsense")).starts_with("no such family"));
  CHECK(error_of(counters_answer(*stats, "sallyport_flow")).starts_with("no such family"));
  CHECK(error_of(histograms_answer(*stats, "nonsense,3")).starts_with("no such histogram"));
  CHECK(error_of(cores_answer(*stats, "3")).starts_with("/sallyport/cores takes no parameter"));
}

// DPDK drops without a word what does not fit, and refuses names of other signs.
TEST_CASE("no answer is cut, however large the figures and however many cores", "[telemetry]") {
  std::vector<unsigned> cores(64);
  for (unsigned i = 0; i < cores.size(); ++i) cores[i] = 100 + i;
  auto made = StatsSegment::create("", cores);
  REQUIRE(made);
  StatsSegment& stats = **made;
  for (const CounterInfo& info : kCounterInfo) stats.counters(0).set(info.id, kMost);
  std::vector<TelemetryAnswer> answers{counters_answer(stats, ""), drops_answer(stats, ""),
                                       cores_answer(stats, ""), histograms_answer(stats, "")};
  for (const auto& info : stats.infos()) {
    answers.push_back(counters_answer(stats, info.family.data()));
  }
  for (const HistogramInfo& info : kHistogramInfo) {
    answers.push_back(histograms_answer(stats, info.family));
  }
  for (const TelemetryAnswer& answer : answers) {
    REQUIRE(within_limits(answer) == answer);
    for (const auto& [name, value] : answer) {
      CAPTURE(name);
      REQUIRE(name.find_first_not_of(
                  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_/") ==
              std::string::npos);
      REQUIRE(name != "error");
    }
  }
  REQUIRE(error_of(drops_answer(stats, "1")).size() == kTelemetryTextBytes);
}

TEST_CASE("an answer that DPDK would cut is an error instead", "[telemetry]") {
  const std::string cut =
      "the answer is longer than DPDK sends; ask for less, or read the stats segment";
  TelemetryAnswer entries;
  for (size_t i = 0; i < kTelemetryEntries; ++i) entries.emplace_back("n" + std::to_string(i), i);
  CHECK(within_limits(entries) == entries);
  entries.emplace_back("more", uint64_t{1});
  CHECK(error_of(within_limits(entries)) == cut);
  CHECK(error_of(within_limits({{"a", std::vector<uint64_t>(kTelemetryArrayEntries + 1)}})) == cut);
  CHECK(error_of(within_limits({{std::string(100, 'n'), uint64_t{1}}})) == cut);
  TelemetryAnswer bytes;
  for (int i = 0; i < 2; ++i) {
    bytes.emplace_back("n", std::vector<uint64_t>(kTelemetryArrayEntries, kMost));
  }
  CHECK(error_of(within_limits(bytes)) == cut);
}
