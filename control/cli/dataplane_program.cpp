#include "control/cli/dataplane_program.h"

#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "control/common/system.h"
#include "control/common/unique_fd.h"
#include "policy/runtime/frames.h"

namespace sallyport {
namespace {

constexpr const char* kProgram = "sallyport-dataplane";

std::string read_all(int fd) {
  std::string out;
  std::string chunk(size_t{64} << 10, '\0');
  for (off_t at = 0;;) {
    const ssize_t got = ::pread(fd, chunk.data(), chunk.size(), at);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return out;
    out.append(chunk, 0, static_cast<size_t>(got));
    at += got;
  }
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> out;
  for (size_t start = 0; start < text.size();) {
    const size_t end = std::min(text.find('\n', start), text.size());
    if (end != start) out.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  return out;
}

/// Starts the program with these files as what it reads and writes.
std::expected<pid_t, int> spawn(const std::string& program, std::vector<std::string> arguments,
                                int image, int out, int err) {
  std::vector<char*> pointers;
  for (std::string& one : arguments) pointers.push_back(one.data());
  pointers.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  if (const int error = ::posix_spawn_file_actions_init(&actions); error != 0) {
    return std::unexpected(error);
  }
  pid_t pid = -1;
  int error = ::posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
  if (error == 0) error = ::posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
  // The same number: it stays open through the exec.
  if (error == 0) error = ::posix_spawn_file_actions_adddup2(&actions, image, image);
  if (error == 0) {
    error = ::posix_spawnp(&pid, program.c_str(), &actions, nullptr, pointers.data(), environ);
  }
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return std::unexpected(error);
  return pid;
}

int wait_for(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return -1;
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

std::string find_dataplane() {
  std::error_code ignored;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", ignored);
  const auto beside = self.parent_path() / kProgram;
  return ::access(beside.c_str(), X_OK) == 0 ? beside.string() : kProgram;
}

std::expected<std::vector<std::string>, std::string> replay_capture(
    std::span<const uint8_t> image, const std::filesystem::path& capture) {
  const auto made = make_sealed_memfd(image);
  const UniqueFd image_fd(made ? *made : -1);
  // In memory: it may write more to either than a pipe holds while the other is read.
  const UniqueFd out(::memfd_create("replay-out", MFD_CLOEXEC));
  const UniqueFd err(::memfd_create("replay-err", MFD_CLOEXEC));
  if (!image_fd || !out || !err) return std::unexpected("cannot hand over the policy");
  const std::string program = find_dataplane();
  const auto pid = spawn(program,
                         {kProgram, "replay", "--image-fd", std::to_string(image_fd.get()),
                          "--pcap", capture.string(), "--out", "-"},
                         image_fd.get(), out.get(), err.get());
  if (!pid) return std::unexpected("cannot run " + program + ": " + errno_text(pid.error()));
  if (wait_for(*pid) != 0) {
    const auto said = lines_of(read_all(err.get()));
    return std::unexpected("the capture cannot be replayed: " +
                           (said.empty() ? capture.string() : said.back()));
  }
  return lines_of(read_all(out.get()));
}

}  // namespace sallyport
