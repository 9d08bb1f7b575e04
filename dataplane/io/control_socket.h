#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "policy/runtime/frames.h"

namespace sallyport {

/// The seqpacket socket by which sallyport-control pushes policies and identity feeds: see
/// policy/runtime/frames.h. Everything happens on the control thread.
class ControlSocket {
 public:
  /// What the gateway does with the messages.
  struct Handler {
    /// Puts an image in force. Anything but none leaves the old one.
    std::function<Refusal(std::span<const uint8_t> image)> push;
    /// Puts an identity feed in force, likewise.
    std::function<Refusal(std::span<const uint8_t> feed)> push_identities;
    /// What each core runs now, and by which feed.
    std::function<void(PushReply& reply)> describe;
  };

  /// Binds `path` with mode 0600, owned by `user`. A socket file left by a dead process is
  /// replaced; a live one is an error.
  static std::expected<std::unique_ptr<ControlSocket>, std::string> open(const std::string& path,
                                                                         const std::string& user,
                                                                         Handler handler);
  ~ControlSocket();
  ControlSocket(const ControlSocket&) = delete;
  ControlSocket& operator=(const ControlSocket&) = delete;

  /// Descriptors to wait on for reading; changes after each serve().
  std::vector<int> descriptors() const;
  /// Accepts and answers whatever is ready. Never blocks but for the push itself.
  void serve();

 private:
  ControlSocket(int listener, std::string path, unsigned owner, Handler handler);
  void accept_one();
  bool answer(int client);
  Refusal carry_out(FrameType type, const std::vector<int>& fds, int client);
  bool may_push(int client) const;

  int listener_;
  std::string path_;
  unsigned owner_;
  Handler handler_;
  std::vector<int> clients_;
};

}  // namespace sallyport
