#pragma once

#include <cstdint>
#include <string>

namespace sallyport {

/// flow_log of the configuration.
struct LogOptions {
  bool to_file = true;  ///< To paths.flow_log.
  uint32_t rotate_mb = 256;
  uint32_t rotate_minutes = 1440;
  uint32_t keep = 14;
  bool compress = true;
  std::string socket;  ///< Empty: none.

  bool operator==(const LogOptions&) const = default;
};

}  // namespace sallyport
