#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "control/common/json_text.h"
#include "policy/compile/explain.h"

namespace sallyport {

/// An explanation for people, several lines.
/// @param now  What the time of a flow is, unless it says another.
/// @param all  Every rule that failed, not only the nearest.
std::string explanation_text(const Explanation& explanation, const FlowDescription& flow,
                             int64_t now, bool all);

/// The first part of it: what decides, and by which conditions.
std::string decision_text(const Explanation& explanation, const FlowDescription& flow, int64_t now);

/// A table of rules that came near, each with all that it lacks.
/// @param explanation  Of the same flow.
std::string near_rules_text(const std::vector<NearRule>& rules, const Explanation& explanation);
Json near_rules_json(const std::vector<NearRule>& rules);

/// An explanation for programs.
Json explanation_json(const Explanation& explanation, const FlowDescription& flow, int64_t now,
                      bool all);

}  // namespace sallyport
