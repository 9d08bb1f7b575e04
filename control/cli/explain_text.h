#pragma once

#include <cstdint>
#include <string>

#include "control/common/json_text.h"
#include "policy/compile/explain.h"

namespace sallyport {

/// An explanation for people, several lines.
/// @param now  What the time of a flow is, unless it says another.
/// @param all  Every rule that failed, not only the nearest.
std::string explanation_text(const Explanation& explanation, const FlowDescription& flow,
                             int64_t now, bool all);

/// The same for programs.
Json explanation_json(const Explanation& explanation, const FlowDescription& flow, int64_t now,
                      bool all);

}  // namespace sallyport
