#include "policy/runtime/frames.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <new>

namespace sallyport {
namespace {

int write_all(int fd, std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    if (written == 0) return EIO;
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return 0;
}

std::expected<std::vector<uint8_t>, Refusal> copy_mapped(int fd, size_t size) {
  void* mapped = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (mapped == MAP_FAILED) return std::unexpected(Refusal::unreadable);
  const auto* bytes = static_cast<const uint8_t*>(mapped);
  std::expected<std::vector<uint8_t>, Refusal> out;
  try {
    out->assign(bytes, bytes + size);
  } catch (const std::bad_alloc&) {
    out = std::unexpected(Refusal::no_memory);
  }
  ::munmap(mapped, size);
  return out;
}

}  // namespace

std::expected<FrameHeader, Refusal> read_request(std::span<const uint8_t> message) noexcept {
  FrameHeader header;
  if (message.size() != sizeof header) return std::unexpected(Refusal::bad_frame);
  std::memcpy(&header, message.data(), sizeof header);
  const bool known = header.type == FrameType::push || header.type == FrameType::push_identities ||
                     header.type == FrameType::query;
  if (header.magic != kFrameMagic || header.version != kFrameVersion || !known) {
    return std::unexpected(Refusal::bad_frame);
  }
  return header;
}

int required_seals() noexcept {
  return F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
}

std::expected<int, int> make_sealed_memfd(std::span<const uint8_t> image) {
  const int fd = ::memfd_create("sallyport-policy", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return std::unexpected(errno);
  int error = write_all(fd, image);
  if (error == 0 && ::fcntl(fd, F_ADD_SEALS, required_seals()) != 0) error = errno;
  if (error != 0) {
    ::close(fd);
    return std::unexpected(error);
  }
  return fd;
}

std::expected<std::vector<uint8_t>, Refusal> read_sealed_memfd(int fd, size_t max_bytes) {
  // Seals come first: only once shrinking and writing are impossible does the size that is read
  // below stay true, and a mapped page cannot fault or change under the copy.
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & required_seals()) != required_seals()) {
    return std::unexpected(Refusal::not_sealed);
  }
  struct stat info{};
  if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    return std::unexpected(Refusal::unreadable);
  }
  const auto size = static_cast<size_t>(info.st_size);
  if (size < ImageHeader::kBytes) return std::unexpected(Refusal::too_short);
  if (size > max_bytes) return std::unexpected(Refusal::too_large);
  return copy_mapped(fd, size);
}

}  // namespace sallyport
