#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "policy/yaml/document.h"

namespace sallyport {

/// The sources of the last policies that were in force, by revision: what a flow that is in the log
/// is explained by. Files policies/REVISION.json of the agent's state folder, which the agent alone
/// writes, readable by its group; any process may read while it does.
class PolicyArchive {
 public:
  static constexpr size_t kMostRevisions = 16;
  static constexpr uint64_t kMostBytes = uint64_t{64} << 20;  ///< Of all files together.

  explicit PolicyArchive(const std::filesystem::path& state_folder)
      : folder_(state_folder / "policies") {}

  /// Keeps the sources as the latest, and forgets the oldest beyond the bounds.
  /// @return why they are not kept.
  std::expected<void, std::string> keep(uint64_t revision,
                                        std::span<const SourceFile> sources) const;

  /// @param revision  As revision_text() has it.
  /// @return the sources, nullopt when they are not kept, or why they cannot be read.
  std::expected<std::optional<std::vector<SourceFile>>, std::string> load(
      std::string_view revision) const;

  const std::filesystem::path& folder() const noexcept { return folder_; }

 private:
  std::filesystem::path path_of(std::string_view revision) const;
  void forget_oldest(const std::filesystem::path& latest) const;

  std::filesystem::path folder_;
};

}  // namespace sallyport
