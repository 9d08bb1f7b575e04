// How many events the flow log takes: two threads in the place of workers fill their rings. Once as
// fast as these empty, to a file and to nothing: a producer waits for room, so what comes out is
// what the log can do. And once at a pace that does not wait for anything, as packets do not, with
// everything on that a node has on: there it counts what is lost.
#include <benchmark/benchmark.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "dataplane/io/eve_text.h"
#include "dataplane/io/flow_log.h"
#include "dataplane/io/log_archive.h"
#include "policy/compile/compile.h"
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

std::vector<std::unique_ptr<FlowEventRing>>& rings() {
  static std::vector<std::unique_ptr<FlowEventRing>> made;
  for (auto i = static_cast<unsigned>(made.size()); i < kRings; ++i) {
    made.push_back(
        std::make_unique<FlowEventRing>(("bench_" + std::to_string(i)).c_str(), kRingLines, -1));
  }
  return made;
}

void rings_to(benchmark::State& state, const std::string& path, bool counts) {
  const PolicyNames names;
  uint64_t written = 0;
  for (auto _ : state) {
    std::filesystem::remove(counts ? path : "");
    auto log = FlowLog::start(path, LogOptions{.rotate_mb = 0, .rotate_minutes = 0},
                              {{rings()[0].get(), 0}, {rings()[1].get(), 1}}, names);
    if (!log) return state.SkipWithError(log.error().c_str());
    {
      std::vector<std::jthread> workers;
      for (unsigned i = 0; i < kRings; ++i) workers.emplace_back(fill, std::ref(*rings()[i]), i);
    }
    log->reset();  // writes the rest
    written += counts ? events_in(path) : 0;
  }
  if (counts) {
    state.counters["lost"] = static_cast<double>(state.iterations() * kRings * kEventsPerRing) -
                             static_cast<double>(written);
  }
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

constexpr unsigned kJobs = 256;
constexpr unsigned kRules = 48;

/// Rules and workloads as a training cluster has them.
void add_names(PolicyNames& names) {
  std::string text =
      "apiVersion: sallyport/v1\nkind: EgressPolicy\nmetadata: {name: training-cluster-egress}\n"
      "spec:\n  egress:\n";
  for (unsigned i = 0; i < kRules; ++i) {
    const std::string n = std::to_string(i);
    text += "    - {name: dataset-mirror-" + n + ", action: Allow, to: {domainNames: [mirror" + n +
            ".example.org]}}\n";
  }
  const std::vector<SourceFile> sources{{"bench.yaml", text}};
  const auto image = compile_policy(sources).value().image;
  const auto table = PolicyTable::load(image, 1).value();
  std::vector<Identity> jobs;
  for (unsigned i = 0; i < kJobs; ++i) {
    const std::string n = std::to_string(i);
    jobs.push_back({.address = parse_ip_address("10.1.2." + n).value(),
                    .labels = {{kSpiffeIdLabel, "spiffe://training.example/ns/team/sa/job-" + n}}});
  }
  names.add(1, *table, std::make_shared<const IdentityFeed>(make_identity_feed(jobs)));
}

/// One of a mixture: verdicts and ends over TLS, QUIC, HTTP and DNS, allowed and denied.
FlowEvent mixed_event(unsigned core, unsigned i) {
  static constexpr const char* kHosts[] = {
      "pypi.org",
      "files.pythonhosted.org",
      "huggingface.co",
      "cdn-lfs-us-1.hf.co",
      "s3.dualstack.eu-central-1.amazonaws.com",
      "production.cloudflare.docker.com",
      "deb.debian.org",
      "a-rather-long-name-of-a-bucket-of-somebody.storage.googleapis.com"};
  static constexpr AppProtocol kApps[] = {AppProtocol::tls, AppProtocol::tls, AppProtocol::quic,
                                          AppProtocol::http, AppProtocol::dns};
  FlowEvent event = usual_event(core);
  event.key.inside = parse_ip_address("10.1.2." + std::to_string(i % kJobs)).value();
  event.key.outside = parse_ip_address("203.0.113." + std::to_string(i * 7 % 256)).value();
  event.key.inside_port = static_cast<uint16_t>(32768 + i * 13 % 28000);
  event.generation = 1;
  event.type = i % 2 == 0 ? FlowEvent::Type::verdict : FlowEvent::Type::flow;
  event.app = kApps[i % 5];
  const bool denied = i % 11 == 0;
  event.state = denied ? FlowState::denied : FlowState::allowed;
  event.reason = denied ? FlowReason::default_deny : FlowReason::rule;
  event.rule = denied ? kNoRule : i % kRules;
  event.bytes_out = i * 977ULL;
  event.bytes_in = i * 65'537ULL;
  event.packets_out = i % 100;
  event.packets_in = i % 1000;
  const bool hello = event.app == AppProtocol::tls || event.app == AppProtocol::quic;
  event.tls_version = hello ? 0x0304 : 0;
  event.set(EventText::host, kHosts[i % std::size(kHosts)], 255);
  event.set(EventText::alpns, hello ? std::string_view("\x02h2\x08http/1.1") : "", 256);
  event.set(EventText::ja3, hello ? "cd08e31494f9531f560d64c695473da9" : "", 36);
  event.set(EventText::ja4, hello ? "t13d1516h2_8daaf6152771_02713d6af862" : "", 36);
  const bool http = event.app == AppProtocol::http;
  event.set(EventText::method, http ? "GET" : "", 32);
  char target[80] = "";
  if (http) {
    std::snprintf(target, sizeof target, "/datasets/openwebtext/resolve/main/train-%u.parquet", i);
  }
  event.set(EventText::target, target, 2048);
  return event;
}

/// Pushes so many a second, in turns of a millisecond, and waits for nobody.
void pace(FlowEventRing& ring, unsigned core, uint64_t per_second, unsigned seconds,
          std::atomic<uint64_t>& no_room) {
  using Clock = std::chrono::steady_clock;
  constexpr unsigned kMixed = 4096;
  std::vector<FlowEvent> events;
  for (unsigned i = 0; i < kMixed; ++i) events.push_back(mixed_event(core, i));
  const auto begun = Clock::now();
  uint64_t pushed = 0;
  for (unsigned turn = 1; turn <= 1000 * seconds; ++turn) {
    for (; pushed < per_second * turn / 1000; ++pushed) {
      FlowEvent& event = events[pushed % kMixed];
      event.flow_id = pushed;
      event.timestamp_unix_ns += 4000;
      if (!ring.push(event)) no_room.fetch_add(1, std::memory_order_relaxed);
    }
    std::this_thread::sleep_until(begun + turn * std::chrono::milliseconds(1));
  }
}

// state.range(0): events a second, of both rings together.
void paced_to_rotated_files(benchmark::State& state) {
  const auto offered = static_cast<uint64_t>(state.range(0));
  constexpr unsigned kSeconds = 8;
  const auto folder = std::filesystem::temp_directory_path() / "sallyport-log-bench";
  PolicyNames names;
  add_names(names);
  std::atomic<uint64_t> no_room{0};
  uint64_t behind = 0;
  size_t rotated = 0;
  size_t waits_for_zstd = 0;
  for (auto _ : state) {
    std::filesystem::remove_all(folder);
    std::filesystem::create_directories(folder);
    const std::string path = folder / "flows.ndjson";
    auto log =
        FlowLog::start(path, LogOptions{}, {{rings()[0].get(), 0}, {rings()[1].get(), 1}}, names);
    if (!log) return state.SkipWithError(log.error().c_str());
    {
      std::vector<std::jthread> workers;
      for (unsigned i = 0; i < kRings; ++i) {
        workers.emplace_back(pace, std::ref(*rings()[i]), i, offered / kRings, kSeconds,
                             std::ref(no_room));
      }
    }
    if (!(*log)->end()) return state.SkipWithError("the log did not end");
    for (unsigned i = 0; i < kRings; ++i) {
      rings()[i]->take_gap();  // of this run
      for (const LogLoss cause : {LogLoss::write_failed, LogLoss::sink_slow})
        behind += (*log)->losses().of(i, cause);
    }
    const auto files = LogArchive::rotated(path);
    rotated += files.size();
    for (const std::string& file : files) waits_for_zstd += file.ends_with(".zst") ? 0 : 1;
  }
  std::filesystem::remove_all(folder);
  state.counters["lost_ring_full"] = static_cast<double>(no_room);
  state.counters["lost_file"] = static_cast<double>(behind);
  state.counters["files"] = static_cast<double>(rotated);
  state.counters["files_not_compressed_yet"] = static_cast<double>(waits_for_zstd);
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * offered * kSeconds));
}

BENCHMARK(line_of_an_event);
BENCHMARK(push_of_an_event);
BENCHMARK(rings_to_nothing)->UseRealTime()->Iterations(3)->Unit(benchmark::kMillisecond);
BENCHMARK(rings_to_file)->UseRealTime()->Iterations(3)->Unit(benchmark::kMillisecond);
BENCHMARK(paced_to_rotated_files)
    ->UseRealTime()
    ->Iterations(1)
    ->Arg(100'000)
    ->Arg(250'000)
    ->Arg(500'000)
    ->Unit(benchmark::kMillisecond);

}  // namespace

int main(int argc, char** argv) {
  sallyport::test::start_eal();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
