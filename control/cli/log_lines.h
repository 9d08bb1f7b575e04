#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace sallyport {

using TakeLine = std::function<void(std::string_view)>;

/// No line of a flow log is nearly as long.
inline constexpr size_t kMaxLineBytes = size_t{1} << 20;

/// Cuts a stream of bytes into lines. Longer ones than kMaxLineBytes are left out.
class LineCutter {
 public:
  /// Gives each line that ends in `bytes`, without its line feed.
  void feed(std::string_view bytes, const TakeLine& take);
  /// Bytes behind the last line feed that are kept.
  size_t pending() const noexcept { return line_.size(); }
  /// Forgets them, but not that a line is too long.
  void drop_pending() { line_.clear(); }
  /// Gives what stands behind the last line feed, which is the end of the file.
  void finish(const TakeLine& take);

 private:
  std::string line_;
  bool skips_ = false;  ///< The line at hand is too long.
};

/// The rotated files beside `log`, from the oldest to the newest: those that the gateway names by
/// their time and those that logrotate numbers, plain or compressed by zstd.
std::vector<std::filesystem::path> rotated_logs(const std::filesystem::path& log);

/// Gives the lines of a file that is written no more, plain or compressed by zstd. One that was
/// compressed since it was listed is found under its new name.
/// @return "" or what is wrong with it; lines before that were given.
std::string read_whole_log(const std::filesystem::path& path, const TakeLine& take);

/// As read_whole_log() of an open file.
std::string read_whole_log(int fd, const std::string& name, const TakeLine& take);

}  // namespace sallyport
