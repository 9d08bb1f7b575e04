#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "policy/compile/flow_text.h"
#include "policy/compile/model.h"

namespace sallyport {

/// What changes for some flows. A flow that passes and says would_deny is allowed.
enum class ChangeKind : uint8_t {
  newly_allowed,
  newly_denied,
  no_longer_logged,  ///< The same verdict, but the new rule's `log` leaves it out.
  other,             ///< The same verdict: would_deny, onDeny, budget or log level differ.
  count_
};

/// "newly allowed", "newly denied", "no longer logged", "other change"
std::string_view to_string(ChangeKind kind) noexcept;

/// Flows whose treatment changes in one way.
struct PolicyChange {
  ChangeKind kind{};
  bool was_allowed = false;
  bool is_allowed = false;
  std::vector<std::string> subjects;  ///< Any of them; as in RegionText.
  std::string destination;
  std::string protocol;
  std::string condition;               ///< May be empty.
  std::string note;                    ///< What else to know: "log decisions -> none".
  std::vector<std::string> old_rules;  ///< "policy/rule" or "default_deny": what decided.
  std::vector<std::string> new_rules;
  FlowDescription example;  ///< One of these flows.
};

struct PolicyDiff {
  /// Grouped by kind; together they are every flow whose treatment changes, if complete.
  std::vector<PolicyChange> changes;
  /// Changes that were found and are not listed: the policies have too little in common.
  uint64_t left_out = 0;
  /// False where the comparison took too many steps: then there may be changes of any kind that
  /// are not listed.
  bool complete = true;

  bool has(ChangeKind kind) const noexcept;
};

struct DiffOptions {
  /// Unix seconds. What happened only before that is no change: rules that expired are gone.
  int64_t now = INT64_MIN;
  /// In clauses looked at; the default takes some ten seconds.
  uint64_t max_steps = 100'000'000;
  /// More than these are counted in left_out.
  size_t max_changes = 2000;
};

/// Compares what two policies do to every flow, with every fact known. Exact, but for regexes that
/// region_language.h does not understand: names under one are told apart from all others, as if
/// any name might match it. Budgets are compared as written: a looser one is newly allowed.
///
/// Control-side only: allocates. Needs no lock.
PolicyDiff diff_policies(const PolicyModels& before, const PolicyModels& after,
                         const DiffOptions& options);

}  // namespace sallyport
