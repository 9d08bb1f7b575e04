#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <vector>

#include "dataplane/inspect/binding_table.h"

namespace sallyport {

/// Which resolvers' answers count for destination bindings, and what they said. One for all
/// workers, which only read it, but for the table. Written at start-up.
struct Bindings {
  /// Throws std::bad_alloc, and std::runtime_error where the system has no random numbers.
  Bindings(std::vector<IpAddress> trusted, uint32_t grace, uint32_t entries);

  std::vector<IpAddress> resolvers;
  uint32_t grace_seconds;  ///< How long an address stands past its TTL.
  BindingTable table;
  std::array<uint64_t, 2> query_key;  ///< Secret: of each worker's AskedQueries.
  /// Addresses in answers over UDP that nobody had asked for. Written by any worker.
  std::atomic<uint64_t> unasked = 0;

  bool trusts(const IpAddress& address) const noexcept {
    return std::ranges::find(resolvers, address) != resolvers.end();
  }
};

}  // namespace sallyport
