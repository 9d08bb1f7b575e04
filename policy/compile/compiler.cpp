#include "policy/compile/compile.h"
#include "policy/compile/dimensions.h"
#include "policy/compile/image_writer.h"
#include "policy/compile/pattern.h"
#include "policy/runtime/image_codec.h"

namespace sallyport {
namespace {

std::unexpected<std::vector<Diagnostic>> refusal(const SourcePlace& place, std::string code,
                                                 std::string message, std::string hint) {
  return std::unexpected(
      std::vector<Diagnostic>{{place.file, place.line, place.column, std::move(code),
                               std::move(message), std::move(hint)}});
}

/// Where an entry of domainRegexes with this expression stands first.
SourcePlace place_of_regex(const PolicyModels& models, const std::string& expression) {
  SourcePlace place;
  const auto look = [&](const Destinations& destinations) {
    for (const DomainRegex& regex : destinations.regexes) {
      if (place.file.empty() && regex_expression(regex.text) == expression) place = regex.place;
    }
  };
  for (const auto& set : models.sets) look(set->destinations);
  for (const PolicyModel& policy : models.policies) {
    for (const RuleModel& rule : policy.rules) look(rule.destinations);
  }
  return place;
}

std::vector<std::string> keys_of(const ValueClauses& values) {
  std::vector<std::string> out;
  out.reserve(values.size());
  for (const auto& [key, clauses] : values) out.push_back(key);
  return out;
}

std::vector<std::string> header_expressions(const PolicyDimensions& dimensions) {
  std::vector<std::string> out;
  for (const std::string& key : header_patterns(dimensions)) {
    out.push_back(header_expression(key.substr(key.find('\0') + 1)));
  }
  return out;
}

std::expected<Databases, std::vector<Diagnostic>> compile_databases(
    const PolicyModels& models, const PolicyDimensions& dimensions) {
  const SourcePlace whole{models.policies.front().place.file, 0, 0};
  const auto literals = keys_of(dimensions.conditions[kNameCondition].values);
  auto names = compile_literals(literals);
  if (!names) {
    return refusal(whole, "E026", "the names do not compile: " + names.error().message, "");
  }
  const auto regexes = keys_of(dimensions.name_regexes);
  auto name_regexes = compile_patterns(regexes, static_cast<unsigned>(literals.size()));
  if (!name_regexes) {
    const auto index = name_regexes.error().index;
    return refusal(index ? place_of_regex(models, regexes[*index]) : whole, "E029",
                   "a regex does not compile: " + name_regexes.error().message,
                   "use a simpler one");
  }
  auto paths = compile_patterns(keys_of(dimensions.conditions[kPathCondition].values), 0);
  if (!paths) {
    return refusal(whole, "E026", "the paths do not compile: " + paths.error().message, "");
  }
  auto headers = compile_patterns(header_expressions(dimensions), 0);
  if (!headers) {
    return refusal(whole, "E026", "the headers do not compile: " + headers.error().message, "");
  }
  return Databases{std::move(*names), std::move(*name_regexes), std::move(*paths),
                   std::move(*headers)};
}

}  // namespace

std::expected<CompiledPolicy, std::vector<Diagnostic>> compile_models(const PolicyModels& models) {
  const SourcePlace whole{models.policies.front().place.file, 0, 0};
  const ClauseList list = expand_clauses(models.policies);
  if (list.rules.size() > kMaxRules || list.clauses.size() > kMaxClauses) {
    return refusal(whole, "E026", "the policy has too many rules", "merge rules");
  }
  PolicyDimensions dimensions = fill_dimensions(list);
  const auto databases = compile_databases(models, dimensions);
  if (!databases) return std::unexpected(databases.error());
  const auto payload = write_payload(models, list, dimensions, *databases);
  if (payload.empty()) {
    return refusal(whole, "E026", "the compiled policy is too large",
                   "use fewer overlapping cidrs and ports");
  }
  const size_t names =
      dimensions.conditions[kNameCondition].values.size() + dimensions.name_regexes.size();
  return CompiledPolicy{.image = seal_image(payload),
                        .revision = payload_revision(payload),
                        .documents = static_cast<uint32_t>(models.policies.size()),
                        .rules = static_cast<uint32_t>(list.rules.size()),
                        .names = static_cast<uint32_t>(names)};
}

std::expected<CompiledPolicy, std::vector<Diagnostic>> compile_policy(
    std::span<const SourceFile> sources) {
  const auto models = load_policies(sources);
  if (!models) return std::unexpected(models.error());
  return compile_models(*models);
}

}  // namespace sallyport
