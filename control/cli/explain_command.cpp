#include <spdlog/fmt/fmt.h>

#include <ctime>

#include "control/cli/commands.h"
#include "control/cli/explain_text.h"
#include "control/cli/loaded_policy.h"

namespace sallyport {
namespace {

std::expected<FlowDescription, PolicyFailure> read_flow_option(const std::string& text,
                                                               int64_t now) {
  auto flow = parse_flow(text, now);
  if (flow) return std::move(*flow);
  PolicyFailure failure{.status = kExitBadInput};
  for (FlowFault& fault : flow.error()) {
    failure.diagnostics.push_back({.file = "--flow",
                                   .code = "E036",
                                   .message = std::move(fault.message),
                                   .hint = std::move(fault.hint)});
  }
  return std::unexpected(std::move(failure));
}

}  // namespace

int run_policy_explain(const CliOptions& options) {
  const int64_t now = std::time(nullptr);
  const auto flow = read_flow_option(options.flow, now);
  if (!flow) return report_failure(flow.error(), options.format);
  const auto sources = read_policy(options);
  if (!sources) return report_failure(sources.error(), options.format);
  const auto policy = load_policy(*sources);
  if (!policy) return report_failure(policy.error(), options.format);
  const auto identities = load_identity_option(options);
  if (!identities) return report_failure(identities.error(), options.format);

  Explainer explainer(policy->models, *policy->table);
  explainer.use_identities(*identities);
  const Explanation explanation = explainer.explain(*flow);
  if (!explanation.disagreement.empty()) {
    print_error("internal error, please report it with the policy and the flow: " +
                explanation.disagreement);
    return kExitBadInput;
  }
  if (options.format == Format::json) {
    fmt::print("{}\n", dump_pretty(explanation_json(explanation, *flow, now, options.all)));
  } else {
    fmt::print("{}", explanation_text(explanation, *flow, now, options.all));
  }
  return explanation.decision.verdict == Verdict::allow ? kExitGood : kExitNo;
}

}  // namespace sallyport
