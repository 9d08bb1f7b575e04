#include "dataplane/io/log_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace sallyport {
namespace {

constexpr uint64_t kMegabyte = uint64_t{1} << 20;
constexpr uint64_t kNsPerSecond = 1'000'000'000;

// Does not wait for a FIFO's reader: without one, errno is ENXIO. What is written later does wait,
// so that a pipe gets whole lines.
int open_log(const std::string& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0640);
  if (fd >= 0) fcntl(fd, F_SETFL, O_APPEND);
  return fd;
}

std::string open_error(int error) {
  return error == ENXIO
             ? "nobody reads it (a FIFO without a reader, or a socket); start its reader "
               "first"
             : std::strerror(error);
}

}  // namespace

std::expected<std::unique_ptr<LogFile>, std::string> LogFile::open(const std::string& path,
                                                                   const LogOptions& options,
                                                                   std::vector<unsigned> cores,
                                                                   LogLosses& losses,
                                                                   uint64_t now_unix_ns) {
  std::unique_ptr<LogFile> file(new LogFile(path, options, std::move(cores), losses));
  if (!file->open_anew(now_unix_ns)) {
    return std::unexpected("flow log " + path + ": cannot open: " + open_error(errno) +
                           " (paths.flow_log in the configuration)");
  }
  if (file->regular_ && (file->rotate_bytes_ != 0 || file->rotate_seconds_ != 0)) {
    file->archive_.emplace(path, options.keep, options.compress);
  }
  return file;
}

LogFile::LogFile(const std::string& path, const LogOptions& options, std::vector<unsigned> cores,
                 LogLosses& losses)
    : LogSink(std::move(cores), losses),
      path_(path),
      rotate_bytes_(options.rotate_mb * kMegabyte),
      rotate_seconds_(uint64_t{60} * options.rotate_minutes) {}

LogFile::~LogFile() {
  if (fd_ >= 0) close(fd_);
}

uint64_t LogFile::period_of(uint64_t unix_ns) const noexcept {
  return rotate_seconds_ == 0 ? 0 : unix_ns / kNsPerSecond / rotate_seconds_;
}

// The old file is let go only when there is a new one. errno says why there is none.
bool LogFile::open_anew(uint64_t now_unix_ns) {
  const int fd = open_log(path_);
  if (fd < 0) return false;
  if (fd_ >= 0) close(fd_);
  fd_ = fd;
  struct stat status{};
  regular_ = fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
  size_ = regular_ ? static_cast<uint64_t>(status.st_size) : 0;
  // What an earlier run wrote belongs to the time when it last did.
  const auto written_ns = static_cast<uint64_t>(status.st_mtim.tv_sec) * kNsPerSecond;
  period_ = period_of(size_ > 0 ? written_ns : now_unix_ns);
  torn_ = false;
  reopen_ = false;
  if (archive_) archive_->poke();  // what was written is so no more
  return true;
}

void LogFile::complain(const char* what, int error, const char* advice) {
  trouble_ = path_ + ": cannot " + what + ": " + std::strerror(error) + "; " + advice;
}

void LogFile::tick(uint64_t now_unix_ns) {
  const bool tries = tried_ns_ == 0 || is_over(tried_ns_, kTryAgainEvery, now_unix_ns);
  if (reopen_ && tries) {
    tried_ns_ = 0;
    if (!open_anew(now_unix_ns)) {
      complain("reopen it", errno, "it goes on in the old file; mend the folder");
      tried_ns_ = now_unix_ns;
    }
  } else if (archive_ && tries && rotation_is_due(now_unix_ns)) {
    rotate(*archive_, now_unix_ns);
  }
  if (gaps_.any() && is_over(said_ns_, failed_ ? kTryAgainEvery : kGapsSaidEvery, now_unix_ns)) {
    say_gaps(now_unix_ns);
  }
}

bool LogFile::rotation_is_due(uint64_t now_unix_ns) {
  const bool large = rotate_bytes_ != 0 && size_ >= rotate_bytes_;
  const bool old = period_ != period_of(now_unix_ns);
  if (!large && !old) return false;
  // Someone else may have truncated or moved it meanwhile.
  struct stat status{};
  size_ = fstat(fd_, &status) == 0 ? static_cast<uint64_t>(status.st_size) : 0;
  if (old && size_ == 0) period_ = period_of(now_unix_ns);
  return size_ > 0 && (old || size_ >= rotate_bytes_);
}

void LogFile::rotate(LogArchive& archive, uint64_t now_unix_ns) {
  constexpr auto kAdvice = "it grows on; mend the folder, or take rotation off (flow_log)";
  tried_ns_ = now_unix_ns;
  if (rename(path_.c_str(), archive.next_name(now_unix_ns).c_str()) != 0) {
    return complain("rotate it", errno, kAdvice);
  }
  reopen_ = true;  // until it was: nothing else is rotated, and the old file is written on
  if (!open_anew(now_unix_ns)) return complain("create it", errno, kAdvice);
  tried_ns_ = 0;
}

void LogFile::take(const LogBatch& batch, uint64_t now_unix_ns) {
  // Where the last write failed, the next says so before it says anything else.
  if (failed_ && !say_gaps(now_unix_ns)) return lose(batch, 0, LogLoss::write_failed);
  const size_t written = write_lines(batch.text);
  if (written == batch.text.size()) return;
  size_t whole = 0;
  while (batch.lines[whole].end <= written) ++whole;
  const size_t end = whole == 0 ? 0 : batch.lines[whole - 1].end;
  cut_off(std::string_view(batch.text).substr(end, written - end));
  lose(batch, whole, LogLoss::write_failed);
}

bool LogFile::say_gaps(uint64_t now_unix_ns) {
  said_ns_ = now_unix_ns;
  gap_text_.clear();
  gaps_.append(now_unix_ns, gap_text_);
  const size_t written = write_lines(gap_text_);
  if (written != gap_text_.size()) {
    // The whole lines before the half one, too: they are all said again.
    cut_off(std::string_view(gap_text_).substr(0, written));
    return false;
  }
  gaps_.clear();
  return true;
}

// @return how many bytes of `text` are in the file.
size_t LogFile::write_lines(std::string_view text) {
  size_t done = 0;
  failed_ = false;
  while (done < text.size() && !failed_) {
    const bool mends = torn_;  // the half line ends here, and spoils no other
    const std::string_view rest = mends ? "\n" : text.substr(done);
    const ssize_t wrote = write(fd_, rest.data(), rest.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) {
      failed_ = true;
      complain("write it", wrote < 0 ? errno : EIO, "events are lost; make room, or mend it");
      break;
    }
    size_ += static_cast<uint64_t>(wrote);
    torn_ = false;
    if (!mends) done += static_cast<size_t>(wrote);
  }
  if (!failed_ && !reopen_) trouble_.clear();
  return done;
}

// Takes back what was just written.
void LogFile::cut_off(std::string_view text) {
  if (text.empty()) return;
  const auto bytes = static_cast<off_t>(text.size());
  struct stat status{};
  if (regular_ && fstat(fd_, &status) == 0 && status.st_size >= bytes &&
      ftruncate(fd_, status.st_size - bytes) == 0) {
    size_ -= text.size();
  } else {
    torn_ = !text.ends_with('\n');
  }
}

}  // namespace sallyport
