#include "dataplane/io/flow_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>

namespace sallyport {
namespace {
constexpr size_t kBatch = 256;
constexpr auto kIdleWait = std::chrono::milliseconds(20);
}  // namespace

std::expected<std::unique_ptr<FlowLog>, std::string> FlowLog::start(
    const std::string& path, std::vector<FlowEventRing*> rings, const PolicyNames& names) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
  if (fd < 0) {
    return std::unexpected("flow log " + path + ": cannot open: " + std::strerror(errno) +
                           " (paths.flow_log in the configuration)");
  }
  return std::unique_ptr<FlowLog>(new FlowLog(fd, std::move(rings), names));
}

FlowLog::FlowLog(int fd, std::vector<FlowEventRing*> rings, const PolicyNames& names)
    : fd_(fd), rings_(std::move(rings)), names_(names), batch_(kBatch), thread_([this] {
        run();
      }) {}

FlowLog::~FlowLog() {
  stop_.store(true, std::memory_order_release);
  thread_.join();
  close(fd_);
}

void FlowLog::run() {
  while (!stop_.load(std::memory_order_acquire)) {
    if (!drain()) std::this_thread::sleep_for(kIdleWait);
  }
  while (drain()) {
  }
}

bool FlowLog::drain() {
  bool found = false;
  for (FlowEventRing* ring : rings_) {
    const unsigned count = ring->pop(batch_);
    if (count == 0) continue;
    found = true;
    std::string text;
    for (unsigned i = 0; i < count; ++i) text += to_eve(batch_[i], names_) + '\n';
    write_all(text, count);
  }
  return found;
}

void FlowLog::write_all(const std::string& text, uint64_t lines) {
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t wrote = write(fd_, text.data() + done, text.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) {
      lost_.fetch_add(lines, std::memory_order_relaxed);
      return;
    }
    done += static_cast<size_t>(wrote);
  }
}

}  // namespace sallyport
