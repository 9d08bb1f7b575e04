#pragma once

#include <optional>
#include <string_view>

namespace sallyport {

/// What a reason of the flow log means.
struct FlowReasonText {
  std::string_view name;     ///< "malformed".
  std::string_view meaning;  ///< A sentence without its full stop.
  /// The policy said it, as decide() does; else a condition did in which it alone cannot.
  bool by_policy = false;
};

/// @return nothing for one that this program does not know.
std::optional<FlowReasonText> flow_reason(std::string_view name) noexcept;

}  // namespace sallyport
