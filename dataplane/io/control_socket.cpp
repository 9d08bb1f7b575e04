#include "dataplane/io/control_socket.h"

#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "policy/runtime/identity_codec.h"

namespace sallyport {
namespace {

constexpr size_t kMaxClients = 8;

// A datagram and the descriptors that came with it; those not taken are closed.
struct Received {
  std::vector<uint8_t> bytes;
  std::vector<int> fds;

  Received() = default;
  Received(const Received&) = delete;
  Received& operator=(const Received&) = delete;
  ~Received() {
    for (const int fd : fds) close(fd);
  }
};

// @return false when the peer is gone.
bool receive(int client, Received& out) {
  std::array<uint8_t, 4096> buffer;
  alignas(cmsghdr) std::array<uint8_t, CMSG_SPACE(8 * sizeof(int))> control{};
  iovec vector{.iov_base = buffer.data(), .iov_len = buffer.size()};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t size = recvmsg(client, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (size < 0) return errno == EAGAIN || errno == EINTR;
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
       part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    const size_t had = out.fds.size();
    out.fds.resize(had + count);
    std::memcpy(out.fds.data() + had, CMSG_DATA(part), count * sizeof(int));
  }
  out.bytes.assign(buffer.begin(), buffer.begin() + size);
  return size > 0;
}

// Whether something still listens at `address`.
bool is_live(const sockaddr_un& address) {
  const int probe = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (probe < 0) return false;
  const bool live =
      connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  close(probe);
  return live;
}

}  // namespace

std::expected<std::unique_ptr<ControlSocket>, std::string> ControlSocket::open(
    const std::string& path, const std::string& user, Handler handler) {
  const auto failed = [&](const std::string& what) {
    return std::unexpected("control socket " + path + ": " + what);
  };
  const passwd* account = getpwnam(user.c_str());
  if (account == nullptr) {
    return failed("there is no user " + user + " (paths.control_user)");
  }
  const uid_t owner = account->pw_uid;
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  if (path.size() >= sizeof address.sun_path) return failed("the path is too long for a socket");
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  if (is_live(address)) return failed("another data plane is listening there");

  struct stat status{};
  if (lstat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode)) unlink(path.c_str());
  const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return failed(std::strerror(errno));
  const mode_t mask = umask(0177);
  const int bound = bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int error = errno;
  umask(mask);
  if (bound != 0) {
    close(fd);
    return failed(std::strerror(error));
  }
  std::unique_ptr<ControlSocket> out(new ControlSocket(fd, path, owner, std::move(handler)));
  if (owner != geteuid() && chown(path.c_str(), owner, static_cast<gid_t>(-1)) != 0) {
    return failed(std::string("cannot be given to ") + user + ": " + std::strerror(errno));
  }
  if (listen(fd, static_cast<int>(kMaxClients)) != 0) return failed(std::strerror(errno));
  return out;
}

ControlSocket::ControlSocket(int listener, std::string path, unsigned owner, Handler handler)
    : listener_(listener), path_(std::move(path)), owner_(owner), handler_(std::move(handler)) {}

ControlSocket::~ControlSocket() {
  for (const int client : clients_) close(client);
  close(listener_);
  unlink(path_.c_str());
}

std::vector<int> ControlSocket::descriptors() const {
  std::vector<int> out{listener_};
  out.insert(out.end(), clients_.begin(), clients_.end());
  return out;
}

void ControlSocket::serve() {
  accept_one();
  std::erase_if(clients_, [this](int client) {
    if (answer(client)) return false;
    close(client);
    return true;
  });
}

void ControlSocket::accept_one() {
  const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (client < 0) return;
  if (clients_.size() == kMaxClients) {
    close(clients_.front());  // the oldest: a crowd of idle ones must not lock the agent out
    clients_.erase(clients_.begin());
  }
  clients_.push_back(client);
}

bool ControlSocket::may_push(int client) const {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  return peer.uid == 0 || peer.uid == owner_;
}

Refusal ControlSocket::carry_out(FrameType type, const std::vector<int>& fds, int client) {
  if (!may_push(client)) return Refusal::not_permitted;
  if (type == FrameType::query) return Refusal::none;
  if (fds.size() != 1) return Refusal::no_descriptor;
  const bool policy = type == FrameType::push;
  const auto bytes = read_sealed_memfd(fds.front(), policy ? kMaxImageBytes : kMaxFeedBytes);
  if (!bytes) return bytes.error();
  return policy ? handler_.push(*bytes) : handler_.push_identities(*bytes);
}

// @return false when the client is done with.
bool ControlSocket::answer(int client) {
  Received received;
  if (!receive(client, received)) return false;
  if (received.bytes.empty()) return true;  // nothing there

  PushReply reply;
  const auto header = read_request(received.bytes);
  if (received.bytes.size() == sizeof(FrameHeader)) {
    std::memcpy(&reply.header.request_id, received.bytes.data() + offsetof(FrameHeader, request_id),
                sizeof(uint64_t));
  }
  reply.refusal = header ? carry_out(header->type, received.fds, client) : header.error();
  handler_.describe(reply);
  return send(client, &reply, sizeof reply, MSG_NOSIGNAL | MSG_DONTWAIT) ==
         static_cast<ssize_t>(sizeof reply);
}

}  // namespace sallyport
