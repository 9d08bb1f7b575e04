#include <spdlog/fmt/fmt.h>

#include <array>
#include <ctime>
#include <fstream>
#include <iostream>
#include <optional>

#include "control/cli/commands.h"
#include "control/cli/diff_text.h"
#include "control/cli/flow_changes.h"
#include "control/cli/loaded_policy.h"
#include "control/cli/text_table.h"

namespace sallyport {
namespace {

std::expected<LoadedPolicy, PolicyFailure> load_side(const std::filesystem::path& path) {
  CliOptions options;
  options.policy = {path};
  const auto sources = read_policy(options);
  if (!sources) return std::unexpected(sources.error());
  return load_policy(*sources);
}

/// Both with the labels that --identities names, if it does.
std::expected<void, PolicyFailure> use_identities(const CliOptions& options, LoadedPolicy& before,
                                                  LoadedPolicy& after) {
  const auto loaded = load_identity_option(options);
  if (!loaded) return std::unexpected(loaded.error());
  const std::optional<std::vector<Identity>>& identities = *loaded;
  if (!identities) return {};
  for (LoadedPolicy* one : {&before, &after}) {
    auto table = one->table->with_identities(*identities);
    if (!table) throw std::runtime_error("the labels do not fit into the policy");
    one->table = std::move(*table);
  }
  return {};
}

std::expected<FlowChanges, std::string> read_flows(const CliOptions& options,
                                                   const LoadedPolicy& before,
                                                   const LoadedPolicy& after, int64_t now) {
  if (options.records == "-") return compare_flows(std::cin, *before.table, *after.table, now);
  std::ifstream in(options.records);
  if (!in) return std::unexpected(options.records + ": cannot be opened");
  auto out = compare_flows(in, *before.table, *after.table, now);
  if (out) return out;
  return std::unexpected(options.records + ": " + out.error());
}

}  // namespace

int run_policy_diff(const CliOptions& options) {
  const int64_t now = std::time(nullptr);
  auto before = load_side(options.old_policy);
  if (!before) return report_failure(before.error(), options.format);
  auto after = load_side(options.new_policy);
  if (!after) return report_failure(after.error(), options.format);
  const auto labelled = use_identities(options, *before, *after);
  if (!labelled) return report_failure(labelled.error(), options.format);
  std::optional<FlowChanges> flows;
  if (!options.records.empty()) {
    auto changes = read_flows(options, *before, *after, now);
    if (!changes) {
      print_error(changes.error());
      return kExitBadInput;
    }
    flows = std::move(*changes);
    for (const std::string& why : flows->whys) print_error(why);
    if (flows->unreadable != 0) {
      print_error(count_text(flows->unreadable, "line was", "lines were") + " passed over");
    }
  }
  const PolicyDiff diff = diff_policies(before->models, after->models, {.now = now});
  if (options.format == Format::json) {
    Json out = diff_json(diff, now);
    if (flows) out["flows"] = flow_changes_json(*flows, now);
    fmt::print("{}\n", dump_pretty(out));
  } else {
    fmt::print("{}", diff_text(diff));
    if (flows) fmt::print("\n{}", flow_changes_text(*flows, now, options.all));
  }
  // What was not looked at, or is not listed, may be newly allowed as well.
  const bool allowed = diff.has(ChangeKind::newly_allowed) || !diff.complete ||
                       diff.left_out != 0 || (flows && flows->newly_allowed != 0);
  return allowed ? kExitNo : kExitGood;
}

}  // namespace sallyport
