#include "dataplane/io/log_lane.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <utility>

#include "dataplane/io/log_time.h"

namespace sallyport {
namespace {

constexpr auto kTickEvery = std::chrono::milliseconds(20);
// As /readyz has it: a slow disk may take a while, one that takes so long is stuck.
constexpr std::chrono::nanoseconds kStuckAfter = std::chrono::seconds(5);

size_t memory_of(const LogBatch& batch) noexcept {
  return sizeof batch + batch.text.capacity() + batch.lines.capacity() * sizeof(LogBatch::Line);
}

}  // namespace

struct LogLane::Shared {
  Shared(const std::vector<unsigned>& cores, std::shared_ptr<LogLosses> counts,
         std::unique_ptr<LogSink> to)
      : losses(std::move(counts)), sink(std::move(to)), missing(cores), turned_ns(unix_now_ns()) {}

  void lose(const LogBatch& batch) {
    for (const LogBatch::Line& line : batch.lines) {
      missing.note(batch.worker, LogLoss::sink_slow, {1, line.unix_ns, line.unix_ns});
    }
    losses->add(batch.worker, LogLoss::sink_slow, batch.lines.size());
  }

  const std::shared_ptr<LogLosses> losses;  // first in, last out: the sink counts in it
  std::unique_ptr<LogSink> sink;            // the thread's alone
  std::mutex mutex;                         // of all below; held for moments, never over a write
  std::condition_variable came;
  std::condition_variable ended_now;
  std::deque<std::shared_ptr<const LogBatch>> waiting;
  size_t waiting_bytes = 0;
  std::shared_ptr<const LogBatch> in_hand;  // of the sink
  LogGaps missing;                          // what the sink has not been told of
  std::string trouble;
  bool losing = false;  // until half of the room is free again: else there is a gap a line
  bool reopen = false;
  bool closed = false;
  bool ended = false;
  std::atomic<uint64_t> turned_ns;
};

LogLane::LogLane(std::string name, const std::vector<unsigned>& cores,
                 std::shared_ptr<LogLosses> losses, std::unique_ptr<LogSink> sink)
    : name_(std::move(name)),
      shared_(std::make_shared<Shared>(cores, std::move(losses), std::move(sink))),
      thread_([shared = shared_] { serve(*shared); }) {}

LogLane::~LogLane() {
  close();
  end(std::chrono::steady_clock::now());
}

void LogLane::serve(Shared& shared) {
  for (;;) {
    std::unique_lock lock(shared.mutex);
    shared.came.wait_for(lock, kTickEvery,
                         [&] { return !shared.waiting.empty() || shared.closed; });
    if (!shared.waiting.empty()) {
      shared.in_hand = std::move(shared.waiting.front());
      shared.waiting.pop_front();
      shared.waiting_bytes -= memory_of(*shared.in_hand);
      shared.losing = shared.losing && shared.waiting_bytes > kMostWaiting / 2;
    }
    const std::shared_ptr<const LogBatch> batch = shared.in_hand;
    const bool last = !batch && shared.closed;
    if (std::exchange(shared.reopen, false)) shared.sink->reopen();
    shared.sink->note_missing(shared.missing);
    shared.missing.clear();
    lock.unlock();

    const uint64_t now = unix_now_ns();
    shared.turned_ns.store(now, std::memory_order_relaxed);
    if (batch) shared.sink->take(*batch, now);
    if (last) break;
    shared.sink->tick(now);
    lock.lock();
    shared.in_hand.reset();
    shared.trouble = shared.sink->trouble();
  }
  shared.sink->finish(unix_now_ns());
  shared.sink.reset();  // may wait for its disk, too
  const std::lock_guard lock(shared.mutex);
  shared.ended = true;
  shared.ended_now.notify_all();
}

void LogLane::offer(const std::shared_ptr<const LogBatch>& batch) {
  {
    const std::lock_guard lock(shared_->mutex);
    const size_t bytes = memory_of(*batch);
    shared_->losing = shared_->losing || shared_->waiting_bytes + bytes > kMostWaiting;
    if (shared_->losing) return shared_->lose(*batch);
    shared_->waiting.push_back(batch);
    shared_->waiting_bytes += bytes;
  }
  shared_->came.notify_one();
}

// Half of it is more than any batch takes.
bool LogLane::has_room() const {
  const std::lock_guard lock(shared_->mutex);
  return !shared_->losing && shared_->waiting_bytes < kMostWaiting / 2;
}

void LogLane::note_missing(size_t worker, const LogGap& gap) {
  const std::lock_guard lock(shared_->mutex);
  shared_->missing.note(worker, LogLoss::ring_full, gap);
}

void LogLane::reopen() {
  const std::lock_guard lock(shared_->mutex);
  shared_->reopen = true;
}

uint64_t LogLane::turned_unix_ns() const noexcept {
  return shared_->turned_ns.load(std::memory_order_relaxed);
}

std::string LogLane::trouble(uint64_t now_unix_ns) const {
  const uint64_t turned = turned_unix_ns();
  if (now_unix_ns > turned && now_unix_ns - turned > static_cast<uint64_t>(kStuckAfter.count())) {
    return name_ + ": stuck, a write does not come back; packets go on, and events that find no " +
           "room are lost; mend the disk, or start the pipe's reader";
  }
  const std::lock_guard lock(shared_->mutex);
  if (!shared_->trouble.empty() || !shared_->losing) return shared_->trouble;
  return name_ + ": takes lines too slowly, and events are lost; a faster disk, or less to log";
}

void LogLane::close() {
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->closed = true;
  }
  shared_->came.notify_one();
}

// What the thread has in hand may be written yet; nobody will know, so it counts as lost.
LogLane::Ending LogLane::end(std::chrono::steady_clock::time_point deadline) {
  if (!thread_.joinable()) return {.ended = true};
  std::unique_lock lock(shared_->mutex);
  if (shared_->ended_now.wait_until(lock, deadline, [this] { return shared_->ended; })) {
    lock.unlock();
    thread_.join();
    return {.ended = true};
  }
  if (shared_->in_hand) shared_->waiting.push_front(shared_->in_hand);
  Ending out;
  for (const auto& batch : shared_->waiting) {
    shared_->lose(*batch);
    out.lost += batch->lines.size();
  }
  shared_->waiting.clear();
  shared_->waiting_bytes = 0;
  thread_.detach();
  return out;
}

}  // namespace sallyport
