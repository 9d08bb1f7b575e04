#include "dataplane/io/flow_log.h"

#include <spdlog/spdlog.h>
#include <sys/un.h>

#include <chrono>
#include <utility>

#include "dataplane/io/log_file.h"
#include "dataplane/io/log_socket.h"

namespace sallyport {
namespace {

constexpr size_t kBatchBytes = size_t{256} << 10;
constexpr auto kIdleWait = std::chrono::milliseconds(20);
constexpr uint64_t kReportEveryNs = 10'000'000'000;

uint64_t unix_ns() noexcept {
  return static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch() /
                               std::chrono::nanoseconds(1));
}

std::vector<unsigned> cores_of(const std::vector<LogSource>& sources) {
  std::vector<unsigned> cores;
  for (const LogSource& source : sources) cores.push_back(source.core);
  return cores;
}

}  // namespace

std::expected<std::unique_ptr<FlowLog>, std::string> FlowLog::start(const std::string& path,
                                                                    const LogOptions& options,
                                                                    std::vector<LogSource> sources,
                                                                    const PolicyNames& names) {
  const std::vector<unsigned> cores = cores_of(sources);
  std::unique_ptr<FlowLog> log(new FlowLog(std::move(sources), names));
  if (options.to_file) {
    auto file = LogFile::open(path, options, cores, log->losses_, unix_ns());
    if (!file) return std::unexpected(file.error());
    log->sinks_.push_back(std::move(*file));
  }
  if (!options.socket.empty()) {
    if (options.socket.size() >= sizeof(sockaddr_un::sun_path)) {
      return std::unexpected("flow log " + options.socket +
                             ": the path is too long for a socket (flow_log.socket)");
    }
    log->sinks_.push_back(std::make_unique<LogSocket>(options.socket, cores, log->losses_));
  }
  log->reported_.resize(log->sinks_.size());
  log->reported_ns_.resize(log->sinks_.size());
  log->thread_ = std::thread([raw = log.get()] { raw->run(); });
  return log;
}

FlowLog::FlowLog(std::vector<LogSource> sources, const PolicyNames& names)
    : sources_(std::move(sources)), losses_(sources_.size()), eve_(names) {}

FlowLog::~FlowLog() {
  stop_.store(true, std::memory_order_release);
  if (thread_.joinable()) thread_.join();
}

void FlowLog::run() {
  while (!stop_.load(std::memory_order_acquire)) {
    beat();
    if (reopen_.exchange(false, std::memory_order_acquire)) {
      for (const auto& sink : sinks_) sink->reopen();
    }
    const bool busy = drain();
    note_full_rings();
    for (const auto& sink : sinks_) sink->tick(unix_ns());
    report();
    if (!busy) std::this_thread::sleep_for(kIdleWait);
  }
  while (drain()) {
  }
  note_full_rings();
  for (const auto& sink : sinks_) sink->finish(unix_ns());
}

void FlowLog::beat() noexcept {
  auto* heartbeat = heartbeat_.load(std::memory_order_acquire);
  if (heartbeat != nullptr) heartbeat->store(unix_ns(), std::memory_order_relaxed);
}

// A ring at a time, and of each no more than is written at once: none waits for another to be
// empty.
bool FlowLog::drain() {
  bool found = false;
  for (size_t worker = 0; worker < sources_.size(); ++worker) {
    if (!take_batch(worker)) continue;
    found = true;
    const uint64_t now = unix_ns();
    for (const auto& sink : sinks_) sink->take(batch_, now);
  }
  return found;
}

bool FlowLog::take_batch(size_t worker) {
  batch_.clear();
  batch_.worker = worker;
  while (batch_.text.size() < kBatchBytes && sources_[worker].ring->pop(event_)) {
    eve_.append(event_, batch_.text);
    batch_.text += '\n';
    batch_.lines.push_back({batch_.text.size(), event_.timestamp_unix_ns});
  }
  return !batch_.lines.empty();
}

void FlowLog::note_full_rings() {
  for (size_t worker = 0; worker < sources_.size(); ++worker) {
    const LogGap gap = sources_[worker].ring->take_gap();
    for (const auto& sink : sinks_) sink->note_missing(worker, gap);
  }
}

// Once when it begins, again from time to time while it lasts, and when it is over.
void FlowLog::report() {
  for (size_t i = 0; i < sinks_.size(); ++i) {
    const std::string& trouble = sinks_[i]->trouble();
    if (trouble.empty() && reported_[i].empty()) continue;
    const uint64_t now = unix_ns();
    if (trouble == reported_[i] && now - reported_ns_[i] < 6 * kReportEveryNs) continue;
    if (trouble != reported_[i] && now - reported_ns_[i] < kReportEveryNs) continue;
    if (trouble.empty()) {
      spdlog::info("flow log: it is written again; what was lost stands in it as gaps");
    } else {
      spdlog::warn("flow log {}", trouble);
    }
    reported_[i] = trouble;
    reported_ns_[i] = now;
  }
}

}  // namespace sallyport
