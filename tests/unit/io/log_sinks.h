#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <string>

namespace sallyport::test {

/// A FIFO with a reader that takes what is there when it is told to.
class Fifo {
 public:
  explicit Fifo(const std::string& path) {
    ::signal(SIGPIPE, SIG_IGN);  // as the programs do: a sink that was left behind may write yet
    REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
    fd_ = ::open(path.c_str(), O_RDONLY | O_NONBLOCK);
    REQUIRE(fd_ >= 0);
  }
  ~Fifo() { end(); }
  Fifo(const Fifo&) = delete;
  Fifo& operator=(const Fifo&) = delete;

  void read() {
    char some[1 << 16];
    for (ssize_t got = 0; (got = ::read(fd_, some, sizeof some)) > 0;) {
      text.append(some, static_cast<size_t>(got));
    }
  }
  void end() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  std::string text;

 private:
  int fd_ = -1;
};

/// Listens, and reads when it is told to.
class Collector {
 public:
  explicit Collector(const std::string& path) {
    ::unlink(path.c_str());
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    listening_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    REQUIRE(::bind(listening_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(listening_, 1) == 0);
  }
  ~Collector() {
    ::close(listening_);
    if (fd_ >= 0) ::close(fd_);
  }
  Collector(const Collector&) = delete;
  Collector& operator=(const Collector&) = delete;

  /// What is there, up to `most` bytes.
  size_t read(size_t most = SIZE_MAX) {
    if (fd_ < 0) fd_ = ::accept4(listening_, nullptr, nullptr, SOCK_NONBLOCK);
    size_t got = 0;
    while (fd_ >= 0 && got < most) {
      char some[4096];
      const ssize_t bytes = ::recv(fd_, some, std::min(sizeof some, most - got), 0);
      if (bytes <= 0) break;
      text.append(some, static_cast<size_t>(bytes));
      got += static_cast<size_t>(bytes);
    }
    return got;
  }
  std::string text;

 private:
  int listening_ = -1;
  int fd_ = -1;
};

}  // namespace sallyport::test
