#include "control/cli/agent_client.h"

#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <cerrno>

#include "control/common/system.h"

namespace sallyport {
namespace {

constexpr size_t kMaxAnswerBytes = size_t{64} << 20;

std::string cause(int error) {
  return error == EAGAIN ? "no answer in time" : errno_text(error);
}

/// A failed send is not the end: an agent that refuses a request says so before it closes.
void send_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
}

std::expected<std::string, std::string> receive_line(int fd) {
  std::string line;
  std::array<char, 16384> chunk{};
  while (line.size() <= kMaxAnswerBytes) {
    const ssize_t got = ::recv(fd, chunk.data(), chunk.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::unexpected(cause(errno));
    if (got == 0) return std::unexpected("it closed the connection without an answer");
    line.append(chunk.data(), static_cast<size_t>(got));
    if (line.back() == '\n') return line;
  }
  return std::unexpected("its answer is over 64 MiB");
}

}  // namespace

std::expected<Json, std::string> ask_agent(const std::filesystem::path& socket, const Json& request,
                                           std::chrono::seconds timeout) {
  const auto fd = connect_unix(socket, SOCK_STREAM);
  if (!fd) return std::unexpected(cause(fd.error()));
  const timeval limit{.tv_sec = timeout.count(), .tv_usec = 0};
  for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO}) {
    if (::setsockopt(fd->get(), SOL_SOCKET, option, &limit, sizeof limit) != 0) {
      return std::unexpected(errno_text(errno));
    }
  }
  send_all(fd->get(), dump(request) + "\n");
  const auto line = receive_line(fd->get());
  if (!line) return std::unexpected(line.error());
  Json answer = Json::parse(*line, nullptr, false);
  if (!answer.is_object()) return std::unexpected("its answer is not JSON");
  return answer;
}

}  // namespace sallyport
