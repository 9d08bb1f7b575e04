#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <system_error>

#include "policy/compile/compile.h"

namespace sallyport {
namespace {

namespace fs = std::filesystem;

Diagnostic unreadable(const fs::path& path, const std::string& why) {
  return {path.string(), 0, 0, "E025", "cannot be read: " + why, ""};
}

bool is_policy_file(const fs::directory_entry& entry) {
  std::error_code error;
  const auto extension = entry.path().extension();
  return (extension == ".yaml" || extension == ".yml") && !entry.is_directory(error);
}

/// The files that `path` stands for.
std::expected<std::vector<fs::path>, Diagnostic> files_of(const fs::path& path) {
  std::error_code error;
  const auto status = fs::status(path, error);
  if (!fs::exists(status)) {
    return std::unexpected(unreadable(path, error ? error.message() : "no such file"));
  }
  if (!fs::is_directory(status)) return std::vector{path};
  std::vector<fs::path> files;
  for (fs::directory_iterator at(path, error), end; !error && at != end; at.increment(error)) {
    if (is_policy_file(*at)) files.push_back(at->path());
  }
  if (error) return std::unexpected(unreadable(path, error.message()));
  std::ranges::sort(files);
  if (files.empty()) {
    return std::unexpected(unreadable(path, "the folder holds no *.yaml or *.yml"));
  }
  return files;
}

std::expected<SourceFile, Diagnostic> read_file(const fs::path& path) {
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  SourceFile source{path.string(), ""};
  // One byte over the limit is enough for parse_yaml() to refuse it.
  constexpr size_t kChunk = size_t{64} << 10;
  while (in && source.text.size() <= kMaxYamlBytes) {
    const size_t had = source.text.size();
    source.text.resize(had + kChunk);
    in.read(source.text.data() + had, kChunk);
    source.text.resize(had + static_cast<size_t>(in.gcount()));
  }
  if (!in.is_open() || in.bad()) {
    return std::unexpected(unreadable(path, std::generic_category().message(errno)));
  }
  return source;
}

}  // namespace

SourcesRead read_readable_sources(std::span<const std::filesystem::path> paths) {
  SourcesRead out;
  for (const fs::path& path : paths) {
    const auto files = files_of(path);
    if (!files) {
      out.unreadable.push_back(files.error());
      continue;
    }
    for (const fs::path& file : *files) {
      auto source = read_file(file);
      if (source) {
        out.sources.push_back(std::move(*source));
      } else {
        out.unreadable.push_back(std::move(source.error()));
      }
    }
  }
  return out;
}

std::expected<std::vector<SourceFile>, std::vector<Diagnostic>> read_sources(
    std::span<const std::filesystem::path> paths) {
  SourcesRead read = read_readable_sources(paths);
  if (!read.unreadable.empty()) return std::unexpected(std::move(read.unreadable));
  return std::move(read.sources);
}

}  // namespace sallyport
