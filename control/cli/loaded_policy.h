#pragma once

#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "control/cli/policy_input.h"
#include "policy/compile/model.h"
#include "policy/runtime/table.h"

namespace sallyport {

/// A policy as documents, as an image and as a table that can be asked.
struct LoadedPolicy {
  PolicyModels models;
  std::vector<uint8_t> image;
  std::unique_ptr<PolicyTable> table;
};

/// Loads and compiles. Always kExitBadInput on failure: whoever needs a table cannot go on.
/// @throws std::runtime_error  When the image does not load, which no input may lead to.
std::expected<LoadedPolicy, PolicyFailure> load_policy(std::span<const SourceFile> sources);

/// The identity feed that --identities names; none when it names none.
std::expected<std::optional<std::vector<Identity>>, PolicyFailure> load_identity_option(
    const CliOptions& options);

}  // namespace sallyport
