#include "control/common/policy_archive.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "control/common/json_text.h"
#include "control/common/system.h"
#include "policy/runtime/image.h"

namespace sallyport {
namespace {

namespace fs = std::filesystem;

constexpr unsigned kFolderMode = 0750;
constexpr unsigned kFileMode = 0640;
constexpr std::string_view kSuffix = ".json";

bool is_revision(std::string_view text) {
  return text.size() == 12 && std::ranges::all_of(text, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

struct Kept {
  fs::path path;
  fs::file_time_type time;
  uint64_t bytes = 0;
};

std::string text_of(uint64_t revision, std::span<const SourceFile> sources) {
  Json list = Json::array();
  for (const SourceFile& one : sources) list.push_back({{"name", one.name}, {"text", one.text}});
  return dump({{"revision", revision_text(revision)}, {"sources", std::move(list)}}) + "\n";
}

}  // namespace

fs::path PolicyArchive::path_of(std::string_view revision) const {
  return folder_ / (std::string(revision) + std::string(kSuffix));
}

std::expected<void, std::string> PolicyArchive::keep(uint64_t revision,
                                                     std::span<const SourceFile> sources) const {
  const std::string text = text_of(revision, sources);
  const fs::path path = path_of(revision_text(revision));
  if (text.size() > kMostBytes) {
    return std::unexpected(path.string() + " would have over " + std::to_string(kMostBytes >> 20) +
                           " MiB");
  }
  // A failure shows when the file is written, and then with its cause.
  if (::mkdir(folder_.c_str(), kFolderMode) == 0) ::chmod(folder_.c_str(), kFolderMode);
  const std::vector<uint8_t> bytes(text.begin(), text.end());
  if (auto written = write_file_atomically(path, bytes, kFileMode); !written) return written;
  forget_oldest(path);
  return {};
}

void PolicyArchive::forget_oldest(const fs::path& latest) const {
  std::vector<Kept> others;
  uint64_t bytes = 0;
  std::error_code error;
  for (fs::directory_iterator at(folder_, error), end; !error && at != end; at.increment(error)) {
    std::error_code ignored;
    const std::string name = at->path().filename();
    // What a writer that crashed left behind.
    if (name.starts_with('.') && name.ends_with(".tmp")) fs::remove(at->path(), ignored);
    const bool ours = at->path().extension() == kSuffix && is_revision(at->path().stem().string());
    if (!ours) continue;
    const uint64_t size = fs::file_size(at->path(), ignored);
    if (at->path() == latest) {
      bytes += size;
    } else {
      others.push_back({at->path(), fs::last_write_time(at->path(), ignored), size});
    }
  }
  std::ranges::sort(others, std::ranges::greater(), &Kept::time);
  size_t count = 1;
  for (const Kept& one : others) {
    const bool fits =
        count < kMostRevisions && one.bytes <= kMostBytes - std::min(bytes, kMostBytes);
    if (!fits) {
      std::error_code ignored;
      fs::remove(one.path, ignored);
      bytes = kMostBytes;  // Nothing that is older stays, either.
      continue;
    }
    bytes += one.bytes;
    ++count;
  }
}

std::expected<std::optional<std::vector<SourceFile>>, std::string> PolicyArchive::load(
    std::string_view revision) const {
  if (!is_revision(revision)) return std::nullopt;
  const fs::path path = path_of(revision);
  const auto bytes = read_file(path, kMostBytes);
  if (!bytes && bytes.error() == ENOENT) return std::nullopt;
  if (!bytes) {
    return std::unexpected(path.string() + " cannot be read: " + errno_text(bytes.error()));
  }
  const Json stored = Json::parse(bytes->begin(), bytes->end(), nullptr, false);
  const auto list = stored.is_object() ? stored.find("sources") : stored.end();
  const bool good =
      stored.is_object() && text_member(stored, "revision") == revision && list != stored.end();
  if (!good || !list->is_array() || list->empty()) {
    return std::unexpected(path.string() + " is damaged: it does not hold the sources of " +
                           std::string(revision));
  }
  std::vector<SourceFile> out;
  for (const Json& one : *list) {
    out.push_back({.name = text_member(one, "name"), .text = text_member(one, "text")});
  }
  return out;
}

}  // namespace sallyport
