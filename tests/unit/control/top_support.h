#pragma once

#include "control/top/top_model.h"
#include "tests/unit/control/stats_file.h"
#include "tests/unit/control/support.h"

namespace sallyport::test {

inline constexpr uint64_t kSecond = 1'000'000'000;
/// When samples begin: wall clock, 2026-11-22T23:00:00Z.
inline constexpr uint64_t kStart = 1'795'388'400 * kSecond;

/// A data plane of two cores as its segment shows it, with a few of everything; all counts 0.
StatsFile made_gateway(uint64_t unix_ns = kStart);

/// The value of a counter of the `core`-th core in `file`, to be set.
uint64_t& value_of(StatsFile& file, size_t core, std::string_view family,
                   std::string_view labels = "");

/// Two samples of one segment, `seconds` apart, and what lies between them.
TopModel between(const StatsFile& before, const StatsFile& after, double seconds = 2);

}  // namespace sallyport::test
