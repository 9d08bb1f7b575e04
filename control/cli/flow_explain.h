#pragma once

#include "control/cli/commands.h"
#include "control/cli/flow_case.h"

namespace sallyport {

/// Prints the facts of a recorded flow, what decided it by the policy of its revision, and what
/// would have allowed it.
/// @return kExitGood, or kExitBadInput when there is no such policy or it cannot be read.
int explain_flow(const CliOptions& options, const FlowCase& which);

}  // namespace sallyport
