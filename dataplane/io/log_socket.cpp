#include "dataplane/io/log_socket.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

namespace sallyport {

LogSocket::LogSocket(std::string path, std::vector<unsigned> cores, LogLosses& losses)
    : LogSink(std::move(cores), losses), path_(std::move(path)) {}

LogSocket::~LogSocket() {
  if (connected()) close(fd_);
}

// A Unix socket connects at once or not at all.
void LogSocket::try_to_connect(uint64_t now_unix_ns) {
  if (tried_ns_ != 0 && !is_over(tried_ns_, kTryAgainEvery, now_unix_ns)) return;
  tried_ns_ = now_unix_ns;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path_.copy(address.sun_path, sizeof address.sun_path - 1);
  fd_ = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd_ < 0 || connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return disconnect("reach the collector", errno);
  }
  trouble_.clear();
}

void LogSocket::disconnect(const char* what, int error) {
  if (connected()) close(fd_);
  fd_ = -1;
  trouble_ = path_ + ": cannot " + what + ": " + std::strerror(error) +
             "; start the collector, or take flow_log.socket out";
  // The next one is to begin with a whole line.
  const size_t newline = sent_ == 0 ? std::string::npos : kept_.rfind('\n', sent_ - 1);
  sent_ = newline == std::string::npos ? 0 : newline + 1;
}

void LogSocket::send_kept() {
  while (connected() && sent_ < kept_.size()) {
    const ssize_t wrote =
        send(fd_, kept_.data() + sent_, kept_bytes(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
    if (wrote < 0) return disconnect("write to the collector", errno);
    sent_ += static_cast<size_t>(wrote);
  }
  if (sent_ == kept_.size()) {
    kept_.clear();
    sent_ = 0;
  } else if (sent_ > kMostKept / 2) {
    const size_t line = kept_.rfind('\n', sent_ - 1) + 1;  // the one that is sent in part stays
    kept_.erase(0, line);
    sent_ -= line;
  }
  if (losing_ && kept_bytes() < kMostKept / 2) losing_ = false;
}

// Behind what was kept before the loss, in front of what comes after it.
void LogSocket::keep_gaps(uint64_t now_unix_ns) {
  if (losing_ || !gaps_.any() || !is_over(said_ns_, kGapsSaidEvery, now_unix_ns)) return;
  gaps_.append(now_unix_ns, kept_);
  gaps_.clear();
  said_ns_ = now_unix_ns;
}

void LogSocket::take(const LogBatch& batch, uint64_t now_unix_ns) {
  losing_ = losing_ || kept_bytes() + batch.text.size() > kMostKept;
  if (losing_) send_kept();
  if (losing_) {
    if (connected()) trouble_ = path_ + ": the collector reads too slowly; events are lost";
    return lose(batch, 0, connected() ? LogLoss::sink_slow : LogLoss::sink_gone);
  }
  keep_gaps(now_unix_ns);
  kept_ += batch.text;
  if (connected()) trouble_.clear();
  send_kept();
}

void LogSocket::tick(uint64_t now_unix_ns) {
  if (!connected()) try_to_connect(now_unix_ns);
  send_kept();
  keep_gaps(now_unix_ns);
}

void LogSocket::finish(uint64_t now_unix_ns) {
  constexpr std::chrono::milliseconds kLastWords{500};
  const auto end = std::chrono::steady_clock::now() + kLastWords;
  losing_ = false;
  said_ns_ = 0;
  keep_gaps(now_unix_ns);
  send_kept();
  pollfd writable{.fd = fd_, .events = POLLOUT, .revents = 0};
  while (connected() && kept_bytes() > 0) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    if (left.count() <= 0 || poll(&writable, 1, static_cast<int>(left.count())) != 1) return;
    send_kept();
  }
}

}  // namespace sallyport
