#pragma once

#include <expected>
#include <filesystem>
#include <string>

namespace sallyport {

/// The live screen, until `q` or a signal ends it. The terminal is as before however it ends, but
/// by SIGKILL.
/// @param stats  the stats segment's path.
/// @return nothing when it was quit; what is wrong when there is no terminal for it; the signal's
///         number in the first when one ended it, 0 otherwise.
std::expected<int, std::string> run_top_terminal(const std::filesystem::path& stats,
                                                 double interval_seconds);

}  // namespace sallyport
