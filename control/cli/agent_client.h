#pragma once

#include <chrono>
#include <expected>
#include <filesystem>
#include <string>

#include "control/common/json_text.h"

namespace sallyport {

/// Asks the agent one thing over its control socket and waits for the answer, at most `timeout`
/// for each read and write.
/// @return its answer, always an object, or why there is none.
std::expected<Json, std::string> ask_agent(const std::filesystem::path& socket, const Json& request,
                                           std::chrono::seconds timeout);

}  // namespace sallyport
