#pragma once

#include <poll.h>
#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <expected>
#include <filesystem>
#include <functional>
#include <list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "control/common/unique_fd.h"

namespace sallyport {

using SteadyTime = std::chrono::steady_clock::time_point;
using ClientId = uint64_t;

struct ApiLimits {
  size_t request_bytes = size_t{64} << 20;
  size_t buffered_bytes = size_t{160} << 20;  ///< All clients together.
  size_t clients = 32;
  std::chrono::milliseconds deadline{10'000};  ///< To send a whole request, or take an answer.
};

/// Newline-delimited requests and answers on a Unix stream socket, for many clients, none of which
/// can make it wait. One request a client is worked on at a time; the handler answers it with
/// respond(), now or later. Use from one thread.
class ApiServer {
 public:
  using Handler = std::function<void(ClientId client, const std::string& line)>;

  /// Takes the place of a socket that nobody listens on; refuses one that somebody does.
  static std::expected<std::unique_ptr<ApiServer>, std::string> listen(
      const std::filesystem::path& path, const ApiLimits& limits, Handler handler);
  ~ApiServer();  ///< Removes the socket, if it is still this one.
  ApiServer(const ApiServer&) = delete;
  ApiServer& operator=(const ApiServer&) = delete;

  /// Appends what to poll for. The same elements, with revents, go to dispatch().
  void add_polls(std::vector<pollfd>& polls) const;
  void dispatch(std::span<const pollfd> polls, SteadyTime now);
  /// Drops the clients whose time is up. @return when to call next.
  SteadyTime expire(SteadyTime now);

  /// Answers a client's request. A client that has gone is ignored.
  void respond(ClientId client, const std::string& line);

  size_t client_count() const noexcept { return clients_.size(); }

 private:
  struct Client {
    ClientId id = 0;
    UniqueFd fd;
    std::string in;
    size_t searched = 0;  ///< Bytes of `in` that are known to hold no newline.
    std::string out;
    SteadyTime deadline;
    bool busy = false;     ///< Its request is being worked on; it has no deadline meanwhile.
    bool ended = false;    ///< It will send no more.
    bool closing = false;  ///< Close once `out` is sent.
  };

  ApiServer(std::filesystem::path path, const ApiLimits& limits, Handler handler);
  std::expected<void, std::string> bind_and_listen();
  void accept_all(SteadyTime now);
  bool serve(Client& client, short revents, SteadyTime now);
  bool read_some(Client& client);
  bool next_request(Client& client);
  void refuse(Client& client, const std::string& why);
  static bool flush(Client& client);
  size_t buffered() const;

  std::filesystem::path path_;
  ApiLimits limits_;
  Handler handler_;
  UniqueFd listener_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
  ClientId next_id_ = 1;
  std::list<Client> clients_;  ///< A list: handlers may respond while it is walked.
};

}  // namespace sallyport
