#include "dataplane/inspect/exception.h"

namespace sallyport {

std::optional<Exception> exception_of(FlowReason reason) noexcept {
  if (reason == FlowReason::undecided) return std::nullopt;
  for (const ExceptionInfo& info : kExceptionInfo) {
    if (info.reason == reason) return info.id;
  }
  return std::nullopt;
}

std::string_view to_string(ExceptionAction action) noexcept {
  static constexpr std::array<std::string_view, static_cast<size_t>(ExceptionAction::count_)>
      kNames{"reject", "drop-flow", "drop-packet", "pass-flow"};
  return kNames[static_cast<size_t>(action)];
}

}  // namespace sallyport
