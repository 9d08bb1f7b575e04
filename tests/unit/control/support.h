#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "control/common/unique_fd.h"

namespace sallyport::test {

/// A folder of its own that goes with the object.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

void write_text(const std::filesystem::path& path, std::string_view text);
std::string read_text(const std::filesystem::path& path);
std::string replaced(std::string text, std::string_view from, std::string_view to);

/// True as soon as `condition` is, false after `limit`.
bool eventually(const std::function<bool()>& condition,
                std::chrono::milliseconds limit = std::chrono::milliseconds(30'000));

/// The program under test, from the build folder that $SALLYPORT_BUILD names.
std::filesystem::path program(std::string_view name);

struct Finished {
  int status = -1;  ///< Exit status; -1 when a signal ended it.
  std::string out;
  std::string err;
};

/// Runs `arguments` to their end. `extra_path` is put in front of $PATH.
Finished run(const std::vector<std::string>& arguments, const std::string& extra_path = "");

/// A program in the background, its standard error in a file. Killed with the object.
class Process {
 public:
  Process(const std::vector<std::string>& arguments, std::filesystem::path log);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  void signal(int number) const;
  int wait();  ///< Its exit status.
  pid_t pid() const { return pid_; }
  std::string log() const { return read_text(log_); }
  size_t log_count(std::string_view what) const;

 private:
  pid_t pid_ = -1;
  std::filesystem::path log_;
};

/// A connected Unix stream socket; fails the test when it cannot be made.
UniqueFd connect_stream(const std::filesystem::path& path);
/// Sends `text`, then reads up to a newline or the end. "" when nothing comes.
std::string ask_line(const UniqueFd& fd, std::string_view text);

/// A connection to a port of this machine; fails the test when it cannot be made.
UniqueFd connect_port(uint16_t port);
/// All that comes until the other side closes, or for ten seconds nothing.
std::string read_all(const UniqueFd& fd);
/// The answer to a GET, head and body.
std::string http_get(uint16_t port, const std::string& path);

/// One Allow rule for `name` in a policy called `policy`.
std::string policy_yaml(std::string_view policy, std::string_view name);

}  // namespace sallyport::test
