#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace sallyport {

/// What `sallyport flows` was given on its command line, as it was written.
struct FlowOptions {
  std::filesystem::path log = "/var/log/sallyport/flows.ndjson";
  std::filesystem::path state_dir = "/var/lib/sallyport";
  bool follow = false;
  bool denied = false;
  bool explain = false;
  std::optional<std::string> rule;
  std::optional<std::string> host;
  std::optional<std::string> src;
  std::optional<std::string> dst;
  std::vector<std::string> events;
  std::optional<std::string> id;
  std::optional<uint32_t> last;
};

}  // namespace sallyport
