#include "dataplane/io/replay.h"

#include <fcntl.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf_dyn.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <unordered_map>
#include <vector>

#include "dataplane/io/capture_file.h"
#include "dataplane/io/eal.h"
#include "dataplane/io/policy_names.h"
#include "dataplane/io/port.h"
#include "dataplane/io/stats_segment.h"
#include "dataplane/io/worker.h"
#include "policy/runtime/frames.h"

namespace sallyport {
namespace {

constexpr uint32_t kPackets = 16384;
constexpr uint16_t kMtuBytes = 9216;
constexpr uint32_t kFlows = 262144;
constexpr uint32_t kDatagrams = 1024;
constexpr uint32_t kMemoryMb = 512;

/// Writes a line for each flow that ends, on the spot.
class LineSink final : public FlowEventSink {
 public:
  LineSink(FILE* out, std::string pcap, const PolicyNames& names)
      : out_(out), pcap_(std::move(pcap)), names_(names) {}

  bool push(const FlowEvent& event) noexcept override {
    if (event.type == FlowEvent::Type::verdict) {
      note(event);
      return true;
    }
    const auto said = said_.extract(event.flow_id);
    const Said nothing{event, {}};
    const Said& first = said.empty() ? nothing : said.mapped();
    const std::string line =
        to_eve_of_capture(event, first.first, first.hosts, names_, pcap_) + "\n";
    ok_ &= std::fwrite(line.data(), 1, line.size(), out_) == line.size();
    return ok_;
  }
  bool finish() noexcept { return std::fflush(out_) == 0 && ok_; }

 private:
  /// What a live flow said of itself.
  struct Said {
    FlowEvent first;
    std::vector<std::string> hosts;
  };

  void note(const FlowEvent& event) {
    if (event.app_known != Known::present) return;
    Said& said = said_.try_emplace(event.flow_id, Said{event, {}}).first->second;
    const std::string host(event.text(EventText::host));
    if (host.empty() || std::ranges::find(said.hosts, host) != said.hosts.end()) return;
    said.hosts.push_back(host);
  }

  FILE* out_;
  std::string pcap_;
  const PolicyNames& names_;
  std::unordered_map<uint64_t, Said> said_;
  bool ok_ = true;
};

int failed(const std::string& what) {
  std::fprintf(stderr, "sallyport replay: %s\n", what.c_str());
  return 2;
}

unsigned any_core() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  sched_getaffinity(0, sizeof allowed, &allowed);
  unsigned core = 0;
  while (core < CPU_SETSIZE && !CPU_ISSET(core, &allowed)) ++core;
  return core;
}

// A path may hold commas, which DPDK's device arguments cannot: they get a descriptor's name.
std::string by_descriptor(int fd) {
  return "/proc/self/fd/" + std::to_string(fd);
}

/// The clock of the capture: when each packet was seen, as net_pcap notes it in microseconds. It
/// never goes back, whatever the order of the packets: to go back is to be 49 days on.
class CaptureClock {
 public:
  CaptureClock() : offset_(rte_mbuf_dynfield_lookup(RTE_MBUF_DYNFIELD_TIMESTAMP_NAME, nullptr)) {}

  Now at(const rte_mbuf* mbuf) noexcept {
    if (offset_ >= 0) {
      const uint64_t us = *RTE_MBUF_DYNFIELD(mbuf, offset_, const rte_mbuf_timestamp_t*);
      latest_us_ = std::max(latest_us_, us);
    }
    return {.ms = static_cast<uint32_t>(latest_us_ / 1000), .unix_ns = latest_us_ * 1000};
  }

 private:
  int offset_;
  uint64_t latest_us_ = 0;
};

// Packets of one millisecond go together, as they would have come.
void run_capture(Worker& worker, uint16_t port) {
  constexpr uint32_t kQuietMs = 1000;
  CaptureClock clock;
  uint32_t last_ms = 0;
  std::array<rte_mbuf*, kBurst> received;
  for (;;) {
    const uint16_t count = rte_eth_rx_burst(port, 0, received.data(), kBurst);
    if (count == 0) return;
    for (uint16_t from = 0; from < count;) {
      const Now now = clock.at(received[from]);
      uint16_t to = from + 1;
      while (to < count && clock.at(received[to]).ms == now.ms) ++to;
      if (now.ms - last_ms >= kQuietMs) worker.pass_time(now);
      last_ms = now.ms;
      worker.handle_received({received.data() + from, static_cast<size_t>(to - from)}, now);
      from = to;
    }
  }
}

// What became of the packets, for the person who waits: flows alone do not show what was dropped.
void say_what_happened(const StatsSegment& stats) {
  uint64_t packets = 0;
  uint64_t checksums = 0;
  std::string drops;
  stats.for_each([&](std::string_view family, std::string_view labels, uint64_t value) {
    if (family == "sallyport_packets_total" && labels.starts_with("direction=rx")) packets += value;
    if (family != "sallyport_drops_total" || value == 0) return;
    const std::string_view reason = labels.substr(labels.find('=') + 1);
    if (reason == "bad_l4_checksum" || reason == "bad_ip_checksum") checksums += value;
    drops +=
        (drops.empty() ? ", dropped: " : ", ") + std::string(reason) + " " + std::to_string(value);
  });
  std::fprintf(stderr, "%llu packets%s\n", static_cast<unsigned long long>(packets), drops.c_str());
  if (checksums > 0) {
    std::fprintf(
        stderr,
        "%llu of them for their checksums: if the capture was taken where checksum offload "
        "was on, try --checksums ignore\n",
        static_cast<unsigned long long>(checksums));
  }
}

int run(const ReplayOptions& options, std::unique_ptr<PolicyTable> table, const std::string& device,
        FILE* out) {
  const auto eal = Eal::start({.devices = {device},
                               .main_core = any_core(),
                               .hugepages = Hugepages::never,
                               .total_mb = kMemoryMb});
  if (!eal) return failed(eal.error());
  const std::unique_ptr<rte_mempool, void (*)(rte_mempool*)> pool(
      make_packet_pool(kPackets, kMtuBytes), rte_mempool_free);
  if (!pool) return failed(std::string("packet buffers: ") + rte_strerror(rte_errno));
  const bool transmit = !options.write_capture.empty();
  const auto port =
      Port::start(device_name(device), {.mtu_bytes = kMtuBytes, .transmit = transmit}, pool.get());
  if (!port) return failed(port.error());

  PolicySlot policies(1);
  PolicyNames names;
  names.add(1, *table);
  policies.publish(std::move(table), std::chrono::milliseconds(0));
  LineSink sink(out, std::filesystem::path(options.capture).filename(), names);
  const std::array<unsigned, 1> cores{any_core()};
  const auto stats = StatsSegment::create("", cores);
  if (!stats) return failed(stats.error());
  Handoff handoff(1);
  DatagramPool datagrams({.datagrams = kDatagrams}, 1);
  const Clock clock;
  const std::atomic<bool> stop{false};
  FlowStageOptions stage{
      .flow_capacity = kFlows, .core = cores[0], .take_up_midstream = true, .log_every_flow = true};
  stage.limits.verify_checksums = options.verify_checksums;
  stage.limits.fact_blocks = kFlows * 4;
  stage.limits.inspections = kFlows;
  Worker worker(stage, {.inside = port->id(), .outside = port->id(), .can_transmit = transmit},
                Orientation::by_initiator, pool.get(), sink, (*stats)->core(0),
                (*stats)->counters(0), {policies, clock, handoff, datagrams, FlowHash(0), stop});
  worker.join();
  run_capture(worker, port->id());
  worker.end_all_flows();
  worker.leave();
  if (!sink.finish()) return failed("cannot write " + options.flows);
  // net_pcap says "no more" both at the end of the file and when it has no buffer to fill.
  if (port->missed().no_buffer > 0)
    return failed("out of packet buffers: the capture was cut short");
  say_what_happened(**stats);
  return 0;
}

}  // namespace

int replay(const ReplayOptions& options) {
  const auto image = read_sealed_memfd(options.image_fd);
  if (!image) return failed("policy image: " + std::string(explain(image.error())));
  auto table = PolicyTable::load(*image, 1);
  if (!table) return failed("policy image: " + std::string(explain(table.error())));

  const int in = open(options.capture.c_str(), O_RDONLY);
  if (in < 0) return failed(options.capture + ": " + std::strerror(errno));
  if (const std::string wrong = check_capture(in); !wrong.empty()) {
    return failed(options.capture + ": " + wrong);
  }
  std::string device = "net_pcap0,rx_pcap=" + by_descriptor(in);
  if (!options.write_capture.empty()) {
    const int written = open(options.write_capture.c_str(), O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (written < 0) return failed(options.write_capture + ": " + std::strerror(errno));
    device += ",tx_pcap=" + by_descriptor(written);
  }
  const bool to_file = options.flows != "-";
  FILE* out = to_file ? std::fopen(options.flows.c_str(), "w") : stdout;
  if (out == nullptr) return failed(options.flows + ": " + std::strerror(errno));
  const int status = run(options, std::move(*table), device, out);
  if (to_file && std::fclose(out) != 0) return failed("cannot write " + options.flows);
  return status;
}

}  // namespace sallyport
