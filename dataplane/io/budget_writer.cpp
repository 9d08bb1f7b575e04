#include "dataplane/io/budget_writer.h"

#include <fcntl.h>
#include <pthread.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

namespace sallyport {
namespace {

namespace fs = std::filesystem;

bool write_all(int fd, const std::string& text) {
  for (size_t done = 0; done < text.size();) {
    const ssize_t now = ::write(fd, text.data() + done, text.size() - done);
    if (now < 0 && errno == EINTR) continue;
    if (now < 0) return false;
    done += static_cast<size_t>(now);
  }
  return true;
}

// So that a rename outlives a power failure; where that cannot be had, the file is good anyway.
void sync_folder(const fs::path& file) {
  const fs::path folder = file.has_parent_path() ? file.parent_path() : ".";
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  ::fsync(fd);
  ::close(fd);
}

}  // namespace

// Old or new, whole, whenever it is read and whatever fails.
int BudgetWriter::replace_file(const std::string& path, const std::string& text) {
  const std::string fresh = path + ".new";
  ::unlink(fresh.c_str());
  const int fd = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0) return errno;
  bool good = ::fchmod(fd, 0644) == 0 && write_all(fd, text) && ::fsync(fd) == 0;
  int error = good ? 0 : errno;
  ::close(fd);
  if (good && std::rename(fresh.c_str(), path.c_str()) != 0) error = errno;
  if (error != 0) {
    ::unlink(fresh.c_str());
  } else {
    sync_folder(path);
  }
  return error;
}

BudgetWriter::BudgetWriter(std::string path, Replace replace)
    : path_(std::move(path)), replace_(std::move(replace)), thread_([this] { run(); }) {
  pthread_setname_np(thread_.native_handle(), "budget-state");
}

void BudgetWriter::put(std::vector<BudgetCount> counts, int64_t now) {
  {
    const std::scoped_lock lock(mutex_);
    waiting_ = Snapshot{.counts = std::move(counts), .at = now};
    if (!behind_since_) behind_since_ = now;
  }
  wake_.notify_one();
}

void BudgetWriter::finish() {
  if (!thread_.joinable()) return;
  {
    const std::scoped_lock lock(mutex_);
    ending_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

uint32_t BudgetWriter::behind_seconds(int64_t now) const {
  const std::scoped_lock lock(mutex_);
  return behind_since_ ? static_cast<uint32_t>(std::max<int64_t>(now - *behind_since_, 0)) : 0;
}

void BudgetWriter::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return waiting_ || ending_; });
    if (!waiting_) return;
    const Snapshot snapshot = std::move(*waiting_);
    waiting_.reset();
    lock.unlock();
    const bool written = write(snapshot);
    lock.lock();
    if (!written) continue;
    behind_since_ = waiting_ ? std::optional(waiting_->at) : std::nullopt;
  }
}

bool BudgetWriter::write(const Snapshot& snapshot) {
  std::string text = budget_state_text(snapshot.counts);
  if (text == written_ || (snapshot.counts.empty() && written_.empty())) return true;
  if (const int error = replace_(path_, text); error != 0) {
    failures_.fetch_add(1, std::memory_order_relaxed);
    if (!std::exchange(failing_, true)) {
      spdlog::error("budget state {} cannot be written: {}; a restart would forget what is used",
                    path_, std::strerror(error));
    }
    return false;
  }
  if (std::exchange(failing_, false)) spdlog::info("budget state {} is written again", path_);
  written_ = std::move(text);
  return true;
}

}  // namespace sallyport
