#include "dataplane/io/budget_keeper.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include "policy/runtime/budget_state.h"

namespace sallyport {
namespace {

namespace fs = std::filesystem;

/// Far over what a full ledger comes to.
constexpr uintmax_t kMostFileBytes = uintmax_t{512} << 20;

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

// Old or new, whole, whenever it is read and whatever fails. @return 0 or errno.
int replace_file(const std::string& path, const std::string& text) {
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

}  // namespace

void BudgetKeeper::load(int64_t now) {
  std::error_code error;
  const fs::file_status status = fs::status(path_, error);
  if (path_.empty() || status.type() == fs::file_type::not_found) return;
  std::string text;
  if (fs::is_regular_file(status) && fs::file_size(path_, error) <= kMostFileBytes) {
    std::ifstream in(path_, std::ios::binary);
    text.assign(std::istreambuf_iterator<char>(in), {});
  }
  const auto counts = parse_budget_state(text);
  if (!counts) {
    spdlog::error("budget state {} is refused: {}; every budget starts unspent", path_,
                  counts.error());
    fs::rename(path_, path_ + ".damaged", error);
    return;
  }
  size_t lost = 0;
  for (const BudgetCount& count : *counts) lost += ledger_.restore(count, now) ? 0 : 1;
  if (lost > 0) {
    spdlog::error("budget state {}: no room for {} of {} counts; raise budgets.entries", path_,
                  lost, counts->size());
  }
  spdlog::info("{} budgets go on where {} left them", ledger_.entries(), path_);
}

void BudgetKeeper::tick(int64_t now) {
  if (now == ticked_) return;
  ticked_ = now;
  ledger_.roll(now);
  if (ledger_.crowded()) ledger_.collect(now, all_passed_);
  save(now);
}

void BudgetKeeper::save(int64_t now) {
  if (path_.empty()) return;
  const auto counts = ledger_.snapshot(now);
  std::string text = budget_state_text(counts);
  if (text == written_ || (counts.empty() && written_.empty())) return;
  if (const int error = replace_file(path_, text); error != 0) {
    ++failures_;
    if (!std::exchange(failing_, true)) {
      spdlog::error("budget state {} cannot be written: {}; a restart would forget what is used",
                    path_, std::strerror(error));
    }
    return;
  }
  if (std::exchange(failing_, false)) spdlog::info("budget state {} is written again", path_);
  written_ = std::move(text);
}

}  // namespace sallyport
