#pragma once

#include <poll.h>

#include <chrono>
#include <cstdint>
#include <expected>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "control/common/unique_fd.h"
#include "policy/runtime/ip_address.h"

namespace sallyport {

struct HttpAnswer {
  int status = 200;
  std::string content_type;
  std::string body;
};

struct HttpLimits {
  size_t clients = 16;
  size_t request_bytes = 8192;
  std::chrono::milliseconds deadline{10'000};  ///< From accepting a client to being done with it.
};

struct ListenAddress {
  IpAddress address;
  uint16_t port = 0;

  bool operator==(const ListenAddress&) const = default;
};

/// "127.0.0.1:9464" or "[::1]:9464"; port 0 takes a free one. @return what is wrong with it.
std::expected<ListenAddress, std::string> parse_listen_address(std::string_view text);

/// Serves a few pages over HTTP/1.1, GET and HEAD, each made anew when it is asked for. Runs on a
/// thread of its own, so it answers while the agent is busy; no client can make another wait, nor
/// keep it out: when all places are taken, the one that has dawdled longest loses its own.
///
/// Not prometheus::Exposer: that can serve nothing but metrics, Debian builds the server under it
/// without IPv6, and as many idle clients as it has threads shut everyone else out.
class HttpServer {
 public:
  /// By path, "/metrics". Called on the server's thread only; may throw.
  using Pages = std::map<std::string, std::function<HttpAnswer()>>;

  /// @return what is wrong and what to do.
  static std::expected<std::unique_ptr<HttpServer>, std::string> listen(
      const ListenAddress& address, Pages pages, const HttpLimits& limits = {});
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  uint16_t port() const noexcept { return port_; }

 private:
  using Time = std::chrono::steady_clock::time_point;
  struct Client {
    UniqueFd fd;
    std::string in;
    std::string out;
    size_t sent = 0;  ///< Bytes of `out`.
    Time deadline;
    bool answered = false;  ///< `out` has the answer.
  };

  HttpServer(Pages pages, const HttpLimits& limits);
  std::expected<void, std::string> bind_and_listen(const ListenAddress& address);
  void run(const std::stop_token& stop);
  void accept_all(Time now);
  void make_room();
  bool serve(Client& client, short revents);
  bool read_some(Client& client);
  static bool write_some(Client& client);
  void answer_request(Client& client, std::string_view head);
  HttpAnswer answer_to(std::string_view method, std::string_view path) const;

  Pages pages_;
  HttpLimits limits_;
  uint16_t port_ = 0;
  UniqueFd listener_;
  UniqueFd wake_;
  Time accept_again_;  ///< Not before then: there was no descriptor left.
  std::list<Client> clients_;
  std::jthread thread_;
};

}  // namespace sallyport
