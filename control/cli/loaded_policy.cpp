#include "control/cli/loaded_policy.h"

#include <array>
#include <stdexcept>
#include <string>

#include "policy/compile/identity_feed.h"

namespace sallyport {
namespace {

std::unexpected<PolicyFailure> bad_input(std::vector<Diagnostic> diagnostics,
                                         std::span<const SourceFile> sources) {
  return std::unexpected(PolicyFailure{.status = kExitBadInput,
                                       .diagnostics = std::move(diagnostics),
                                       .sources = {sources.begin(), sources.end()}});
}

}  // namespace

std::expected<LoadedPolicy, PolicyFailure> load_policy(std::span<const SourceFile> sources) {
  auto models = load_policies(sources);
  if (!models) return bad_input(std::move(models.error()), sources);
  auto compiled = compile_models(*models);
  if (!compiled) return bad_input(std::move(compiled.error()), sources);
  auto table = PolicyTable::load(compiled->image, 1);
  if (!table) {
    throw std::runtime_error("the compiled policy does not load: " +
                             std::string(to_string(table.error())));
  }
  return LoadedPolicy{.models = std::move(*models),
                      .image = std::move(compiled->image),
                      .table = std::move(*table)};
}

std::expected<std::optional<std::vector<Identity>>, PolicyFailure> load_identity_option(
    const CliOptions& options) {
  if (options.identities.empty()) return std::nullopt;
  const auto sources = read_sources(std::array{options.identities});
  if (!sources) return bad_input(sources.error(), {});
  auto identities = load_identities(*sources);
  if (!identities) return bad_input(std::move(identities.error()), *sources);
  return std::move(*identities);
}

}  // namespace sallyport
