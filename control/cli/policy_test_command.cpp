#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <ctime>

#include "control/cli/commands.h"
#include "control/cli/dataplane_program.h"
#include "control/cli/junit.h"
#include "control/cli/loaded_policy.h"
#include "control/cli/text_table.h"
#include "control/common/json_text.h"
#include "control/common/system.h"
#include "policy/compile/policy_test.h"

namespace sallyport {
namespace {

/// The files on the command line, sorted by what they are for.
struct TestInput {
  std::vector<SourceFile> policy;
  std::vector<SourceFile> tests;
};

std::expected<TestInput, PolicyFailure> read_input(const CliOptions& options) {
  auto sources = read_policy(options);
  if (!sources) return std::unexpected(std::move(sources.error()));
  TestInput out;
  for (SourceFile& one : *sources) {
    (is_policy_test(one) ? out.tests : out.policy).push_back(std::move(one));
  }
  if (!out.tests.empty()) return out;
  return std::unexpected(
      PolicyFailure{.status = kExitBadInput,
                    .diagnostics = {{.file = options.policy.front().string(),
                                     .code = "E024",
                                     .message = "there is no PolicyTest in the given files",
                                     .hint = "name the policy and its tests"}}});
}

void print_result(const PolicyTestResult& result) {
  const std::string name = result.suite->name + ": " + result.test->name;
  if (result.passed) {
    fmt::print("{}    {}\n", coloured("ok", "32"), name);
    return;
  }
  fmt::print("{}  {} ({})\n", coloured("FAIL", "31"), name, place_text(result.test->place));
  fmt::print("        expected  {}\n", coloured(result.expected, "32"));
  fmt::print("        got       {}\n", coloured(result.got, "31"));
  if (!result.flow.empty()) fmt::print("        flow      {}\n", result.flow);
  const char* label = "why";
  for (const std::string& line : result.why) {
    fmt::print("        {:<8}  {}\n", label, line);
    label = "";
  }
}

Json result_json(const PolicyTestResult& result) {
  Json out{{"suite", result.suite->name},
           {"test", result.test->name},
           {"file", result.test->place.file},
           {"line", result.test->place.line},
           {"ok", result.passed}};
  if (result.passed) return out;
  out["expected"] = result.expected;
  out["got"] = result.got;
  out["flow"] = result.flow;
  out["why"] = result.why;
  return out;
}

void print_results(const std::vector<PolicyTestResult>& results, size_t failed, Format format) {
  if (format == Format::json) {
    Json tests = Json::array();
    for (const PolicyTestResult& one : results) tests.push_back(result_json(one));
    fmt::print("{}\n", dump_pretty({{"ok", failed == 0},
                                    {"passed", results.size() - failed},
                                    {"failed", failed},
                                    {"tests", std::move(tests)}}));
    return;
  }
  for (const PolicyTestResult& one : results) print_result(one);
  fmt::print("{} passed, {} failed\n", results.size() - failed, failed);
}

/// @return what is wrong, or "".
std::string write_junit(const CliOptions& options, const std::vector<PolicyTestResult>& results) {
  if (options.junit.empty()) return "";
  const std::string xml = junit_xml(results);
  const auto written = write_file_atomically(
      options.junit, {reinterpret_cast<const uint8_t*>(xml.data()), xml.size()}, 0644);
  return written ? "" : written.error();
}

}  // namespace

int run_policy_test(const CliOptions& options) {
  const auto input = read_input(options);
  if (!input) return report_failure(input.error(), options.format);
  const auto suites = load_policy_tests(input->tests, std::time(nullptr));
  if (!suites) {
    return report_failure(
        {.status = kExitBadInput, .diagnostics = suites.error(), .sources = input->tests},
        options.format);
  }
  const auto policy = load_policy(input->policy);
  if (!policy) return report_failure(policy.error(), options.format);
  const auto identities = load_identity_option(options);
  if (!identities) return report_failure(identities.error(), options.format);

  Explainer explainer(policy->models, *policy->table);
  const ReplayCapture replay = [&policy](const std::string& path) {
    return replay_capture(policy->image, path);
  };
  std::vector<PolicyTestResult> results;
  for (const PolicyTestSuite& suite : *suites) {
    explainer.use_identities(suite.identities ? suite.identities : *identities);
    for (PolicyTestResult& one : run_policy_tests(suite, explainer, replay)) {
      results.push_back(std::move(one));
    }
  }
  const auto failed =
      static_cast<size_t>(std::ranges::count(results, false, &PolicyTestResult::passed));
  print_results(results, failed, options.format);
  if (const std::string problem = write_junit(options, results); !problem.empty()) {
    print_error(problem);
    return kExitBadInput;
  }
  return failed == 0 ? kExitGood : kExitNo;
}

}  // namespace sallyport
