#include "dataplane/io/gateway.h"

#include <poll.h>
#include <rte_errno.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_random.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

namespace sallyport {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

/// What an ordinary flow keeps: a name, the protocols offered, a fingerprint.
constexpr uint32_t kFactBlocksPerFlow = 4;
constexpr unsigned kEventsPerRing = 4096;
constexpr auto kAcknowledgeWithin = 3s;
constexpr auto kHousekeepingEvery = 200ms;

EalOptions eal_options(const GatewayConfig& config) {
  return {.devices = {config.inside_device, config.outside_device},
          .main_core = config.main_core,
          .worker_cores = config.worker_cores,
          .hugepages = config.hugepages,
          .total_mb = config.total_mb};
}

FlowStageOptions stage_options(const GatewayConfig& config, unsigned worker, int socket) {
  constexpr uint32_t kMs = 1000;
  return {.limits = {.held_bytes_per_flow = config.held_bytes_per_flow,
                     .held_packets = config.held_packets_per_worker,
                     .fact_blocks = config.flow_capacity * kFactBlocksPerFlow,
                     .inspections = config.inspected_flows_per_worker,
                     .http2_connections = config.http2_connections_per_worker,
                     .quic_hellos = config.quic_handshakes_per_worker,
                     .inspection_timeout_ms = config.inspection_timeout_seconds * kMs},
          .timeouts = {.tcp_idle_ms = config.tcp_idle_seconds * kMs,
                       .tcp_opening_ms = config.tcp_opening_seconds * kMs,
                       .tcp_closing_ms = config.tcp_closing_seconds * kMs,
                       .udp_idle_ms = config.udp_idle_seconds * kMs,
                       .other_idle_ms = config.other_idle_seconds * kMs},
          .flow_capacity = config.flow_capacity,
          .core = config.worker_cores[worker],
          .worker = worker,
          .pass_inbound_flows = config.pass_inbound_flows,
          .socket = socket};
}

std::string make_parent(const std::string& path) {
  std::error_code error;
  const fs::path parent = fs::path(path).parent_path();
  if (!parent.empty()) fs::create_directories(parent, error);
  return error ? parent.string() + ": cannot be made: " + error.message() : "";
}

sigset_t handled_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  return signals;
}

int run_worker(void* worker) {
  static_cast<Worker*>(worker)->run();
  return 0;
}

}  // namespace

Gateway::Gateway(const GatewayConfig& config, Eal eal)
    : config_(config),
      eal_(std::move(eal)),
      policies_(static_cast<unsigned>(config.worker_cores.size())),
      handoff_(static_cast<unsigned>(config.worker_cores.size())),
      datagrams_(config.fragments, static_cast<unsigned>(config.worker_cores.size())),
      hash_(rte_rand()) {}

Gateway::~Gateway() {
  workers_.clear();
  log_.reset();
  rings_.clear();
  ports_.clear();
  rte_mempool_free(pool_);
}

std::expected<std::unique_ptr<Gateway>, std::string> Gateway::create(const GatewayConfig& config) {
  // Before any thread exists, DPDK's among them: only the control thread may take these.
  const sigset_t signals = handled_signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  auto eal = Eal::start(eal_options(config));
  if (!eal) return std::unexpected(eal.error());
  try {
    std::unique_ptr<Gateway> gateway(new Gateway(config, std::move(*eal)));
    if (std::string wrong = gateway->open_ports(); !wrong.empty()) return std::unexpected(wrong);
    if (std::string wrong = gateway->open_files(); !wrong.empty()) return std::unexpected(wrong);
    gateway->make_workers();
    gateway->load_stored_policy();
    return gateway;
  } catch (const std::exception& error) {
    return std::unexpected(error.what());
  }
}

std::string Gateway::open_ports() {
  pool_ = make_packet_pool(config_.packets, config_.mtu_bytes);
  if (pool_ == nullptr) {
    return "packet buffers (memory.packets " + std::to_string(config_.packets) +
           "): " + rte_strerror(rte_errno) + "; raise memory.total_mb";
  }
  const PortOptions options{.queues = static_cast<uint16_t>(config_.worker_cores.size()),
                            .rx_descriptors = config_.rx_descriptors,
                            .tx_descriptors = config_.tx_descriptors,
                            .mtu_bytes = config_.mtu_bytes};
  for (const std::string& device : {config_.inside_device, config_.outside_device}) {
    auto port = Port::start(device_name(device), options, pool_);
    if (!port) return port.error();
    ports_.push_back(std::move(*port));
  }
  return "";
}

std::string Gateway::open_files() {
  for (const std::string& path : {config_.stats, config_.control_socket, config_.flow_log}) {
    if (std::string wrong = make_parent(path); !wrong.empty()) return wrong;
  }
  auto socket =
      ControlSocket::open(config_.control_socket, config_.control_user,
                          {.push = [this](std::span<const uint8_t> image) { return push(image); },
                           .describe = [this](PushReply& reply) { describe(reply); }});
  if (!socket) return socket.error();
  socket_ = std::move(*socket);

  for (size_t i = 0; i < config_.worker_cores.size(); ++i) {
    const std::string name = "events_" + std::to_string(i);
    rings_.push_back(std::make_unique<FlowEventRing>(name.c_str(), kEventsPerRing, SOCKET_ID_ANY));
  }
  std::vector<FlowEventRing*> rings;
  for (const auto& ring : rings_) rings.push_back(ring.get());
  auto log = FlowLog::start(config_.flow_log, std::move(rings), names_);
  if (!log) return log.error();
  log_ = std::move(*log);

  auto stats = StatsSegment::create(config_.stats, config_.worker_cores);
  if (!stats) return stats.error();
  stats_ = std::move(*stats);
  return "";
}

void Gateway::make_workers() {
  for (unsigned i = 0; i < config_.worker_cores.size(); ++i) {
    const PortPair ports{
        .inside = ports_[0].id(), .outside = ports_[1].id(), .queue = static_cast<uint16_t>(i)};
    workers_.push_back(std::make_unique<Worker>(
        stage_options(config_, i, ports_[0].socket()), ports,
        config_.by_initiator ? Orientation::by_initiator : Orientation::by_port, pool_, *rings_[i],
        stats_->core(i), stats_->counters(i),
        Shared{.policies = policies_,
               .clock = clock_,
               .handoff = handoff_,
               .datagrams = datagrams_,
               .hash = hash_,
               .stop = stop_}));
  }
}

// A restart must not leave the node without the policy it had.
void Gateway::load_stored_policy() {
  std::error_code ignored;
  std::ifstream in(config_.policy_image, std::ios::binary);
  if (!in.is_open() || !fs::is_regular_file(config_.policy_image, ignored)) {
    spdlog::warn("no stored policy at {}: everything is denied until one is pushed",
                 config_.policy_image);
    return;
  }
  const std::vector<char> bytes(std::istreambuf_iterator<char>(in), {});
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  auto table =
      PolicyTable::load({data, bytes.size()}, static_cast<unsigned>(config_.worker_cores.size()));
  if (!table) {
    spdlog::error("stored policy {} is refused ({}): {}; everything is denied until one is pushed",
                  config_.policy_image, to_string(table.error()), explain(table.error()));
    return;
  }
  revision_ = (*table)->revision();
  names_.add(policies_.generation() + 1, **table);
  policies_.publish(std::move(*table), 0ms);
  image_.assign(data, data + bytes.size());
  spdlog::info("policy {} is in force, from {}", revision_text(revision_), config_.policy_image);
}

Refusal Gateway::push(std::span<const uint8_t> image) {
  auto table = PolicyTable::load(image, static_cast<unsigned>(workers_.size()));
  if (!table) {
    spdlog::error("a pushed policy is refused ({}): {}", to_string(table.error()),
                  explain(table.error()));
    return table.error();
  }
  revision_ = (*table)->revision();
  const uint32_t generation = policies_.generation() + 1;
  names_.add(generation, **table);
  const bool freed = policies_.publish(std::move(*table), kAcknowledgeWithin);
  if (!freed || !acknowledged(generation)) {
    spdlog::error("policy {}: a worker core did not take it in time", revision_text(revision_));
    put_back();
    return Refusal::not_acknowledged;
  }
  image_.assign(image.begin(), image.end());
  spdlog::info("policy {} is in force on {} cores, generation {}", revision_text(revision_),
               workers_.size(), generation);
  return Refusal::none;
}

// All or nothing: the cores that took a policy which another did not get the one before it again.
void Gateway::put_back() {
  auto table = PolicyTable::load(image_, static_cast<unsigned>(workers_.size()));
  if (!table) {  // there was none before: back to denying everything
    revision_ = 0;
    policies_.publish(nullptr, 0ms);
    spdlog::warn("no policy is in force: everything is denied until one is pushed");
    return;
  }
  revision_ = (*table)->revision();
  names_.add(policies_.generation() + 1, **table);
  policies_.publish(std::move(*table), 0ms);
  spdlog::warn("policy {} is put back", revision_text(revision_));
}

bool Gateway::acknowledged(uint32_t generation) {
  const auto deadline = std::chrono::steady_clock::now() + kAcknowledgeWithin;
  for (size_t i = 0; i < workers_.size(); ++i) {
    while (stats_->core(i).generation.load(std::memory_order_acquire) < generation) {
      if (std::chrono::steady_clock::now() >= deadline) return false;
      std::this_thread::sleep_for(100us);
    }
  }
  return true;
}

void Gateway::describe(PushReply& reply) {
  reply.core_count = static_cast<uint32_t>(workers_.size());
  for (size_t i = 0; i < workers_.size(); ++i) {
    const StatsCore& core = stats_->core(i);
    reply.cores[i] = {.core = core.core,
                      .revision = core.revision.load(std::memory_order_relaxed),
                      .generation = core.generation.load(std::memory_order_acquire)};
  }
}

std::string Gateway::summary() const {
  std::string cores;
  for (const unsigned core : config_.worker_cores) cores += " " + std::to_string(core);
  return "ready: inside " + device_name(config_.inside_device) + ", outside " +
         device_name(config_.outside_device) + ", worker cores" + cores + ", " +
         (eal_.hugepages() ? "hugepages"
                           : "no hugepages (--no-huge: slower; see vm.nr_hugepages)") +
         ", policy " + (revision_ != 0 ? revision_text(revision_) : "none");
}

void Gateway::run() {
  launch();
  std::fprintf(stderr, "%s\n", summary().c_str());  // alone on its line: what waits for it greps
  serve_until_signalled();
  stop_.store(true, std::memory_order_relaxed);
  rte_eal_mp_wait_lcore();
  spdlog::info("stopped");
}

void Gateway::launch() {
  for (size_t i = 0; i < workers_.size(); ++i) {
    rte_eal_remote_launch(run_worker, workers_[i].get(), config_.worker_cores[i]);
  }
}

// The ports know it, no core does: these slots of the first core's block are this thread's.
void Gateway::note_missed() {
  CoreCounters counters = stats_->counters(0);
  const Port::Missed inside = ports_[0].missed();
  const Port::Missed outside = ports_[1].missed();
  counters.set(Counter::missed_queue_full_inside, inside.queue_full);
  counters.set(Counter::missed_queue_full_outside, outside.queue_full);
  counters.set(Counter::missed_no_buffer_inside, inside.no_buffer);
  counters.set(Counter::missed_no_buffer_outside, outside.no_buffer);
}

void Gateway::serve_until_signalled() {
  const sigset_t signals = handled_signals();
  const int signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  uint64_t lost = 0;
  for (;;) {
    std::vector<pollfd> waiting{{.fd = signal_fd, .events = POLLIN, .revents = 0}};
    for (const int fd : socket_->descriptors()) {
      waiting.push_back({.fd = fd, .events = POLLIN, .revents = 0});
    }
    poll(waiting.data(), waiting.size(), static_cast<int>(kHousekeepingEvery / 1ms));
    signalfd_siginfo info{};
    if (read(signal_fd, &info, sizeof info) == sizeof info && info.ssi_signo != SIGHUP) break;
    socket_->serve();
    clock_.follow_wall_clock();
    note_missed();
    if (const uint64_t now_lost = log_->lost(); now_lost != lost) {
      spdlog::warn("flow log: {} lines could not be written to {}", now_lost - lost,
                   config_.flow_log);
      lost = now_lost;
    }
  }
  close(signal_fd);
}

}  // namespace sallyport
