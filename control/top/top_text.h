#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "control/top/top_model.h"

namespace sallyport {

/// Texts of a fixed width, so that no column moves when a number grows. ASCII only.
inline constexpr size_t kFigureWidth = 6;

/// Three digits and a prefix of thousands: "   0  ", "0.50  ", "12.3 k", " 999 M": always six
/// columns, with the prefix in the last. Negative or not finite: "   -  ".
std::string rate_text(double value);

/// A count in `width` columns, at least five, right-aligned: exact while it fits, else as
/// rate_text().
std::string total_text(uint64_t value, size_t width);

/// Nanoseconds in six columns: " 999ns", "12.3us", "1.23ms", "12.3s ".
std::string latency_text(double nanoseconds);

/// One quantile in six columns, in its unit; "   -  " when nothing was recorded.
std::string quantile_text(const TopQuantiles& of, double value, StatsUnit unit);

/// A share of 1 as per cent in five columns, "100.0"; "    -" without one.
std::string share_text(const std::optional<double>& ratio);

/// Exactly `width` columns: cut with "~" at the end, or filled with spaces.
std::string fitted(std::string_view text, size_t width);

}  // namespace sallyport
