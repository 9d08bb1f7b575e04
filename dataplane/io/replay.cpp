#include "dataplane/io/replay.h"

#include <fcntl.h>
#include <rte_dev.h>
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
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "dataplane/inspect/fault_info.h"
#include "dataplane/io/capture_file.h"
#include "dataplane/io/capture_split.h"
#include "dataplane/io/eal.h"
#include "dataplane/io/eve_text.h"
#include "dataplane/io/policy_names.h"
#include "dataplane/io/port.h"
#include "dataplane/io/stats_segment.h"
#include "dataplane/io/worker.h"
#include "policy/runtime/books.h"
#include "policy/runtime/frames.h"
#include "policy/runtime/identity_codec.h"
#include "policy/runtime/measuring.h"

namespace sallyport {
namespace {

constexpr uint32_t kPackets = 16384;
constexpr uint16_t kMtuBytes = 9216;
constexpr uint32_t kFewestFlows = 64;
/// Half a KiB of names and the like for each.
constexpr uint32_t kFactBlocksPerFlow = 8;
constexpr uint32_t kMostFlows = 262144;
constexpr uint32_t kDatagrams = 1024;
// The gateway's defaults.
constexpr uint32_t kBindings = 65536;
constexpr uint32_t kBindingGraceSeconds = 300;
constexpr uint32_t kBudgets = 1024;
constexpr uint32_t kMemoryMb = 512;
static_assert(kMtuBytes >= kMostFrameBytes, "what is fed must fit one buffer");

/// Writes a line for each flow that ends, on the spot.
class LineSink final : public FlowEventSink {
 public:
  LineSink(FILE* out, std::string pcap, const PolicyNames& names)
      : out_(out), pcap_(std::move(pcap)), text_(names) {}

  bool push(const FlowEvent& event) noexcept override {
    if (event.type == FlowEvent::Type::start) return true;
    if (event.type != FlowEvent::Type::flow) {
      note(event);
      return true;
    }
    const auto said = said_.extract(event.flow_id);
    const Said nothing{event, {}};
    const Said& first = said.empty() ? nothing : said.mapped();
    line_.clear();
    text_.append_of_capture(event, first.first, first.hosts, pcap_, line_);
    line_ += '\n';
    ok_ &= std::fwrite(line_.data(), 1, line_.size(), out_) == line_.size();
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
    const auto [found, is_new] = said_.try_emplace(event.flow_id);
    Said& said = found->second;
    // Of a hello that came in two attempts, or was refused at first, the one that told something.
    const bool told_nothing = said.hosts.empty() && said.first.text(EventText::ja4).empty() &&
                              said.first.text(EventText::method).empty();
    if (is_new || told_nothing) said.first = event;
    const std::string host(event.text(EventText::host));
    if (host.empty() || std::ranges::find(said.hosts, host) != said.hosts.end()) return;
    said.hosts.push_back(host);
  }

  FILE* out_;
  std::string pcap_;
  EveText text_;
  std::string line_;
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
    return {.ms = static_cast<uint32_t>(latest_us_ / 1000),
            .unix_ns = latest_us_ * 1000,
            .ns = latest_us_ * 1000};
  }

 private:
  int offset_;
  uint64_t latest_us_ = 0;
};

/// Rolls budgets as the gateway's control thread does, however far a capture's clock leaps.
class BudgetTime {
 public:
  explicit BudgetTime(BudgetLedger& budgets) : budgets_(budgets) {}

  void pass(int64_t now) noexcept {
    constexpr int64_t kStepSeconds = 400;
    if (budgets_.entries() == 0) rolled_ = now;
    while (now - rolled_ > kStepSeconds) {
      rolled_ += kStepSeconds;
      budgets_.roll(rolled_);
    }
  }

 private:
  BudgetLedger& budgets_;
  int64_t rolled_ = 0;
};

// Packets of one millisecond go together, as they would have come.
void run_capture(Worker& worker, uint16_t port, BudgetLedger& budgets) {
  constexpr uint32_t kQuietMs = 1000;
  CaptureClock clock;
  BudgetTime budget_time(budgets);
  uint32_t last_ms = 0;
  std::array<rte_mbuf*, kBurst> received;
  for (;;) {
    const uint16_t count = rte_eth_rx_burst(port, 0, received.data(), kBurst);
    if (count == 0) return;
    for (uint16_t from = 0; from < count;) {
      const Now now = clock.at(received[from]);
      uint16_t to = from + 1;
      while (to < count && clock.at(received[to]).ms == now.ms) ++to;
      budget_time.pass(static_cast<int64_t>(now.unix_ns / 1'000'000'000));
      if (now.ms - last_ms >= kQuietMs) worker.pass_time(now);
      last_ms = now.ms;
      worker.handle_received({received.data() + from, static_cast<size_t>(to - from)}, now);
      from = to;
    }
  }
}

// What became of the packets, for the person who waits: flows alone do not show what was dropped.
void say_what_happened(const StatsSegment& stats, size_t captures) {
  uint64_t packets = 0;
  stats.for_each([&](std::string_view family, std::string_view labels, uint64_t value) {
    if (family == "sallyport_packets_total" && labels.starts_with("direction=rx")) packets += value;
  });
  uint64_t checksums = 0;
  std::string drops;
  const auto tell = [&](const auto& table) {
    for (const auto& row : table) {
      const std::string name(row.name);
      const uint64_t dropped = stats.find("sallyport_drops_total", "reason=" + name).value_or(0);
      if (dropped == 0) continue;
      if (name == "bad_l4_checksum" || name == "bad_ip_checksum") checksums += dropped;
      drops += (drops.empty() ? ", dropped: " : ", ") + name + " " + std::to_string(dropped);
    }
  };
  tell(kDropReasonInfo);
  tell(std::span(kDecodeFaultInfo).subspan(1));
  const std::string of = captures > 1 ? " of " + std::to_string(captures) + " captures" : "";
  std::fprintf(stderr, "%llu packets%s%s\n", static_cast<unsigned long long>(packets), of.c_str(),
               drops.c_str());
  if (checksums > 0) {
    std::fprintf(
        stderr,
        "%llu of them for their checksums: if the capture was taken where checksum offload "
        "was on, try --checksums ignore\n",
        static_cast<unsigned long long>(checksums));
  }
}

/// A net_pcap device of DPDK's, in the process as long as the object.
class PcapDevice {
 public:
  static constexpr const char* kBus = "vdev";
  static constexpr const char* kName = "net_pcap0";

  /// @return the device, or DPDK's error number.
  static std::expected<PcapDevice, int> plug(const std::string& arguments) {
    if (const int error = rte_eal_hotplug_add(kBus, kName, arguments.c_str()); error != 0) {
      return std::unexpected(-error);
    }
    return PcapDevice();
  }
  ~PcapDevice() {
    if (live_) rte_eal_hotplug_remove(kBus, kName);
  }
  PcapDevice(PcapDevice&& other) noexcept : live_(std::exchange(other.live_, false)) {}
  PcapDevice& operator=(PcapDevice&&) = delete;

 private:
  PcapDevice() = default;
  bool live_ = true;
};

/// A policy, and the labels that it decides by; null: they are unknown.
struct Labelled {
  std::unique_ptr<PolicyTable> table;
  std::shared_ptr<const IdentityFeed> feed;
};

/// @return nothing, or what is wrong with the feed.
std::optional<std::string> add_labels(int feed_fd, Labelled& out) {
  const auto refused = [](Refusal why) { return "identity feed: " + std::string(explain(why)); };
  const auto bytes = read_sealed_memfd(feed_fd, kMaxFeedBytes);
  if (!bytes) return refused(bytes.error());
  auto decoded = decode_identities(*bytes);
  if (!decoded) return refused(decoded.error());
  auto table = out.table->with_feed(decoded->feed);
  if (!table) return refused(table.error());
  out.table = std::move(*table);
  out.feed = std::make_shared<const IdentityFeed>(std::move(decoded->feed));
  return std::nullopt;
}

/// One process's replays: what captures share, and one worker for each of them.
class Replayer {
 public:
  /// @return nothing, or what is wrong.
  std::optional<std::string> start(Labelled labelled, FILE* out);

  /// The resolvers whose answers count for destination bindings.
  void trust(std::vector<IpAddress> resolvers) { resolvers_ = std::move(resolvers); }

  /// Runs one capture through a worker of its own.
  /// @param written  Where to write what is sent on; -1: nowhere.
  /// @return         nothing, or what is wrong with it.
  std::optional<std::string> run(const ReadyCapture& capture, const std::string& name, int written);

  const StatsSegment& stats() const noexcept { return *stats_; }

 private:
  void run_worker(const ReadyCapture& capture, const Port& port, bool transmit, LineSink& sink);

  unsigned core_ = any_core();
  FILE* out_ = nullptr;
  std::optional<Eal> eal_;
  std::unique_ptr<rte_mempool, void (*)(rte_mempool*)> pool_{nullptr, rte_mempool_free};
  PolicySlot policies_{1};
  PolicyNames names_;
  std::vector<IpAddress> resolvers_;
  std::unique_ptr<StatsSegment> stats_;
  std::unique_ptr<DatagramPool> datagrams_;
};

std::optional<std::string> Replayer::start(Labelled labelled, FILE* out) {
  auto eal = Eal::start(
      {.devices = {}, .main_core = core_, .hugepages = Hugepages::never, .total_mb = kMemoryMb});
  if (!eal) return eal.error();
  eal_.emplace(std::move(*eal));
  pool_.reset(make_packet_pool(kPackets, kMtuBytes));
  if (!pool_) return std::string("packet buffers: ") + rte_strerror(rte_errno);
  const std::array<unsigned, 1> cores{core_};
  auto stats = StatsSegment::create("", cores);
  if (!stats) return stats.error();
  stats_ = std::move(*stats);
  datagrams_ = std::make_unique<DatagramPool>(FragmentLimits{.datagrams = kDatagrams}, 1);
  names_.add(1, *labelled.table, std::move(labelled.feed));
  policies_.publish(std::move(labelled.table), std::chrono::milliseconds(0));
  out_ = out;
  return std::nullopt;
}

std::optional<std::string> Replayer::run(const ReadyCapture& capture, const std::string& name,
                                         int written) {
  const bool transmit = written >= 0;
  std::string arguments = "rx_pcap=" + by_descriptor(capture.fd());
  if (transmit) arguments += ",tx_pcap=" + by_descriptor(written);
  const auto device = PcapDevice::plug(arguments);
  if (!device) return std::string("DPDK cannot read it: ") + std::strerror(device.error());
  const auto port =
      Port::start(PcapDevice::kName, {.mtu_bytes = kMtuBytes, .transmit = transmit}, pool_.get());
  if (!port) return port.error();
  LineSink sink(out_, std::filesystem::path(name).filename(), names_);
  run_worker(capture, *port, transmit, sink);
  // A packet that is nowhere would be one that nobody can account for: no replay is good without
  // it.
  const std::string wrong = kMeasures ? imbalance_of_core(stats_->book_lines(0)) : "";
  if (!wrong.empty()) {
    return "the books do not balance, a fault of sallyport, please report it: " + wrong;
  }
  if (!sink.finish()) return "cannot write its flow records";
  // net_pcap says "no more" both at the end of the file and when it has no buffer to fill.
  if (port->missed().no_buffer > 0) return "out of packet buffers: the capture was cut short";
  return std::nullopt;
}

// A capture opens no more flows than it has frames: a small one gets a small table, which is ready
// at once.
void Replayer::run_worker(const ReadyCapture& capture, const Port& port, bool transmit,
                          LineSink& sink) {
  const auto flows = static_cast<uint32_t>(
      std::clamp<uint64_t>(capture.survey().frames, kFewestFlows, kMostFlows));
  FlowStageOptions stage{.flow_capacity = flows, .core = core_, .log_every_flow = true};
  stage.limits.verify_checksums = !capture.survey().ignore_checksums;
  stage.limits.fact_blocks = flows * kFactBlocksPerFlow;
  stage.limits.inspections = flows;
  stage.limits.incomplete = true;
  Handoff handoff(1);
  const Clock clock;
  const std::atomic<bool> stop{false};
  BudgetLedger budgets(kBudgets, 1, 0);
  stage.budgets = &budgets;
  std::optional<Bindings> bindings;
  if (!resolvers_.empty()) {
    stage.bindings = &bindings.emplace(resolvers_, kBindingGraceSeconds, kBindings);
  }
  Worker worker(stage, {.inside = port.id(), .outside = port.id(), .can_transmit = transmit},
                Orientation::by_initiator, pool_.get(), sink, stats_->core(0), stats_->counters(0),
                {policies_, clock, handoff, *datagrams_, FlowHash(0), stop});
  worker.join();
  run_capture(worker, port.id(), budgets);
  worker.end_all_flows();
  worker.leave();
}

int open_written(const std::string& path) {
  return open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
}

// One capture from its path to its flow records.
std::optional<std::string> replay_one(Replayer& replayer, const std::string& path,
                                      const ReplayOptions& options) {
  const auto capture = ReadyCapture::open(path, options.checksums);
  if (!capture) return capture.error();
  for (const std::string& note : capture->survey().notes) {
    std::fprintf(stderr, "%s: %s\n", path.c_str(), note.c_str());
  }
  int written = -1;
  if (!options.write_capture.empty()) {
    written = open_written(options.write_capture);
    if (written < 0) return "cannot write " + options.write_capture + ": " + std::strerror(errno);
  }
  auto wrong = replayer.run(*capture, path, written);
  if (written >= 0) close(written);
  if (!wrong && is_damaged(capture->survey().fault)) wrong = to_string(capture->survey().fault);
  return wrong;
}

int replay_all(const std::vector<std::string>& captures, const ReplayOptions& options,
               Labelled labelled, FILE* out) {
  Replayer replayer;
  if (const auto wrong = replayer.start(std::move(labelled), out)) return failed(*wrong);
  std::vector<IpAddress> resolvers;
  for (const std::string& text : options.resolvers) {
    const auto address = parse_ip_address(text);
    if (!address) return failed("--resolver: not an IP address: " + text);
    resolvers.push_back(*address);
  }
  replayer.trust(std::move(resolvers));
  size_t good = 0;
  for (const std::string& path : captures) {
    if (const auto wrong = replay_one(replayer, path, options)) {
      failed(path + ": " + *wrong);
    } else {
      ++good;
    }
  }
  if (good > 0) say_what_happened(replayer.stats(), captures.size());
  return good == captures.size() ? 0 : 2;
}

}  // namespace

int replay(const ReplayOptions& options) {
  const auto image = read_sealed_memfd(options.image_fd);
  if (!image) return failed("policy image: " + std::string(explain(image.error())));
  auto table = PolicyTable::load(*image, 1);
  if (!table) return failed("policy image: " + std::string(explain(table.error())));
  Labelled labelled{.table = std::move(*table), .feed = nullptr};
  if (options.feed_fd >= 0) {
    if (const auto wrong = add_labels(options.feed_fd, labelled)) return failed(*wrong);
  }
  const auto captures = list_captures(options.captures);
  if (!captures) return failed(captures.error());
  if (captures->size() > 1 && !options.write_capture.empty()) {
    return failed("--write-pcap takes what one capture sends on, not " +
                  std::to_string(captures->size()));
  }

  const bool to_file = options.flows != "-";
  FILE* out = to_file ? std::fopen(options.flows.c_str(), "w") : stdout;
  if (out == nullptr) return failed(options.flows + ": " + std::strerror(errno));
  const int status = replay_all(*captures, options, std::move(labelled), out);
  if (to_file && std::fclose(out) != 0) return failed("cannot write " + options.flows);
  return status;
}

}  // namespace sallyport
