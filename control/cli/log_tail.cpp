#include "control/cli/log_tail.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "control/common/system.h"

namespace sallyport {
namespace {

namespace fs = std::filesystem;

constexpr const char* kAdvice =
    "it is paths.flow_log of gateway.yaml, readable by root and its group: give another with --log";

bool is_file(const struct stat& info, dev_t device, ino_t inode) {
  return info.st_dev == device && info.st_ino == inode;
}

/// The name without ".zst", by which a file is known before and behind its compression.
std::string stem_of(const fs::path& path) {
  return path.extension() == ".zst" ? path.stem().string() : path.filename().string();
}

}  // namespace

std::expected<void, std::string> LogTail::open() {
  UniqueFd fd(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  const int error = fd ? 0 : errno;
  // Behind the opening: a file that is rotated in between is listed, and known by its inode.
  known_ = rotated_logs(path_);
  if (error == ENOENT) return {};
  const std::string start = "flow log " + path_.string() + " ";
  if (error != 0) {
    return std::unexpected(start + "cannot be read: " + errno_text(error) + "; " + kAdvice);
  }
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode)) {
    return std::unexpected(start + "is not a file; " + kAdvice);
  }
  device_ = info.st_dev;
  inode_ = info.st_ino;
  std::erase_if(known_, [this](const fs::path& one) {
    struct stat other{};
    return ::stat(one.c_str(), &other) == 0 && is_file(other, device_, inode_);
  });
  fd_ = std::move(fd);
  rewind();
  return {};
}

void LogTail::rewind() {
  line_start_ = 0;
  lines_ = {};
}

int LogTail::read(const TakeLine& take) {
  if (!fd_) return 0;
  std::vector<char> buffer(size_t{1} << 17);
  // The half line of last time is read anew: its writer may have taken it back.
  off_t at = line_start_;
  int error = 0;
  for (;;) {
    const ssize_t got = ::pread(fd_.get(), buffer.data(), buffer.size(), at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) error = errno;
    if (got <= 0) break;
    lines_.feed({buffer.data(), static_cast<size_t>(got)}, take);
    at += got;
  }
  line_start_ = at - static_cast<off_t>(lines_.pending());
  lines_.drop_pending();
  return error;
}

bool LogTail::is_replaced() const {
  struct stat info{};
  // While there is none, or an empty one, its writer may still hold the old one.
  return ::stat(path_.c_str(), &info) == 0 && !is_file(info, device_, inode_) && info.st_size > 0;
}

void LogTail::read_cut(const TakeLine& take, const Note& note) {
  struct stat info{};
  if (::fstat(fd_.get(), &info) == 0 && info.st_size < line_start_) {
    note(path_.string() + " was cut: reading it from its start");
    rewind();
  }
  read(take);
}

/// What was rotated between the file that was open and the one that is now.
void LogTail::read_rotated_since(const Past& past, const TakeLine& take, const Note& note) {
  std::vector<fs::path> since = known_;
  std::erase_if(since, [&past](const fs::path& one) {
    // Numbered ones change their names each time: there is no telling which are new.
    const std::string stem = stem_of(one);
    return !stem.ends_with('Z') || std::ranges::find(past.known, stem, stem_of) != past.known.end();
  });
  const auto found = std::ranges::find_if(since, [&past](const fs::path& one) {
    struct stat info{};
    return ::stat(one.c_str(), &info) == 0 && is_file(info, past.device, past.inode);
  });
  struct stat info{};
  const bool unlinked = ::fstat(past.fd.get(), &info) == 0 && info.st_nlink == 0;
  if (found != since.end()) {
    since.erase(since.begin(), found + 1);
  } else if (unlinked && !since.empty()) {
    since.erase(since.begin());  // It was compressed, and is the oldest of them.
  }
  for (const fs::path& one : since) {
    const std::string problem = read_whole_log(one, take);
    if (!problem.empty()) note(problem);
  }
}

bool LogTail::open_again(const Note& note) {
  const auto opened = open();
  if (!opened && complaint_ != opened.error()) note(opened.error() + "; waiting");
  complaint_ = opened ? "" : opened.error();
  return is_open();
}

void LogTail::step(const TakeLine& take, const Note& note) {
  if (!fd_) {
    if (open_again(note)) read(take);
    return;
  }
  read_cut(take, note);
  if (!is_replaced()) return;
  read(take);  // What came between the last read and the rename.
  const Past past{std::move(fd_), device_, inode_, std::move(known_)};
  // The new one is opened before the others are listed, so that none falls between.
  if (!open_again(note)) return;
  read_rotated_since(past, take, note);
  read(take);
}

}  // namespace sallyport
