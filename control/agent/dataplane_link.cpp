#include "control/agent/dataplane_link.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "control/common/system.h"

namespace sallyport {
namespace {

/// Adds one descriptor to `message`. `space` must outlive it.
void attach_descriptor(msghdr& message, std::span<char> space, int fd) {
  message.msg_control = space.data();
  message.msg_controllen = space.size();
  cmsghdr* control = CMSG_FIRSTHDR(&message);
  control->cmsg_level = SOL_SOCKET;
  control->cmsg_type = SCM_RIGHTS;
  control->cmsg_len = CMSG_LEN(sizeof fd);
  std::memcpy(CMSG_DATA(control), &fd, sizeof fd);
}

bool well_formed(const PushReply& reply) {
  return reply.header.magic == kFrameMagic && reply.header.version == kFrameVersion &&
         reply.header.type == FrameType::push_reply && reply.core_count <= kMaxCores;
}

}  // namespace

std::expected<void, std::string> DataplaneLink::connect() {
  auto fd = connect_unix(socket_, SOCK_SEQPACKET | SOCK_NONBLOCK);
  if (!fd) return fail(errno_text(fd.error()));
  fd_ = std::move(*fd);
  return {};
}

std::expected<uint64_t, std::string> DataplaneLink::send_query() {
  return send(FrameType::query, -1);
}

std::expected<uint64_t, std::string> DataplaneLink::send_push(FrameType type,
                                                              std::span<const uint8_t> bytes) {
  const auto made = make_sealed_memfd(bytes);
  if (!made) return fail("cannot make the memfd for a push: " + errno_text(made.error()));
  const UniqueFd memfd(*made);
  return send(type, memfd.get());
}

std::expected<uint64_t, std::string> DataplaneLink::send(FrameType type, int image_fd) {
  FrameHeader header{.type = type, .request_id = next_id_++};
  iovec part{.iov_base = &header, .iov_len = sizeof header};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> space{};
  if (image_fd >= 0) attach_descriptor(message, space, image_fd);
  ssize_t sent = 0;
  do {
    sent = ::sendmsg(fd_.get(), &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) return fail(errno_text(errno));
  return header.request_id;
}

std::expected<std::optional<PushReply>, std::string> DataplaneLink::receive() {
  PushReply reply;
  ssize_t got = 0;
  do {
    // MSG_TRUNC: the real length, so that a longer message is not taken for a good one.
    got = ::recv(fd_.get(), &reply, sizeof reply, MSG_TRUNC);
  } while (got < 0 && errno == EINTR);
  if (got < 0 && errno == EAGAIN) return std::nullopt;
  if (got < 0) return fail(errno_text(errno));
  if (got == 0) return fail("it closed the connection");
  if (static_cast<size_t>(got) != sizeof reply || !well_formed(reply)) {
    return fail("its reply is malformed: are both programs of the same version?");
  }
  return reply;
}

std::unexpected<std::string> DataplaneLink::fail(const std::string& what) {
  fd_.reset();
  return std::unexpected(what);
}

}  // namespace sallyport
