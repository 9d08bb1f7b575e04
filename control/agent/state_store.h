#pragma once

#include <cstdint>
#include <expected>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace sallyport {

/// The folder that keeps the last acknowledged policy image across restarts of both daemons. The
/// data plane reads the same file when it starts.
class StateStore {
 public:
  /// Creates the folder when only that is missing. @return why it cannot be written to, otherwise.
  static std::expected<StateStore, std::string> open(const std::filesystem::path& folder);

  /// Replaces the image; on any failure the old one is still there whole.
  std::expected<void, std::string> save(std::span<const uint8_t> image) const;

  /// The stored image, unverified, nullopt when there is none.
  std::expected<std::optional<std::vector<uint8_t>>, std::string> load() const;

  const std::filesystem::path& image_path() const noexcept { return image_path_; }

 private:
  explicit StateStore(std::filesystem::path image_path) : image_path_(std::move(image_path)) {}
  std::filesystem::path image_path_;
};

}  // namespace sallyport
