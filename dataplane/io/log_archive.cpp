#include "dataplane/io/log_archive.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <unistd.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <memory>
#include <string_view>

namespace sallyport {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kCompressed = ".zst";
constexpr std::string_view kUnfinished = ".part";
constexpr std::string_view kPattern = "00000000T000000.000000Z";  // 0: any digit
constexpr int kLevel = 3;
constexpr uint64_t kMicros = 1'000'000;  // a second

bool is_time(std::string_view text) {
  return std::ranges::equal(text, kPattern, [](char c, char like) {
    return like == '0' ? c >= '0' && c <= '9' : c == like;
  });
}

/// Of a name's time, which is_time().
uint64_t micros_of(const std::string& time) {
  tm parts{};
  const char* rest = strptime(time.c_str(), "%Y%m%dT%H%M%S", &parts);
  if (rest == nullptr) return 0;
  const auto seconds = static_cast<uint64_t>(timegm(&parts));
  return seconds * kMicros + std::strtoul(rest + 1, nullptr, 10);
}

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
};

bool write_whole(int fd, const char* data, size_t size) {
  while (size > 0) {
    const ssize_t wrote = write(fd, data, size);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return false;
    data += wrote;
    size -= static_cast<size_t>(wrote);
  }
  return true;
}

/// Files beside the log whose names are its own, a time, and `suffix` or nothing. Only what this
/// program has named itself: a neighbour's files are not ours to remove.
std::vector<std::string> files_beside(const std::string& path, std::string_view suffix,
                                      bool suffix_required) {
  std::vector<std::string> out;
  const std::string prefix = fs::path(path).filename().string() + ".";
  fs::path folder = fs::path(path).parent_path();
  if (folder.empty()) folder = ".";
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename().string();
    if (!name.starts_with(prefix)) continue;
    std::string_view time = std::string_view(name).substr(prefix.size());
    const bool suffixed = time.ends_with(suffix);
    if (suffixed) time.remove_suffix(suffix.size());
    if ((suffixed || !suffix_required) && is_time(time)) out.push_back(at->path().string());
  }
  std::ranges::sort(out);
  return out;
}

}  // namespace

LogArchive::LogArchive(std::string path, uint32_t keep, bool compress,
                       std::chrono::milliseconds retry)
    : path_(std::move(path)), keep_(keep), compress_(compress), retry_(retry) {
  const std::vector<std::string> files = rotated(path_);
  if (!files.empty()) last_micros_ = micros_of(files.back().substr(path_.size() + 1));
  thread_ = std::thread([this] { run(); });
}

LogArchive::~LogArchive() {
  {
    const std::lock_guard lock(mutex_);
    stop_.store(true, std::memory_order_relaxed);
  }
  poked_.notify_one();
  thread_.join();
}

std::string LogArchive::next_name(uint64_t unix_ns) {
  last_micros_ = std::max(unix_ns / 1000, last_micros_ + 1);
  const auto seconds = static_cast<time_t>(last_micros_ / kMicros);
  tm parts{};
  gmtime_r(&seconds, &parts);
  char date[32];
  char name[64];
  std::strftime(date, sizeof date, "%Y%m%dT%H%M%S", &parts);
  std::snprintf(name, sizeof name, ".%s.%06uZ", date,
                static_cast<unsigned>(last_micros_ % kMicros));
  const std::lock_guard lock(mutex_);
  return written_ = path_ + name;
}

void LogArchive::poke() {
  {
    const std::lock_guard lock(mutex_);
    written_.clear();
    work_ = true;
  }
  poked_.notify_one();
}

bool LogArchive::is_written(const std::string& file) {
  const std::lock_guard lock(mutex_);
  return file == written_;
}

std::vector<std::string> LogArchive::rotated(const std::string& path) {
  return files_beside(path, kCompressed, false);
}

void LogArchive::run() {
  setpriority(PRIO_PROCESS, 0, 19);  // on Linux of this thread alone
  remove_unfinished();
  while (work_came()) done_ = tidy();
}

// Of a run that was killed in the middle of one.
void LogArchive::remove_unfinished() {
  const std::string suffix = std::string(kCompressed) + std::string(kUnfinished);
  for (const std::string& file : files_beside(path_, suffix, true)) unlink(file.c_str());
}

bool LogArchive::work_came() {
  std::unique_lock lock(mutex_);
  const auto comes = [this] { return work_ || stop_.load(std::memory_order_relaxed); };
  if (done_) {
    poked_.wait(lock, comes);
  } else {
    poked_.wait_for(lock, retry_, comes);
  }
  work_ = false;
  return !stop_.load(std::memory_order_relaxed);
}

// The oldest go first, so that a full disk has room for what compressing needs. A file gets its
// name behind next_name() and before poke(): one that is listed and not is_written() is complete.
bool LogArchive::tidy() {
  std::vector<std::string> files = rotated(path_);
  const size_t surplus = files.size() > keep_ ? files.size() - keep_ : 0;
  for (size_t i = 0; i < surplus; ++i) {
    if (is_written(files[i]) || unlink(files[i].c_str()) == 0) continue;
    spdlog::warn("flow log: {} cannot be removed: {}", files[i], std::strerror(errno));
  }
  if (!compress_) return true;
  bool done = true;
  for (size_t i = surplus; i < files.size() && !stop_.load(std::memory_order_relaxed); ++i) {
    if (files[i].ends_with(kCompressed) || is_written(files[i])) continue;
    done = compress_file(files[i]) && done;
  }
  return done;
}

bool LogArchive::compress_file(const std::string& from) {
  const std::string to = from + std::string(kCompressed);
  const std::string unfinished = to + std::string(kUnfinished);
  const auto failed = [&](const char* what) {
    const int error = errno;
    unlink(unfinished.c_str());
    if (stop_.load(std::memory_order_relaxed)) return false;
    spdlog::warn("flow log: {} stays uncompressed for now, cannot {}: {}", from, what,
                 std::strerror(error));
    return false;
  };
  const Descriptor in{open(from.c_str(), O_RDONLY | O_CLOEXEC)};
  if (in.fd < 0) return failed("open it");
  const Descriptor out{
      open(unfinished.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640)};
  if (out.fd < 0) return failed("create the .zst beside it");
  if (!copy_compressed(in.fd, out.fd) || fsync(out.fd) != 0) return failed("write the .zst");
  if (rename(unfinished.c_str(), to.c_str()) != 0) return failed("rename the .zst");
  unlink(from.c_str());
  return true;
}

bool LogArchive::copy_compressed(int in, int out) {
  const std::unique_ptr<ZSTD_CCtx, size_t (*)(ZSTD_CCtx*)> context(ZSTD_createCCtx(),
                                                                   ZSTD_freeCCtx);
  if (!context) {
    errno = ENOMEM;
    return false;
  }
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, kLevel);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_checksumFlag, 1);
  std::vector<char> read_buffer(ZSTD_CStreamInSize());
  std::vector<char> write_buffer(ZSTD_CStreamOutSize());
  for (;;) {
    if (stop_.load(std::memory_order_relaxed)) return false;
    const ssize_t got = read(in, read_buffer.data(), read_buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return false;
    const ZSTD_EndDirective mode = got == 0 ? ZSTD_e_end : ZSTD_e_continue;
    ZSTD_inBuffer input{read_buffer.data(), static_cast<size_t>(got), 0};
    for (size_t left = 1; input.pos < input.size || (got == 0 && left != 0);) {
      ZSTD_outBuffer output{write_buffer.data(), write_buffer.size(), 0};
      left = ZSTD_compressStream2(context.get(), &output, &input, mode);
      if (ZSTD_isError(left) != 0) {
        errno = EIO;
        return false;
      }
      if (!write_whole(out, write_buffer.data(), output.pos)) return false;
    }
    if (got == 0) return true;
  }
}

}  // namespace sallyport
