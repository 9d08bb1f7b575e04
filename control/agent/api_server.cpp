#include "control/agent/api_server.h"

#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "control/common/json_text.h"
#include "control/common/system.h"

namespace sallyport {
namespace {

constexpr mode_t kSocketMode = 0660;
constexpr int kBacklog = 32;

std::string refusal_line(const std::string& why) {
  return dump({{"ok", false}, {"error", why}}) + "\n";
}

/// Makes room for a new socket at `path`. @return why that must not be done, or "".
std::string clear_the_way(const std::filesystem::path& path) {
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0) return "";
  if (!S_ISSOCK(info.st_mode)) return "something that is not a socket is in its place";
  const auto other = connect_unix(path, SOCK_STREAM | SOCK_NONBLOCK);
  if (other || other.error() == EAGAIN) return "another agent is listening on it";
  if (other.error() != ECONNREFUSED) return errno_text(other.error());
  return ::unlink(path.c_str()) == 0 ? "" : errno_text(errno);
}

}  // namespace

std::expected<std::unique_ptr<ApiServer>, std::string> ApiServer::listen(
    const std::filesystem::path& path, const ApiLimits& limits, Handler handler) {
  std::unique_ptr<ApiServer> server(new ApiServer(path, limits, std::move(handler)));
  std::string why = clear_the_way(path);
  if (why.empty()) {
    const auto bound = server->bind_and_listen();
    if (bound) return server;
    why = bound.error();
  }
  return std::unexpected("cannot listen on " + path.string() + ": " + why +
                         "; stop what uses it, or give another path with --socket");
}

ApiServer::ApiServer(std::filesystem::path path, const ApiLimits& limits, Handler handler)
    : path_(std::move(path)), limits_(limits), handler_(std::move(handler)) {}

ApiServer::~ApiServer() {
  struct stat info{};
  if (inode_ != 0 && ::lstat(path_.c_str(), &info) == 0 && info.st_dev == device_ &&
      info.st_ino == inode_) {
    ::unlink(path_.c_str());
  }
}

std::expected<void, std::string> ApiServer::bind_and_listen() {
  const auto address = unix_address(path_);
  if (!address) return std::unexpected(errno_text(address.error()));
  listener_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!listener_) return std::unexpected(errno_text(errno));
  // Closed to everyone for the moment between bind() and chmod().
  const mode_t old_mask = ::umask(0777);
  const int bound =
      ::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address);
  const int bind_error = errno;
  ::umask(old_mask);
  if (bound != 0) return std::unexpected(errno_text(bind_error));
  struct stat info{};
  if (::chmod(path_.c_str(), kSocketMode) != 0 || ::stat(path_.c_str(), &info) != 0 ||
      ::listen(listener_.get(), kBacklog) != 0) {
    return std::unexpected(errno_text(errno));
  }
  device_ = info.st_dev;
  inode_ = info.st_ino;
  return {};
}

void ApiServer::add_polls(std::vector<pollfd>& polls) const {
  polls.push_back({.fd = listener_.get(), .events = POLLIN, .revents = 0});
  for (const Client& client : clients_) {
    short events = 0;
    if (!client.busy && !client.closing && !client.ended) events |= POLLIN;
    if (!client.out.empty()) events |= POLLOUT;
    polls.push_back({.fd = client.fd.get(), .events = events, .revents = 0});
  }
}

void ApiServer::dispatch(std::span<const pollfd> polls, SteadyTime now) {
  for (auto client = clients_.begin(); client != clients_.end();) {
    const auto found = std::find_if(polls.begin(), polls.end(), [&](const pollfd& poll) {
      return poll.fd == client->fd.get();
    });
    const bool keep =
        found == polls.end() || found->revents == 0 || serve(*client, found->revents, now);
    client = keep ? std::next(client) : clients_.erase(client);
  }
  const bool knocked = std::any_of(polls.begin(), polls.end(), [&](const pollfd& poll) {
    return poll.fd == listener_.get() && poll.revents != 0;
  });
  if (knocked) accept_all(now);
}

SteadyTime ApiServer::expire(SteadyTime now) {
  SteadyTime next = now + limits_.deadline;
  for (auto client = clients_.begin(); client != clients_.end();) {
    if (!client->busy && client->deadline <= now) {
      client = clients_.erase(client);
      continue;
    }
    if (!client->busy) next = std::min(next, client->deadline);
    ++client;
  }
  return next;
}

void ApiServer::respond(ClientId client, const std::string& line) {
  for (Client& one : clients_) {
    if (one.id != client) continue;
    one.out += line;
    one.out += '\n';
    one.busy = false;
    one.deadline = std::chrono::steady_clock::now() + limits_.deadline;
    return;
  }
}

void ApiServer::accept_all(SteadyTime now) {
  while (true) {
    UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd) return;
    if (clients_.size() >= limits_.clients) {
      const std::string line = refusal_line("too many clients; try again in a moment");
      // Best effort: a client that does not listen learns it from the close.
      static_cast<void>(::send(fd.get(), line.data(), line.size(), MSG_NOSIGNAL));
      continue;
    }
    clients_.push_back({.id = next_id_++, .fd = std::move(fd), .deadline = now + limits_.deadline});
  }
}

/// @return false when the client is to be dropped.
bool ApiServer::serve(Client& client, short revents, SteadyTime now) {
  if ((revents & POLLIN) != 0) {
    if (!read_some(client)) return false;
    const bool had_request = next_request(client);
    if (had_request) client.deadline = now + limits_.deadline;
  } else if ((revents & (POLLHUP | POLLERR | POLLNVAL)) != 0) {
    return false;  // Gone altogether; a half-closed client shows POLLIN instead.
  }
  if ((revents & POLLOUT) != 0) {
    if (!flush(client)) return false;
    if (client.out.empty() && !client.closing) next_request(client);
  }
  return !(client.out.empty() && !client.busy && (client.closing || client.ended));
}

bool ApiServer::read_some(Client& client) {
  std::array<char, 65536> chunk{};
  const ssize_t got = ::recv(client.fd.get(), chunk.data(), chunk.size(), 0);
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  if (got == 0) {
    client.ended = true;
    return true;
  }
  client.in.append(chunk.data(), static_cast<size_t>(got));
  return true;
}

/// Hands the next whole line to the handler, unless an earlier one is not answered yet.
bool ApiServer::next_request(Client& client) {
  if (client.busy || client.closing || !client.out.empty()) return false;
  size_t end = client.in.find('\n', client.searched);
  client.searched = client.in.size();
  if (end == std::string::npos) {
    if (client.ended && !client.in.empty()) {
      end = client.in.size();  // The last line needs no newline.
    } else {
      if (client.in.size() > limits_.request_bytes) {
        refuse(client, "the request is over " + std::to_string(limits_.request_bytes) + " bytes");
      } else if (buffered() > limits_.buffered_bytes) {
        refuse(client, "too many large requests at once; try again in a moment");
      }
      return false;
    }
  }
  if (end > limits_.request_bytes) {
    refuse(client, "the request is over " + std::to_string(limits_.request_bytes) + " bytes");
    return false;
  }
  const std::string line = client.in.substr(0, end);
  client.in.erase(0, std::min(end + 1, client.in.size()));
  client.searched = 0;
  client.busy = true;
  handler_(client.id, line);
  return true;
}

void ApiServer::refuse(Client& client, const std::string& why) {
  client.in = std::string();
  client.searched = 0;
  client.out += refusal_line(why);
  client.closing = true;
}

/// @return false when the client is gone.
bool ApiServer::flush(Client& client) {
  const ssize_t sent = ::send(client.fd.get(), client.out.data(), client.out.size(), MSG_NOSIGNAL);
  if (sent < 0) return errno == EAGAIN || errno == EINTR;
  client.out.erase(0, static_cast<size_t>(sent));
  return true;
}

size_t ApiServer::buffered() const {
  size_t total = 0;
  for (const Client& client : clients_) total += client.in.size() + client.out.size();
  return total;
}

}  // namespace sallyport
