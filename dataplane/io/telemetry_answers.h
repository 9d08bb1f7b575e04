#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "dataplane/io/stats_segment.h"

namespace sallyport {

using TelemetryValue =
    std::variant<uint64_t, std::string, std::vector<uint64_t>, std::vector<std::string>>;

/// What a telemetry command is answered: names of letters, digits, '_' and '/', and their values.
/// An error is one entry, "error", that says what is wrong and what there is.
using TelemetryAnswer = std::vector<std::pair<std::string, TelemetryValue>>;

/// DPDK cuts what is larger without a word, so a larger answer is an error of ours.
inline constexpr size_t kTelemetryEntries = 256;
inline constexpr size_t kTelemetryArrayEntries = 512;
inline constexpr size_t kTelemetryTextBytes = 127;
inline constexpr size_t kTelemetryAnswerBytes = size_t{15} * 1024;

// Each takes what stands behind the first comma of a command, "" without one. Any thread.

/// "": the total of each family. "FAMILY": its counters over all cores, by the values of their
/// labels, "rx/inside". "FAMILY,CORE": those of one core.
TelemetryAnswer counters_answer(const StatsSegment& stats, std::string_view parameters);
/// "" or "CORE": every reason.
TelemetryAnswer drops_answer(const StatsSegment& stats, std::string_view parameters);
/// "": arrays, an entry a core.
TelemetryAnswer cores_answer(const StatsSegment& stats, std::string_view parameters);
/// "": the names. "NAME" or "NAME,CORE": since the start; nanoseconds or packets.
TelemetryAnswer histograms_answer(const StatsSegment& stats, std::string_view parameters);

/// The answer, or in its place an error when DPDK would cut it.
TelemetryAnswer within_limits(TelemetryAnswer answer);

}  // namespace sallyport
