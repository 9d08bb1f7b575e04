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

#include "dataplane/io/preflight.h"
#include "dataplane/io/stage_options.h"

namespace sallyport {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

// 8 MiB a worker: some 25,000 events of the usual length, 2,900 of the longest.
constexpr unsigned kEventRingLines = 1u << 17;
constexpr auto kHousekeepingEvery = 200ms;
constexpr auto kFreeWithin = 20ms;

EalOptions eal_options(const GatewayConfig& config) {
  return {.devices = {config.inside_device, config.outside_device},
          .main_core = config.main_core,
          .worker_cores = config.worker_cores,
          .hugepages = config.hugepages,
          .total_mb = config.total_mb,
          .telemetry = config.telemetry};
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
      hash_(rte_rand()),
      budgets_(config.budget_entries, static_cast<unsigned>(config.worker_cores.size()),
               rte_rand()),
      budget_keeper_(budgets_, config.budget_state,
                     [this] { return policies_.wait_for_workers(kFreeWithin); }) {
  if (config.resolvers.empty()) return;
  bindings_ = std::make_unique<Bindings>(config.resolvers, config.binding_grace_seconds,
                                         config.binding_entries);
}

Gateway::~Gateway() {
  workers_.clear();
  if (log_) log_->end();  // its thread asks log_ for what was lost, up to there
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
    gateway->keeper_->load_stored(config.policy_image, config.identity_feed);
    gateway->budget_keeper_.load(gateway->unix_seconds());
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
  auto socket = ControlSocket::open(
      config_.control_socket, config_.control_user,
      {.push = [this](auto image) { return keeper_->push(image); },
       .push_identities = [this](auto feed) { return keeper_->push_identities(feed); },
       .describe = [this](PushReply& reply) { describe(reply); }});
  if (!socket) return socket.error();
  socket_ = std::move(*socket);

  for (size_t i = 0; i < config_.worker_cores.size(); ++i) {
    const std::string name = "events_" + std::to_string(i);
    rings_.push_back(std::make_unique<FlowEventRing>(name.c_str(), kEventRingLines, SOCKET_ID_ANY));
  }
  std::vector<LogSource> sources;
  for (size_t i = 0; i < rings_.size(); ++i) {
    sources.push_back({.ring = rings_[i].get(), .core = config_.worker_cores[i]});
  }
  LogOptions options = config_.log;
  options.holds_back = config_.exceptions[Exception::log_ring_full] != ExceptionAction::pass_flow;
  auto log = FlowLog::start(config_.flow_log, options, std::move(sources), names_);
  if (!log) return log.error();
  log_ = std::move(*log);

  auto stats = StatsSegment::create(config_.stats, config_.worker_cores);
  if (!stats) return stats.error();
  stats_ = std::move(*stats);
  telemetry_ = std::make_unique<Telemetry>(*stats_);
  log_->watch([this](uint64_t turned_unix_ns) { note_log(turned_unix_ns); });
  CoreCounters first = stats_->counters(0);
  for (const ExceptionInfo& info : kExceptionInfo) {
    first.fails_open(info.id, config_.exceptions[info.id] == ExceptionAction::pass_flow);
  }
  const auto workers = static_cast<unsigned>(config_.worker_cores.size());
  keeper_ =
      std::make_unique<PolicyKeeper>(PolicyKeeper::Shared{policies_, names_, *stats_, workers});
  return "";
}

void Gateway::make_workers() {
  const uint64_t now_unix_ns = clock_.now().unix_ns;
  for (unsigned i = 0; i < config_.worker_cores.size(); ++i) {
    const PortPair ports{
        .inside = ports_[0].id(), .outside = ports_[1].id(), .queue = static_cast<uint16_t>(i)};
    FlowStageOptions options = stage_options(config_, i, &budgets_, bindings_.get());
    options.ids_since_unix_ns = now_unix_ns;
    workers_.push_back(std::make_unique<Worker>(
        options, ports, config_.by_initiator ? Orientation::by_initiator : Orientation::by_port,
        pool_, *rings_[i], stats_->core(i), stats_->counters(i),
        Shared{.policies = policies_,
               .clock = clock_,
               .handoff = handoff_,
               .datagrams = datagrams_,
               .hash = hash_,
               .stop = stop_}));
  }
}

void Gateway::describe(PushReply& reply) {
  reply.identities = keeper_->identities();
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
         ", policy " + (keeper_->revision() != 0 ? revision_text(keeper_->revision()) : "none");
}

void Gateway::run() {
  log_preflight();
  launch();
  std::fprintf(stderr, "%s\n", summary().c_str());  // alone on its line: what waits for it greps
  serve_until_signalled();
  stop_.store(true, std::memory_order_relaxed);
  rte_eal_mp_wait_lcore();
  budget_keeper_.finish(unix_seconds());  // without what the workers had taken and not sent
  log_->end();
  note_missed();
  note_lost_events();
  note_rings();
  spdlog::info("stopped");
}

void Gateway::log_preflight() const {
  if constexpr (!kMeasures) spdlog::warn("this build measures nothing: it is for benches only");
  for (const Preflight& line : preflight(config_, keeper_->revision() != 0)) {
    spdlog::log(line.fails_open ? spdlog::level::warn : spdlog::level::info, "{}", line.text);
  }
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
  counters.set(Counter::port_errors_rx_inside, inside.received_damaged);
  counters.set(Counter::port_errors_rx_outside, outside.received_damaged);
  counters.set(Counter::port_errors_tx_inside, inside.not_sent);
  counters.set(Counter::port_errors_tx_outside, outside.not_sent);
}

// The log's thread, so that it does not wait for whatever holds the control thread up.
void Gateway::note_log(uint64_t turned_unix_ns) {
  stats_->log_writer_heartbeat().store(turned_unix_ns, std::memory_order_relaxed);
  note_lost_events();
}

// The writer has no slots of its own: these of each core's block are the log's thread's, and the
// control thread's when that has ended.
void Gateway::note_lost_events() {
  static constexpr std::pair<Counter, LogLoss> kCauses[] = {
      {Counter::events_lost_write_failed, LogLoss::write_failed},
      {Counter::events_lost_sink_gone, LogLoss::sink_gone},
      {Counter::events_lost_sink_slow, LogLoss::sink_slow}};
  for (size_t i = 0; i < rings_.size(); ++i) {
    CoreCounters counters = stats_->counters(i);
    for (const auto& [counter, cause] : kCauses) counters.set(counter, log_->losses().of(i, cause));
  }
}

// The workers need not know. These slots, too, are this thread's.
void Gateway::note_rings() {
  for (unsigned i = 0; i < workers_.size(); ++i) {
    CoreCounters counters = stats_->counters(i);
    counters.set(Counter::handoff_waiting, handoff_.waiting(i));
    counters.set(Counter::handoff_capacity, handoff_.capacity());
    counters.set(Counter::event_ring_lines, rings_[i]->lines_waiting());
    counters.set(Counter::event_ring_capacity, rings_[i]->capacity());
  }
}

int64_t Gateway::unix_seconds() const noexcept {
  return static_cast<int64_t>(clock_.now().unix_ns / 1'000'000'000);
}

// Like the ports' counters, these stand in the first core's block and are this thread's.
void Gateway::keep_budgets() {
  budget_keeper_.tick(unix_seconds());
  CoreCounters counters = stats_->counters(0);
  counters.set(Counter::budget_entries, budgets_.entries());
  counters.set(Counter::budget_state_failures, budget_keeper_.failures());
  counters.set(Counter::budget_state_behind, budget_keeper_.behind_seconds(unix_seconds()));
}

void Gateway::keep_bindings() {
  if (bindings_ == nullptr) return;
  bindings_->table.forget_ended(unix_seconds());
  CoreCounters counters = stats_->counters(0);
  counters.set(Counter::bindings_learnt, bindings_->table.learnt());
  counters.set(Counter::bindings_evicted, bindings_->table.evicted());
  counters.set(Counter::bindings_crowded_out, bindings_->table.crowded_out());
  counters.set(Counter::bindings_unasked, bindings_->unasked.load(std::memory_order_relaxed));
}

void Gateway::serve_until_signalled() {
  const sigset_t signals = handled_signals();
  const int signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  for (;;) {
    std::vector<pollfd> waiting{{.fd = signal_fd, .events = POLLIN, .revents = 0}};
    for (const int fd : socket_->descriptors()) {
      waiting.push_back({.fd = fd, .events = POLLIN, .revents = 0});
    }
    poll(waiting.data(), waiting.size(), static_cast<int>(kHousekeepingEvery / 1ms));
    signalfd_siginfo info{};
    if (read(signal_fd, &info, sizeof info) == sizeof info) {
      if (info.ssi_signo != SIGHUP) break;
      log_->reopen();
    }
    socket_->serve();
    clock_.follow_wall_clock();
    note_missed();
    keeper_->tick(unix_seconds());
    keep_budgets();
    keep_bindings();
    note_rings();
  }
  close(signal_fd);
}

}  // namespace sallyport
