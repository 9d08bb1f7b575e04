#pragma once

#include <functional>
#include <string>

#include "control/agent/agent.h"

namespace sallyport {

/// Carries out one request line of the control API on `agent`. `respond` gets exactly one answer
/// line, during the call or later. Anything that is not a request is answered with an error.
///
///   {"op":"push","sources":[{"name":…,"text":…}]}   {"op":"reload"}   {"op":"status"}
void handle_request(Agent& agent, const std::string& line,
                    const std::function<void(const std::string&)>& respond, Agent::Time now);

}  // namespace sallyport
