#include "tests/unit/control/fake_dataplane.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstring>

#include "control/common/system.h"
#include "policy/runtime/identity_codec.h"
#include "policy/runtime/table.h"

namespace sallyport::test {

FakeDataplane::FakeDataplane(const std::filesystem::path& socket)
    : socket_(socket),
      listener_(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)),
      stop_(::eventfd(0, EFD_CLOEXEC)) {
  const auto address = unix_address(socket);
  REQUIRE(address);
  ::unlink(socket.c_str());
  REQUIRE(::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) ==
          0);
  REQUIRE(::listen(listener_.get(), 4) == 0);
  thread_ = std::thread([this] { serve(); });
}

FakeDataplane::~FakeDataplane() {
  const uint64_t one = 1;
  static_cast<void>(::write(stop_.get(), &one, sizeof one));
  thread_.join();
  ::unlink(socket_.c_str());
}

/// Waits until `fd` is readable. @return true when the object is going.
bool FakeDataplane::stopping(int fd) const {
  std::array<pollfd, 2> polls{{{.fd = stop_.get(), .events = POLLIN, .revents = 0},
                               {.fd = fd, .events = POLLIN, .revents = 0}}};
  ::poll(polls.data(), polls.size(), -1);
  return polls[0].revents != 0;
}

void FakeDataplane::serve() {
  while (!stopping(listener_.get())) {
    const UniqueFd connection(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (connection) serve_connection(connection);
  }
}

void FakeDataplane::serve_connection(const UniqueFd& connection) {
  while (!stopping(connection.get())) {
    FrameHeader header;
    iovec part{.iov_base = &header, .iov_len = sizeof header};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> space{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = space.data();
    message.msg_controllen = space.size();
    if (::recvmsg(connection.get(), &message, MSG_CMSG_CLOEXEC) != sizeof header) return;
    UniqueFd image;
    if (const cmsghdr* control = CMSG_FIRSTHDR(&message); control != nullptr) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(control), sizeof fd);
      image.reset(fd);
    }
    const PushReply reply = answer(header, image.get());
    if (silent) continue;
    const size_t size = malformed ? sizeof reply / 2 : sizeof reply;
    static_cast<void>(::send(connection.get(), &reply, size, MSG_NOSIGNAL));
  }
}

Refusal FakeDataplane::take_image(int fd) {
  ++pushes;
  const auto image = read_sealed_memfd(fd);
  last_seal_refusal = static_cast<uint32_t>(image ? Refusal::none : image.error());
  if (!image || refusal != Refusal::none) return refusal;
  lagging_revision_ = revision;
  revision = (*PolicyTable::load(*image, 1))->revision();
  ++generation_;
  return Refusal::none;
}

Refusal FakeDataplane::take_feed(int fd) {
  ++feed_pushes;
  const auto bytes = read_sealed_memfd(fd, kMaxFeedBytes);
  if (!bytes) return bytes.error();
  const auto decoded = decode_identities(*bytes);
  if (!decoded) return decoded.error();
  if (feed_refusal == Refusal::none) feed_revision = decoded->revision;
  return feed_refusal;
}

PushReply FakeDataplane::answer(const FrameHeader& header, int image_fd) {
  PushReply reply;
  reply.header.request_id = header.request_id;
  if (header.type == FrameType::push) {
    reply.refusal = take_image(image_fd);
  } else if (header.type == FrameType::push_identities) {
    reply.refusal = take_feed(image_fd);
  } else {
    ++queries;
  }
  reply.identities = {.revision = feed_revision, .since_unix_ns = 1'700'000'000'000'000'000};
  reply.core_count = 2;
  reply.cores[0] = {.core = 1, .revision = revision, .generation = generation_};
  reply.cores[1] = reply.cores[0];
  reply.cores[1].core = 2;
  if (lagging_core) reply.cores[1].revision = lagging_revision_;
  return reply;
}

}  // namespace sallyport::test
