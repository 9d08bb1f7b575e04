#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "policy/compile/compile.h"
#include "policy/runtime/image.h"

namespace sallyport {

enum class PolicySource : uint8_t {
  files,      ///< The paths given with --policy.
  api,        ///< Sources that came with a push; until the next reload or restart.
  last_good,  ///< The stored image of an earlier run.
};

std::string_view to_string(PolicySource source) noexcept;

/// One policy the agent can put in force.
struct ActivePolicy {
  std::shared_ptr<const std::vector<uint8_t>> image;
  uint64_t revision = 0;
  uint32_t rules = 0;
  uint32_t policies = 0;
  PolicySource source{};
  /// What it was compiled from; null for a stored image.
  std::shared_ptr<const std::vector<SourceFile>> sources;
};

/// Compiles, then loads the image as the data plane will: what it would refuse is found here.
std::expected<ActivePolicy, std::vector<Diagnostic>> build_policy(
    std::span<const SourceFile> sources, PolicySource source);

/// Verifies a stored image whole.
std::expected<ActivePolicy, Refusal> load_stored_policy(std::vector<uint8_t> image);

}  // namespace sallyport
