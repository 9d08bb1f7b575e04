#pragma once

#include <cstdint>
#include <expected>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace sallyport {

/// The data plane's program: the one of the same build beside this program, else its bare name for
/// $PATH to find.
std::string find_dataplane();

/// Runs a capture through `sallyport-dataplane replay` under a policy image and waits for its end.
/// @return the flow records, a line each, or why there are none.
std::expected<std::vector<std::string>, std::string> replay_capture(
    std::span<const uint8_t> image, const std::filesystem::path& capture);

}  // namespace sallyport
