#include "control/agent/active_feed.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <system_error>
#include <utility>

#include "policy/compile/identity_feed.h"
#include "policy/runtime/identity_codec.h"

namespace sallyport {
namespace {

/// What changes with every write and every rename.
std::string look_at(const std::filesystem::path& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) return path.string() + " is missing\n";
  std::string out = path.string();
  for (const auto number :
       {static_cast<uint64_t>(info.st_dev), static_cast<uint64_t>(info.st_ino),
        static_cast<uint64_t>(info.st_size), static_cast<uint64_t>(info.st_mtim.tv_sec),
        static_cast<uint64_t>(info.st_mtim.tv_nsec), static_cast<uint64_t>(info.st_ctim.tv_sec),
        static_cast<uint64_t>(info.st_ctim.tv_nsec)}) {
    out += ' ' + std::to_string(number);
  }
  return out + '\n';
}

}  // namespace

std::expected<ActiveFeed, std::vector<Diagnostic>> read_feed(const std::filesystem::path& path) {
  const auto sources = read_sources(std::array{path});
  if (!sources) return std::unexpected(sources.error());
  const auto identities = load_identities(*sources);
  if (!identities) return std::unexpected(identities.error());
  auto encoded = encode_identities(make_identity_feed(*identities));
  auto feed = encoded ? load_stored_feed(std::move(*encoded))
                      : std::expected<ActiveFeed, Refusal>(std::unexpected(encoded.error()));
  if (!feed) {
    const std::string why(explain(feed.error()));
    return std::unexpected(std::vector<Diagnostic>{
        {.file = path.string(), .code = "E026", .message = "the feed cannot be used: " + why}});
  }
  feed->source = PolicySource::files;
  return std::move(*feed);
}

std::expected<ActiveFeed, Refusal> load_stored_feed(std::vector<uint8_t> bytes) {
  const auto decoded = decode_identities(bytes);
  if (!decoded) return std::unexpected(decoded.error());
  return ActiveFeed{.bytes = std::make_shared<const std::vector<uint8_t>>(std::move(bytes)),
                    .revision = decoded->revision,
                    .addresses = decoded->feed.entries.size(),
                    .source = PolicySource::last_good};
}

void FeedWatch::mark_read() {
  read_ = seen_ = look();
}

bool FeedWatch::changed() {
  std::string now = look();
  const bool settled = now == seen_;
  seen_ = std::move(now);
  return settled && seen_ != read_;
}

std::string FeedWatch::look() const {
  std::error_code error;
  std::vector<std::string> parts{look_at(path_)};
  if (std::filesystem::is_directory(path_, error)) {
    for (std::filesystem::directory_iterator at(path_, error), end; !error && at != end;
         at.increment(error)) {
      parts.push_back(look_at(at->path()));
    }
    std::sort(parts.begin(), parts.end());
  }
  std::string out;
  for (const std::string& part : parts) out += part;
  return out;
}

}  // namespace sallyport
