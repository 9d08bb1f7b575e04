#include "control/agent/api_server.h"

#include <sys/socket.h>
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <thread>

#include "control/common/system.h"
#include "tests/unit/control/support.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

constexpr ApiLimits kSmall{.request_bytes = 1000,
                           .buffered_bytes = 5000,
                           .clients = 3,
                           .deadline = std::chrono::milliseconds(100)};

/// A server on a thread of its own that answers each line with "got <line>", except "hold".
class EchoServer {
 public:
  explicit EchoServer(const std::filesystem::path& path, const ApiLimits& limits = kSmall) {
    auto listening =
        ApiServer::listen(path, limits, [this](ClientId client, const std::string& line) {
          if (line != "hold") server_->respond(client, "got " + line);
        });
    REQUIRE(listening);
    server_ = std::move(*listening);
    thread_ = std::jthread([this](const std::stop_token& stop) { serve(stop); });
  }

 private:
  void serve(const std::stop_token& stop) {
    std::vector<pollfd> polls;
    while (!stop.stop_requested()) {
      polls.clear();
      server_->add_polls(polls);
      ::poll(polls.data(), polls.size(), 5);
      const auto now = std::chrono::steady_clock::now();
      server_->dispatch(polls, now);
      server_->expire(now);
    }
  }

  std::unique_ptr<ApiServer> server_;
  std::jthread thread_;
};

}  // namespace

TEST_CASE("requests are answered in order, however they are cut") {
  const TempDir folder;
  const EchoServer server(folder / "s");
  const UniqueFd fd = connect_stream(folder / "s");
  CHECK(exchange(fd, "one\n") == "got one");
  CHECK(exchange(fd, "two\nthree\n") == "got two");
  CHECK(exchange(fd, "") == "got three");
  for (const char* piece : {"f", "o", "u"}) {
    REQUIRE(::send(fd.get(), piece, 1, 0) == 1);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  CHECK(exchange(fd, "r\n") == "got four");
}

TEST_CASE("a last line without a newline counts when the client has finished") {
  const TempDir folder;
  const EchoServer server(folder / "s");
  const UniqueFd fd = connect_stream(folder / "s");
  REQUIRE(::send(fd.get(), "end", 3, 0) == 3);
  REQUIRE(::shutdown(fd.get(), SHUT_WR) == 0);
  CHECK(exchange(fd, "") == "got end");
  CHECK(exchange(fd, "").empty());
}

TEST_CASE("too large a request is refused and others go on") {
  const TempDir folder;
  const EchoServer server(folder / "s");
  const UniqueFd other = connect_stream(folder / "s");
  const UniqueFd fd = connect_stream(folder / "s");
  const char* refusal = R"({"ok":false,"error":"the request is over 1000 bytes"})";
  CHECK(exchange(fd, std::string(1001, 'x')) == refusal);
  CHECK(exchange(fd, "").empty());  // And closed.
  CHECK(exchange(connect_stream(folder / "s"), std::string(1001, 'x') + "\n") == refusal);
  CHECK(exchange(connect_stream(folder / "s"), std::string(1000, 'x') + "\n").size() == 1004);
  CHECK(exchange(other, "still here\n") == "got still here");
}

TEST_CASE("silent and half-sending clients lose their place, working ones do not") {
  const TempDir folder;
  const EchoServer server(folder / "s");
  const UniqueFd silent = connect_stream(folder / "s");
  const UniqueFd slow = connect_stream(folder / "s");
  REQUIRE(::send(slow.get(), "half", 4, 0) == 4);
  const UniqueFd held = connect_stream(folder / "s");
  REQUIRE(::send(held.get(), "hold\n", 5, 0) == 5);
  CHECK(exchange(connect_stream(folder / "s"), "") ==
        R"({"ok":false,"error":"too many clients; try again in a moment"})");
  CHECK(exchange(silent, "").empty());
  CHECK(exchange(slow, "").empty());
  CHECK(exchange(connect_stream(folder / "s"), "next\n") == "got next");
  char byte = 0;
  CHECK(::recv(held.get(), &byte, 1, MSG_DONTWAIT) == -1);  // Not closed: its answer is due.
}

TEST_CASE("the socket is for owner and group, and goes with the server") {
  const TempDir folder;
  {
    const EchoServer server(folder / "s");
    struct stat info{};
    REQUIRE(::stat((folder / "s").c_str(), &info) == 0);
    CHECK((info.st_mode & 07777) == 0660);
    const auto second = ApiServer::listen(folder / "s", kSmall, nullptr);
    REQUIRE_FALSE(second);
    CHECK(second.error() == "cannot listen on " + (folder / "s").string() +
                                ": another agent is listening on it; stop what uses it, or give "
                                "another path with --socket");
  }
  CHECK_FALSE(std::filesystem::exists(folder / "s"));
}

TEST_CASE("a socket that nobody listens on is replaced; other files are not") {
  const TempDir folder;
  {
    const UniqueFd dead(::socket(AF_UNIX, SOCK_STREAM, 0));
    const auto address = unix_address(folder / "s");
    REQUIRE(::bind(dead.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) == 0);
  }
  CHECK(ApiServer::listen(folder / "s", kSmall, nullptr));
  write_text(folder / "file", "precious");
  CHECK_FALSE(ApiServer::listen(folder / "file", kSmall, nullptr));
  CHECK(read_text(folder / "file") == "precious");
}
