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
  /// Events stay in the rings while a sink has no room: for those who would rather have flows
  /// denied (exceptions.log_ring_full) than let one pass without a record.
  bool holds_back = false;

  bool operator==(const LogOptions&) const = default;
};

}  // namespace sallyport
