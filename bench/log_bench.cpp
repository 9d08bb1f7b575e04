// How many events the flow log takes: two threads in the place of workers fill their rings as fast
// as these empty, and one writer makes lines of them, to a file and to nothing. No event is lost:
// a producer waits for room, so what comes out is what the writer can do.
#include <benchmark/benchmark.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "dataplane/io/eve_text.h"
#include "dataplane/io/flow_log.h"
#include "tests/support/eal.h"

namespace {

using namespace sallyport;

constexpr uint64_t kEventsPerRing = 500'000;
constexpr unsigned kRings = 2;
constexpr unsigned kRingLines = 1U << 17;  // as the gateway has them

FlowEvent usual_event(unsigned core) {
  FlowEvent event{};
  event.key.inside = parse_ip_address("10.1.2.3").value();
  event.key.outside = parse_ip_address("203.0.113.9").value();
  event.key.inside_port = 40000;
  event.key.outside_port = 443;
  event.key.ip_protocol = kIpProtocolTcp;
  event.core = core;
  event.timestamp_unix_ns = 1'700'000'061'020'030'000;
  event.started_unix_ns = 1'700'000'000'000'001'999;
  event.type = FlowEvent::Type::verdict;
  event.state = FlowState::allowed;
  event.reason = FlowReason::default_deny;
  event.app_known = Known::present;
  event.app = AppProtocol::tls;
  event.tls_version = 0x0304;
  event.ech_known = Known::absent;
  event.set(EventText::host, "files.pythonhosted.org", 255);
  event.set(EventText::alpns, "\x02h2\x08http/1.1", 256);
  event.set(EventText::ja3, "cd08e31494f9531f560d64c695473da9", 36);
  event.set(EventText::ja4, "t13d1516h2_8daaf6152771_02713d6af862", 36);
  return event;
}

void line_of_an_event(benchmark::State& state) {
  const PolicyNames names;
  EveText text(names);
  const FlowEvent event = usual_event(1);
  std::string out;
  for (auto _ : state) {
    out.clear();
    text.append(event, out);
    benchmark::DoNotOptimize(out.data());
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * out.size()));
}

// What a worker pays: the writer's side is emptied without the clock.
void push_of_an_event(benchmark::State& state) {
  static FlowEventRing ring("bench_push", kRingLines, -1);
  const FlowEvent event = usual_event(1);
  FlowEvent out;
  for (auto _ : state) {
    if (ring.push(event)) continue;
    state.PauseTiming();
    while (ring.pop(out)) {
    }
    state.ResumeTiming();
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()));
}

void fill(FlowEventRing& ring, unsigned core) {
  FlowEvent event = usual_event(core);
  for (uint64_t i = 0; i < kEventsPerRing; ++i) {
    event.flow_id = i;
    while (!ring.push(event)) std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
}

// Without those that say how often a producer found no room.
uint64_t events_in(const std::string& path) {
  std::ifstream in(path);
  uint64_t events = 0;
  for (std::string line; std::getline(in, line);) {
    events += line.find(R"("event_type":"gap")") == std::string::npos ? 1 : 0;
  }
  return events;
}

void rings_to(benchmark::State& state, const std::string& path, bool counts) {
  static std::vector<std::unique_ptr<FlowEventRing>> rings;
  for (unsigned i = static_cast<unsigned>(rings.size()); i < kRings; ++i) {
    rings.push_back(
        std::make_unique<FlowEventRing>(("bench_" + std::to_string(i)).c_str(), kRingLines, -1));
  }
  const PolicyNames names;
  for (auto _ : state) {
    std::filesystem::remove(counts ? path : "");
    auto log = FlowLog::start(path, LogOptions{.rotate_mb = 0, .rotate_minutes = 0},
                              {{rings[0].get(), 0}, {rings[1].get(), 1}}, names);
    if (!log) return state.SkipWithError(log.error().c_str());
    {
      std::vector<std::jthread> workers;
      for (unsigned i = 0; i < kRings; ++i) workers.emplace_back(fill, std::ref(*rings[i]), i);
    }
    log->reset();  // writes the rest
  }
  if (counts && events_in(path) != kRings * kEventsPerRing)
    state.SkipWithError("events are missing");
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * kRings * kEventsPerRing));
}

void rings_to_file(benchmark::State& state) {
  const auto path = std::filesystem::temp_directory_path() / "sallyport-log-bench.ndjson";
  rings_to(state, path, true);
  std::filesystem::remove(path);
}

void rings_to_nothing(benchmark::State& state) {
  rings_to(state, "/dev/null", false);
}

BENCHMARK(line_of_an_event);
BENCHMARK(push_of_an_event);
BENCHMARK(rings_to_nothing)->UseRealTime()->Iterations(3)->Unit(benchmark::kMillisecond);
BENCHMARK(rings_to_file)->UseRealTime()->Iterations(3)->Unit(benchmark::kMillisecond);

}  // namespace

int main(int argc, char** argv) {
  sallyport::test::start_eal();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
