#pragma once

#include <cstdint>
#include <expected>
#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "control/common/unique_fd.h"
#include "policy/runtime/frames.h"

namespace sallyport {

/// The agent's end of the data plane's seqpacket socket. Never blocks. Any error leaves it closed;
/// the caller connects again.
class DataplaneLink {
 public:
  explicit DataplaneLink(std::filesystem::path socket) : socket_(std::move(socket)) {}

  /// @return why it is not connected, for a person.
  std::expected<void, std::string> connect();
  void close() noexcept { fd_.reset(); }
  bool connected() const noexcept { return static_cast<bool>(fd_); }
  int fd() const noexcept { return fd_.get(); }

  /// @return the id that the reply will carry.
  std::expected<uint64_t, std::string> send_query();
  /// @param type  push or push_identities: what `bytes` are.
  std::expected<uint64_t, std::string> send_push(FrameType type, std::span<const uint8_t> bytes);

  /// One reply, or nullopt when none has arrived.
  std::expected<std::optional<PushReply>, std::string> receive();

 private:
  std::expected<uint64_t, std::string> send(FrameType type, int image_fd);
  std::unexpected<std::string> fail(const std::string& what);

  std::filesystem::path socket_;
  UniqueFd fd_;
  uint64_t next_id_ = 1;
};

}  // namespace sallyport
