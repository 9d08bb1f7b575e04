#include "control/agent/http_server.h"

#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <exception>

#include "control/common/system.h"

namespace sallyport {
namespace {

constexpr int kBacklog = 32;
constexpr std::chrono::seconds kNoDescriptorPause{1};

const char* reason_phrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 431:
      return "Request Header Fields Too Large";
    case 503:
      return "Service Unavailable";
    default:
      return "Internal Server Error";
  }
}

HttpAnswer plain(int status, std::string body) {
  return {.status = status, .content_type = "text/plain; charset=utf-8", .body = std::move(body)};
}

std::string answer_text(const HttpAnswer& answer, bool with_body) {
  std::string out = "HTTP/1.1 " + std::to_string(answer.status) + " " +
                    reason_phrase(answer.status) + "\r\nContent-Type: " + answer.content_type +
                    "\r\nContent-Length: " + std::to_string(answer.body.size()) +
                    "\r\nCache-Control: no-store\r\nConnection: close\r\n";
  if (answer.status == 405) out += "Allow: GET, HEAD\r\n";
  out += "\r\n";
  if (with_body) out += answer.body;
  return out;
}

/// IPv4 is kept mapped into IPv6; a socket wants the family that was written.
socklen_t socket_address(const ListenAddress& from, sockaddr_storage& out) {
  if (from.address.is_v4()) {
    sockaddr_in four{};
    four.sin_family = AF_INET;
    four.sin_port = htons(from.port);
    std::memcpy(&four.sin_addr, &from.address.bytes[12], sizeof four.sin_addr);
    std::memcpy(&out, &four, sizeof four);
    return sizeof four;
  }
  sockaddr_in6 six{};
  six.sin6_family = AF_INET6;
  six.sin6_port = htons(from.port);
  std::memcpy(&six.sin6_addr, from.address.bytes.data(), sizeof six.sin6_addr);
  std::memcpy(&out, &six, sizeof six);
  return sizeof six;
}

/// Both families have the port at the same place.
uint16_t bound_port(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  sockaddr_in any{};
  std::memcpy(&any, &address, sizeof any);
  return ntohs(any.sin_port);
}

std::string address_text(const ListenAddress& from) {
  const std::string port = ":" + std::to_string(from.port);
  return from.address.is_v4() ? to_string(from.address) + port
                              : "[" + to_string(from.address) + "]" + port;
}

}  // namespace

std::expected<ListenAddress, std::string> parse_listen_address(std::string_view text) {
  const auto wrong = std::unexpected("\"" + std::string(text) +
                                     "\" is no ADDRESS:PORT; give it as 127.0.0.1:9464 or "
                                     "[::1]:9464");
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return wrong;
  std::string_view address = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  const bool bracketed = address.starts_with('[') && address.ends_with(']');
  if (bracketed) address = address.substr(1, address.size() - 2);
  // Brackets around IPv6, and around nothing else (RFC 3986 section 3.2.2).
  if (bracketed != address.contains(':')) return wrong;
  const auto parsed = parse_ip_address(address);
  if (!parsed) return wrong;
  ListenAddress out{.address = *parsed, .port = 0};
  const auto number = std::from_chars(port.data(), port.data() + port.size(), out.port);
  if (number.ec != std::errc() || number.ptr != port.data() + port.size()) return wrong;
  return out;
}

std::expected<std::unique_ptr<HttpServer>, std::string> HttpServer::listen(
    const ListenAddress& address, Pages pages, const HttpLimits& limits) {
  std::unique_ptr<HttpServer> server(new HttpServer(std::move(pages), limits));
  if (const auto bound = server->bind_and_listen(address); !bound) {
    return std::unexpected("cannot serve metrics on " + address_text(address) + ": " +
                           bound.error() +
                           "; stop what uses it, or give another address with --metrics");
  }
  server->thread_ =
      std::jthread([one = server.get()](const std::stop_token& stop) { one->run(stop); });
  return server;
}

HttpServer::HttpServer(Pages pages, const HttpLimits& limits)
    : pages_(std::move(pages)), limits_(limits) {}

HttpServer::~HttpServer() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  ::eventfd_write(wake_.get(), 1);
  thread_.join();
}

std::expected<void, std::string> HttpServer::bind_and_listen(const ListenAddress& address) {
  sockaddr_storage bound{};
  const socklen_t size = socket_address(address, bound);
  wake_.reset(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  listener_.reset(::socket(bound.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int yes = 1;
  // Not to wait for the last run's connections to be forgotten.
  const bool good =
      wake_ && listener_ &&
      ::setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0 &&
      ::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&bound), size) == 0 &&
      ::listen(listener_.get(), kBacklog) == 0;
  if (!good) return std::unexpected(errno_text(errno));
  port_ = bound_port(listener_.get());
  return {};
}

void HttpServer::run(const std::stop_token& stop) {
  std::vector<pollfd> polls;
  while (!stop.stop_requested()) {
    Time now = std::chrono::steady_clock::now();
    std::erase_if(clients_, [now](const Client& client) { return client.deadline <= now; });
    Time next = now + limits_.deadline;
    const bool accepting = accept_again_ <= now;
    if (!accepting) next = accept_again_;
    polls.assign({{.fd = wake_.get(), .events = POLLIN, .revents = 0},
                  {.fd = accepting ? listener_.get() : -1, .events = POLLIN, .revents = 0}});
    for (const Client& client : clients_) {
      next = std::min(next, client.deadline);
      const auto events = static_cast<short>(client.sent < client.out.size() ? POLLOUT : POLLIN);
      polls.push_back({.fd = client.fd.get(), .events = events, .revents = 0});
    }
    const auto wait = std::chrono::ceil<std::chrono::milliseconds>(next - now).count();
    if (::poll(polls.data(), polls.size(), static_cast<int>(std::max<long>(wait, 0))) <= 0) {
      continue;
    }
    size_t at = 2;
    std::erase_if(clients_, [&](Client& client) {
      const short revents = polls[at++].revents;
      return revents != 0 && !serve(client, revents);
    });
    if (polls[1].revents != 0) accept_all(std::chrono::steady_clock::now());
  }
}

void HttpServer::accept_all(Time now) {
  while (true) {
    UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd) {
      // Without descriptors the listener stays readable: polling it would burn a core.
      if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
        accept_again_ = now + kNoDescriptorPause;
      }
      return;
    }
    if (clients_.size() >= limits_.clients) make_room();
    clients_.push_back(
        {.fd = std::move(fd), .in = {}, .out = {}, .deadline = now + limits_.deadline});
  }
}

/// Drops who has been there longest: of those that have not asked yet, if there are any.
void HttpServer::make_room() {
  auto victim = std::find_if(clients_.begin(), clients_.end(),
                             [](const Client& client) { return !client.answered; });
  if (victim == clients_.end()) victim = clients_.begin();
  clients_.erase(victim);
}

/// @return false when the client is done with.
bool HttpServer::serve(Client& client, short revents) {
  if (client.sent < client.out.size()) return write_some(client);
  if ((revents & POLLIN) == 0) return false;  // Gone altogether.
  return read_some(client);
}

bool HttpServer::read_some(Client& client) {
  std::array<char, 4096> chunk{};
  const ssize_t got = ::recv(client.fd.get(), chunk.data(), chunk.size(), 0);
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  if (got == 0) return false;
  // Read on behind the answer: closing over unread bytes would reset it away.
  if (client.answered) return true;
  client.in.append(chunk.data(), static_cast<size_t>(got));
  const size_t end = client.in.find("\r\n\r\n");
  if (end == std::string::npos && client.in.size() <= limits_.request_bytes) return true;
  if (end == std::string::npos) {
    client.out = answer_text(
        plain(431, "the request is over " + std::to_string(limits_.request_bytes) + " bytes\n"),
        true);
  } else {
    answer_request(client, std::string_view(client.in).substr(0, end));
  }
  client.answered = true;
  client.in = std::string();
  return write_some(client);
}

/// @return false when the client is gone.
bool HttpServer::write_some(Client& client) {
  const char* from = client.out.data() + client.sent;
  const ssize_t sent = ::send(client.fd.get(), from, client.out.size() - client.sent, MSG_NOSIGNAL);
  if (sent < 0) return errno == EAGAIN || errno == EINTR;
  client.sent += static_cast<size_t>(sent);
  if (client.sent == client.out.size()) ::shutdown(client.fd.get(), SHUT_WR);
  return true;
}

void HttpServer::answer_request(Client& client, std::string_view head) {
  const std::string_view line = head.substr(0, head.find("\r\n"));
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last ||
      !line.substr(last + 1).starts_with("HTTP/1.")) {
    client.out = answer_text(plain(400, "this is no HTTP/1.1 request\n"), true);
    return;
  }
  const std::string_view method = line.substr(0, first);
  std::string_view path = line.substr(first + 1, last - first - 1);
  path = path.substr(0, path.find('?'));
  client.out = answer_text(answer_to(method, path), method != "HEAD");
}

HttpAnswer HttpServer::answer_to(std::string_view method, std::string_view path) const {
  const auto page = pages_.find(std::string(path));
  if (page == pages_.end()) {
    std::string there;
    for (const auto& [name, make] : pages_) there += name + "\n";
    return plain(404, "not found; there are:\n" + there);
  }
  if (method != "GET" && method != "HEAD") return plain(405, "only GET and HEAD are served\n");
  try {
    return page->second();
  } catch (const std::exception& error) {
    return plain(500, std::string("the page could not be made: ") + error.what() + "\n");
  }
}

}  // namespace sallyport
