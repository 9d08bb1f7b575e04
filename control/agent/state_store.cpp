#include "control/agent/state_store.h"

#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "control/common/system.h"
#include "policy/runtime/identity_codec.h"
#include "policy/runtime/image.h"

namespace sallyport {
namespace {

constexpr unsigned kFileMode = 0644;  // The data plane may read it as another user.

using Loaded = std::expected<std::optional<std::vector<uint8_t>>, std::string>;

Loaded load_file(const std::filesystem::path& path, size_t max_bytes) {
  auto bytes = read_file(path, max_bytes);
  if (bytes) return std::move(*bytes);
  if (bytes.error() == ENOENT) return std::nullopt;
  return std::unexpected("cannot read " + path.string() + ": " + errno_text(bytes.error()));
}

}  // namespace

std::expected<StateStore, std::string> StateStore::open(const std::filesystem::path& folder) {
  std::error_code ignored;
  std::filesystem::create_directory(folder, ignored);  // The check below reports what is wrong.
  if (!std::filesystem::is_directory(folder, ignored)) {
    return std::unexpected("state folder " + folder.string() +
                           " does not exist; create it, owned by the agent's user, or give "
                           "another with --state-dir");
  }
  if (::access(folder.c_str(), R_OK | W_OK | X_OK) != 0) {
    return std::unexpected("state folder " + folder.string() + ": " + errno_text(errno) +
                           "; it must be owned by the agent's user, uid " +
                           std::to_string(::geteuid()));
  }
  return StateStore(folder);
}

std::expected<void, std::string> StateStore::save(std::span<const uint8_t> image) const {
  return write_file_atomically(image_path_, image, kFileMode);
}

Loaded StateStore::load() const {
  return load_file(image_path_, kMaxImageBytes);
}

std::expected<void, std::string> StateStore::save_feed(std::span<const uint8_t> feed) const {
  return write_file_atomically(feed_path_, feed, kFileMode);
}

Loaded StateStore::load_feed() const {
  return load_file(feed_path_, kMaxFeedBytes);
}

}  // namespace sallyport
