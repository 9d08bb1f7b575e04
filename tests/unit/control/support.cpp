#include "tests/unit/control/support.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

#include "control/common/system.h"

namespace sallyport::test {
namespace {

void start_program(const std::vector<std::string>& arguments, const std::string& out,
                   const std::string& err) {
  std::vector<std::string> copies = arguments;
  std::vector<char*> pointers;
  for (std::string& one : copies) pointers.push_back(one.data());
  pointers.push_back(nullptr);
  const int out_fd = ::open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  const int err_fd = ::open(err.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
  ::dup2(out_fd, STDOUT_FILENO);
  ::dup2(err_fd, STDERR_FILENO);
  ::execv(pointers[0], pointers.data());
  ::_exit(127);
}

int exit_status(pid_t pid) {
  int status = 0;
  if (::waitpid(pid, &status, 0) != pid) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

TempDir::TempDir() {
  std::string pattern = (std::filesystem::temp_directory_path() / "sallyport-XXXXXX").string();
  REQUIRE(::mkdtemp(pattern.data()) != nullptr);
  path_ = pattern;
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void write_text(const std::filesystem::path& path, std::string_view text) {
  std::ofstream file(path, std::ios::binary);
  file.write(text.data(), static_cast<std::streamsize>(text.size()));
  file.close();
  REQUIRE(file.good());
}

std::string read_text(const std::filesystem::path& path) {
  std::ostringstream out;
  out << std::ifstream(path, std::ios::binary).rdbuf();
  return out.str();
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

bool eventually(const std::function<bool()>& condition, std::chrono::milliseconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

std::filesystem::path program(std::string_view name) {
  const char* build = std::getenv("SALLYPORT_BUILD");
  REQUIRE(build != nullptr);
  return std::filesystem::path(build) / name;
}

Finished run(const std::vector<std::string>& arguments, const std::string& extra_path) {
  const TempDir folder;
  const std::string out = folder / "out";
  const std::string err = folder / "err";
  const pid_t pid = ::fork();
  REQUIRE(pid >= 0);
  if (pid == 0) {
    if (!extra_path.empty()) {
      const char* path = std::getenv("PATH");
      ::setenv("PATH", (extra_path + ":" + (path == nullptr ? "" : path)).c_str(), 1);
    }
    start_program(arguments, out, err);
  }
  Finished finished;
  finished.status = exit_status(pid);
  finished.out = read_text(out);
  finished.err = read_text(err);
  return finished;
}

Process::Process(const std::vector<std::string>& arguments, std::filesystem::path log)
    : pid_(::fork()), log_(std::move(log)) {
  REQUIRE(pid_ >= 0);
  if (pid_ == 0) start_program(arguments, "/dev/null", log_);
}

Process::~Process() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  exit_status(pid_);
}

void Process::signal(int number) const {
  REQUIRE(::kill(pid_, number) == 0);
}

int Process::wait() {
  return exit_status(std::exchange(pid_, -1));
}

size_t Process::log_count(std::string_view what) const {
  const std::string text = log();
  size_t count = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++count;
  return count;
}

UniqueFd connect_stream(const std::filesystem::path& path) {
  auto fd = connect_unix(path, SOCK_STREAM);
  REQUIRE(fd);
  const timeval limit{.tv_sec = 5, .tv_usec = 0};
  REQUIRE(::setsockopt(fd->get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
  REQUIRE(::setsockopt(fd->get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) == 0);
  return std::move(*fd);
}

std::string ask_line(const UniqueFd& fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t sent = ::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL);
    if (sent <= 0) break;  // Refused early: the answer says why.
    text.remove_prefix(static_cast<size_t>(sent));
  }
  std::string line;
  char byte = 0;
  while (::recv(fd.get(), &byte, 1, 0) == 1 && byte != '\n') line += byte;
  return line;
}

UniqueFd connect_port(uint16_t port) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval limit{.tv_sec = 10, .tv_usec = 0};
  REQUIRE(::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0);
  return fd;
}

std::string read_all(const UniqueFd& fd) {
  std::string out;
  std::array<char, 65536> chunk{};
  while (true) {
    const ssize_t got = ::recv(fd.get(), chunk.data(), chunk.size(), 0);
    if (got <= 0) return out;
    out.append(chunk.data(), static_cast<size_t>(got));
  }
}

std::string http_get(uint16_t port, const std::string& path) {
  const UniqueFd fd = connect_port(port);
  const std::string request = "GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n";
  REQUIRE(::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL) ==
          static_cast<ssize_t>(request.size()));
  return read_all(fd);
}

std::string policy_yaml(std::string_view policy, std::string_view name) {
  constexpr std::string_view kText = R"(apiVersion: sallyport/v1
kind: EgressPolicy
metadata: {name: POLICY}
spec:
  egress:
    - name: hub
      action: Allow
      to: {domainNames: ["NAME"]}
      protocols:
        - tls: {ports: [443]}
)";
  return replaced(replaced(std::string(kText), "POLICY", policy), "NAME", name);
}

}  // namespace sallyport::test
