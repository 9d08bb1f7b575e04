#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "policy/compile/explain.h"
#include "policy/compile/flow_text.h"
#include "policy/compile/model.h"

namespace sallyport {

/// How a test writes that no rule decides.
inline constexpr std::string_view kDefaultDeny = "default_deny";

/// What a test expects. What is not given may be anything.
struct ExpectedOutcome {
  std::optional<Verdict> action;
  std::optional<std::string> rule;  ///< "policy/rule"; "default_deny": no rule.
  std::optional<bool> would_deny;
  std::optional<Reason> reason;
};

/// Which flows of a capture a test is about: those for which everything given holds.
struct CaptureFilter {
  std::optional<std::string> host;  ///< A glob over the name, `*` any run.
  std::optional<IpPrefix> source;
  std::optional<IpPrefix> destination;
  std::optional<uint16_t> port;  ///< Of the destination.
  std::optional<std::string>
      app;  ///< As replay writes it: "tls", "http1", "unknown", …; or "http".
};

struct CaptureUse {
  std::string path;  ///< As the tests' file leads to it.
  CaptureFilter filter;
};

struct PolicyTestCase {
  std::string name;
  SourcePlace place;  ///< Of its name.
  std::variant<FlowDescription, CaptureUse> subject;
  ExpectedOutcome expected;
};

/// One document of kind PolicyTest.
struct PolicyTestSuite {
  std::string name;
  SourcePlace place;                                ///< Of metadata.name.
  int64_t now = 0;                                  ///< Unix seconds.
  std::optional<std::vector<Identity>> identities;  ///< None: whatever the caller has.
  std::vector<PolicyTestCase> tests;
};

/// Whether the file holds tests: one of its documents is of kind PolicyTest. False for what is no
/// YAML, which then is the policy loader's to complain of.
bool is_policy_test(const SourceFile& source);

/// @param now  Unix seconds; the time of suites that name none.
/// @return     a suite a document, or every error of every file, in the order of place.
std::expected<std::vector<PolicyTestSuite>, std::vector<Diagnostic>> load_policy_tests(
    std::span<const SourceFile> sources, int64_t now);

/// What one test came to.
struct PolicyTestResult {
  const PolicyTestSuite* suite = nullptr;
  const PolicyTestCase* test = nullptr;
  bool passed = false;
  // Only of a failed one:
  std::string flow;              ///< As parse_flow() reads it; empty where there was none.
  std::string expected;          ///< "allow by hub/models".
  std::string got;               ///< "deny by default_deny", or why there was no answer.
  std::vector<std::string> why;  ///< Lines for people.
};

/// Runs a capture through the data plane under the policy that is tested.
/// @return the lines that `sallyport replay --out` writes, or why there are none.
using ReplayCapture =
    std::function<std::expected<std::vector<std::string>, std::string>(const std::string& path)>;

/// Runs one suite.
/// @param explainer  Over the policy that is tested. Its identities are for the caller to set.
/// @throws           What Explainer throws.
std::vector<PolicyTestResult> run_policy_tests(const PolicyTestSuite& suite, Explainer& explainer,
                                               const ReplayCapture& replay);

}  // namespace sallyport
