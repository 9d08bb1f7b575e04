#pragma once

#include <sys/types.h>

#include <cstdint>
#include <expected>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "control/cli/log_lines.h"
#include "control/common/unique_fd.h"

namespace sallyport {

/// Reads a log that is being written, as `tail -F` does: when the file is rotated it is read to its
/// end, then what was rotated since, then the new one from its start. A file that is cut is read
/// from its start. A half line is left until its other half is there.
class LogTail {
 public:
  using Note = std::function<void(const std::string&)>;

  explicit LogTail(std::filesystem::path path) : path_(std::move(path)) {}

  /// Opens the file, to be read from its start. That there is none is no error: see is_open().
  /// @return what is wrong with it.
  std::expected<void, std::string> open();
  bool is_open() const noexcept { return static_cast<bool>(fd_); }
  /// Rotated files that there were when it was opened, from the oldest to the newest.
  const std::vector<std::filesystem::path>& history() const noexcept { return known_; }

  /// Starts over with the open file.
  void rewind();
  /// Gives the lines that are there by now. @return 0 or errno.
  int read(const TakeLine& take);
  /// Gives what was written since, in whichever files. `note` is told what a reader should know.
  void step(const TakeLine& take, const Note& note);

 private:
  /// The file that was open until now.
  struct Past {
    UniqueFd fd;
    dev_t device = 0;
    ino_t inode = 0;
    std::vector<std::filesystem::path> known;
  };

  bool is_replaced() const;
  void read_cut(const TakeLine& take, const Note& note);
  void read_rotated_since(const Past& past, const TakeLine& take, const Note& note);
  bool open_again(const Note& note);

  std::filesystem::path path_;
  UniqueFd fd_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
  off_t line_start_ = 0;  ///< Where the first line starts that was not given yet.
  LineCutter lines_;
  std::vector<std::filesystem::path> known_;
  std::string complaint_;  ///< Why it could not be opened, said once.
};

}  // namespace sallyport
