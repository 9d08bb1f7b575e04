#include "control/common/system.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <system_error>

namespace sallyport {
namespace {

std::unexpected<std::string> file_error(const char* what, const std::filesystem::path& path,
                                        int error) {
  return std::unexpected(std::string(what) + " " + path.string() + ": " + errno_text(error));
}

/// A new file that nobody else holds open; a leftover of a crashed writer is removed first.
std::expected<UniqueFd, int> create_fresh(const std::filesystem::path& path, unsigned mode) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return std::unexpected(errno);
  UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd) return std::unexpected(errno);
  if (::fchmod(fd.get(), mode) != 0) return std::unexpected(errno);  // Whatever the umask says.
  return fd;
}

int fill_and_sync(int fd, std::span<const uint8_t> bytes) {
  if (const int error = write_all(fd, bytes); error != 0) return error;
  return ::fsync(fd) == 0 ? 0 : errno;
}

}  // namespace

std::string errno_text(int error) {
  return std::generic_category().message(error);
}

int write_all(int fd, std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return 0;
}

std::expected<void, std::string> write_file_atomically(const std::filesystem::path& path,
                                                       std::span<const uint8_t> bytes,
                                                       unsigned mode) {
  const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  const auto temporary = folder / ("." + path.filename().string() + ".tmp");
  const UniqueFd folder_fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder_fd) return file_error("cannot open the folder", folder, errno);
  auto file = create_fresh(temporary, mode);
  if (!file) return file_error("cannot create", temporary, file.error());
  int error = fill_and_sync(file->get(), bytes);
  if (error == 0 && ::rename(temporary.c_str(), path.c_str()) != 0) error = errno;
  if (error != 0) {
    ::unlink(temporary.c_str());
    return file_error("cannot write", path, error);
  }
  if (::fsync(folder_fd.get()) != 0) return file_error("cannot sync", folder, errno);
  return {};
}

std::expected<std::vector<uint8_t>, int> read_file(const std::filesystem::path& path,
                                                   size_t max_bytes) {
  // O_NONBLOCK: opening a FIFO by mistake must not hang.
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat info{};
  if (!fd || ::fstat(fd.get(), &info) != 0) return std::unexpected(errno);
  if (!S_ISREG(info.st_mode)) return std::unexpected(EINVAL);
  if (static_cast<uint64_t>(info.st_size) > max_bytes) return std::unexpected(EFBIG);
  std::vector<uint8_t> bytes(static_cast<size_t>(info.st_size));
  size_t filled = 0;
  while (filled < bytes.size()) {
    const ssize_t got = ::read(fd.get(), bytes.data() + filled, bytes.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::unexpected(errno);
    if (got == 0) break;
    filled += static_cast<size_t>(got);
  }
  bytes.resize(filled);
  return bytes;
}

std::expected<sockaddr_un, int> unix_address(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string text = path.string();
  if (text.empty()) return std::unexpected(ENOENT);
  if (text.size() >= sizeof(address.sun_path)) return std::unexpected(ENAMETOOLONG);
  std::memcpy(address.sun_path, text.data(), text.size());
  return address;
}

std::expected<UniqueFd, int> connect_unix(const std::filesystem::path& path, int type) {
  const auto address = unix_address(path);
  if (!address) return std::unexpected(address.error());
  UniqueFd fd(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  if (!fd) return std::unexpected(errno);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0) {
    return std::unexpected(errno);
  }
  return fd;
}

std::string utc_text(uint64_t unix_seconds) {
  const auto seconds = static_cast<time_t>(unix_seconds);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 32> text{};
  const size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return {text.data(), size};
}

uint64_t unix_now_ns() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::nanoseconds(now).count());
}

}  // namespace sallyport
