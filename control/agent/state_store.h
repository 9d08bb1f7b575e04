#pragma once

#include <cstdint>
#include <expected>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "control/common/policy_archive.h"

namespace sallyport {

/// The folder that keeps the last acknowledged policy image and identity feed across restarts of
/// both daemons. The data plane reads the same files when it starts.
class StateStore {
 public:
  /// Creates the folder when only that is missing. @return why it cannot be written to, otherwise.
  static std::expected<StateStore, std::string> open(const std::filesystem::path& folder);

  /// Replaces the image; on any failure the old one is still there whole.
  std::expected<void, std::string> save(std::span<const uint8_t> image) const;

  /// The stored image, unverified, nullopt when there is none.
  std::expected<std::optional<std::vector<uint8_t>>, std::string> load() const;

  /// The same for the identity feed.
  std::expected<void, std::string> save_feed(std::span<const uint8_t> feed) const;
  std::expected<std::optional<std::vector<uint8_t>>, std::string> load_feed() const;

  /// The sources of the last policies that were in force.
  const PolicyArchive& archive() const noexcept { return archive_; }

  const std::filesystem::path& image_path() const noexcept { return image_path_; }
  const std::filesystem::path& feed_path() const noexcept { return feed_path_; }

 private:
  explicit StateStore(const std::filesystem::path& folder)
      : image_path_(folder / "last-good.spimg"),
        feed_path_(folder / "last-good.spids"),
        archive_(folder) {}

  std::filesystem::path image_path_;
  std::filesystem::path feed_path_;
  PolicyArchive archive_;
};

}  // namespace sallyport
