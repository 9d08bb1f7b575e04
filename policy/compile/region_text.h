#pragma once

#include <string>

#include "policy/compile/region.h"

namespace sallyport {

/// A region in a reader's words. None is empty but `condition`.
struct RegionText {
  std::string subject;      ///< "10.1.0.0/16 {job: train}", "any"
  std::string destination;  ///< "*.hf.co, pypi.org", "203.0.113.0/24", "other names", "any"
  std::string protocol;     ///< "tls:443", "tcp:22", "http:80 GET path /models/**", "any"
  std::string condition;    ///< "until 2026-12-02T00:00:00Z", "address not from a resolver"

  bool operator==(const RegionText&) const = default;
};

/// @param names  Keys of Axis::name that the search told apart; what is none of them is "other".
/// @param time   The seconds that were looked at: an end of theirs is no condition.
RegionText describe(const RegionSpace& space, const Region& region, const Intervals& names,
                    Interval time);

/// "2026-12-02T00:00:00Z"
std::string utc_text(int64_t unix_seconds);

}  // namespace sallyport
