#include "dataplane/io/flow_log.h"

#include <spdlog/spdlog.h>
#include <sys/un.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "dataplane/io/log_file.h"
#include "dataplane/io/log_socket.h"
#include "dataplane/io/log_time.h"

namespace sallyport {
namespace {

constexpr size_t kBatchBytes = size_t{256} << 10;
constexpr auto kIdleWait = std::chrono::milliseconds(20);
constexpr auto kEndWithin = std::chrono::seconds(1);
constexpr uint64_t kReportEveryNs = 10'000'000'000;

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
  std::unique_ptr<FlowLog> log(new FlowLog(std::move(sources), names, options.holds_back));
  if (options.to_file) {
    auto file = LogFile::open(path, options, log->cores_, *log->losses_, unix_now_ns());
    if (!file) return std::unexpected(file.error());
    log->add_sink(path, std::move(*file));
  }
  if (!options.socket.empty()) {
    if (options.socket.size() >= sizeof(sockaddr_un::sun_path)) {
      return std::unexpected("flow log " + options.socket +
                             ": the path is too long for a socket (flow_log.socket)");
    }
    log->add_sink(options.socket,
                  std::make_unique<LogSocket>(options.socket, log->cores_, *log->losses_));
  }
  log->reported_.resize(log->lanes_.size());
  log->reported_ns_.resize(log->lanes_.size());
  log->thread_ = std::thread([raw = log.get()] { raw->run(); });
  return log;
}

FlowLog::FlowLog(std::vector<LogSource> sources, const PolicyNames& names, bool holds_back)
    : sources_(std::move(sources)),
      cores_(cores_of(sources_)),
      holds_back_(holds_back),
      losses_(std::make_shared<LogLosses>(sources_.size())),
      eve_(names) {}

FlowLog::~FlowLog() {
  end();
}

void FlowLog::add_sink(std::string name, std::unique_ptr<LogSink> sink) {
  lanes_.push_back(std::make_unique<LogLane>(std::move(name), cores_, losses_, std::move(sink)));
}

bool FlowLog::end() {
  stop_.store(true, std::memory_order_release);
  if (thread_.joinable()) thread_.join();
  const auto deadline = std::chrono::steady_clock::now() + kEndWithin;
  for (const auto& lane : lanes_) lane->close();
  bool all = true;
  for (const auto& lane : lanes_) {
    const LogLane::Ending ending = lane->end(deadline);
    if (ending.ended) continue;
    all = false;
    spdlog::error("flow log {}: it hangs and is left behind; {} events that waited for it are lost",
                  lane->name(), ending.lost);
  }
  lanes_.clear();
  return all;
}

void FlowLog::run() {
  while (!stop_.load(std::memory_order_acquire)) {
    if (reopen_.exchange(false, std::memory_order_acquire)) {
      for (const auto& lane : lanes_) lane->reopen();
    }
    const bool busy = drain(holds_back_);
    note_full_rings();
    tell_watcher();
    report();
    if (!busy) std::this_thread::sleep_for(kIdleWait);
  }
  while (drain(false)) {
  }
  note_full_rings();
}

void FlowLog::watch(std::function<void(uint64_t)> watcher) {
  const std::lock_guard lock(watcher_mutex_);
  watcher_ = std::move(watcher);
}

void FlowLog::tell_watcher() {
  uint64_t turned = unix_now_ns();
  for (const auto& lane : lanes_) turned = std::min(turned, lane->turned_unix_ns());
  const std::lock_guard lock(watcher_mutex_);
  if (watcher_) watcher_(turned);
}

bool FlowLog::has_room() const {
  return std::ranges::all_of(lanes_, [](const auto& lane) { return lane->has_room(); });
}

// A ring at a time, and of each no more than is written at once: none waits for another to be
// empty.
bool FlowLog::drain(bool holds_back) {
  bool found = false;
  for (size_t worker = 0; worker < sources_.size(); ++worker) {
    if (holds_back && !has_room()) return false;
    const auto batch = take_batch(worker);
    if (batch->lines.empty()) continue;
    found = true;
    for (const auto& lane : lanes_) lane->offer(batch);
  }
  return found;
}

std::shared_ptr<const LogBatch> FlowLog::take_batch(size_t worker) {
  auto batch = std::make_shared<LogBatch>();
  batch->worker = worker;
  while (batch->text.size() < kBatchBytes && sources_[worker].ring->pop(event_)) {
    eve_.append(event_, batch->text);
    batch->text += '\n';
    batch->lines.push_back({batch->text.size(), event_.timestamp_unix_ns});
  }
  return batch;
}

void FlowLog::note_full_rings() {
  for (size_t worker = 0; worker < sources_.size(); ++worker) {
    const LogGap gap = sources_[worker].ring->take_gap();
    for (const auto& lane : lanes_) lane->note_missing(worker, gap);
  }
}

// Once when it begins, again from time to time while it lasts, and when it is over.
void FlowLog::report() {
  for (size_t i = 0; i < lanes_.size(); ++i) {
    const uint64_t now = unix_now_ns();
    const std::string trouble = lanes_[i]->trouble(now);
    if (trouble.empty() && reported_[i].empty()) continue;
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
