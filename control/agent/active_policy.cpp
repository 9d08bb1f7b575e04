#include "control/agent/active_policy.h"

#include <set>
#include <string>
#include <utility>

#include "policy/runtime/table.h"

namespace sallyport {
namespace {

uint32_t count_policies(const PolicyTable& table) {
  std::set<std::string_view> names;
  for (uint32_t i = 0; i < table.rule_count(); ++i) names.insert(table.rule(i).policy);
  return static_cast<uint32_t>(names.size());
}

}  // namespace

std::string_view to_string(PolicySource source) noexcept {
  switch (source) {
    case PolicySource::files:
      return "files";
    case PolicySource::api:
      return "api";
    case PolicySource::last_good:
      return "last-good";
  }
  return "unknown";
}

std::expected<ActivePolicy, std::vector<Diagnostic>> build_policy(
    std::span<const SourceFile> sources, PolicySource source) {
  auto compiled = compile_policy(sources);
  if (!compiled) return std::unexpected(std::move(compiled.error()));
  auto policy = load_stored_policy(std::move(compiled->image));
  if (!policy) {
    const std::string why(explain(policy.error()));
    return std::unexpected(std::vector<Diagnostic>{
        {.file = "(compiled image)", .code = "E999", .message = "cannot be loaded: " + why}});
  }
  policy->policies = compiled->documents;
  policy->source = source;
  policy->sources = std::make_shared<const std::vector<SourceFile>>(sources.begin(), sources.end());
  return std::move(*policy);
}

std::expected<ActivePolicy, Refusal> load_stored_policy(std::vector<uint8_t> image) {
  const auto table = PolicyTable::load(image, 1);
  if (!table) return std::unexpected(table.error());
  return ActivePolicy{.image = std::make_shared<const std::vector<uint8_t>>(std::move(image)),
                      .revision = (*table)->revision(),
                      .rules = (*table)->rule_count(),
                      .policies = count_policies(**table),
                      .source = PolicySource::last_good};
}

}  // namespace sallyport
