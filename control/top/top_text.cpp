#include "control/top/top_text.h"

#include <spdlog/fmt/fmt.h>

#include <array>
#include <cmath>

namespace sallyport {
namespace {

/// Three significant digits in four columns: "1.23", "12.3", " 123". `value` is under 999.5.
std::string three_digits(double value) {
  if (value < 9.995) return fmt::format("{:.2f}", value);
  if (value < 99.95) return fmt::format("{:.1f}", value);
  return fmt::format("{:4.0f}", value);
}

/// The step of `value` whose three digits stay three when they are rounded, of `steps`.
size_t scale(double& value, size_t steps) {
  size_t step = 0;
  while (value >= 999.5 && step + 1 < steps) {
    value /= 1000;
    ++step;
  }
  return step;
}

}  // namespace

std::string rate_text(double value) {
  constexpr std::string_view kPrefixes = " kMGTPE";
  if (!std::isfinite(value) || value < 0) return "   -  ";
  if (value == 0) return "   0  ";
  const size_t step = scale(value, kPrefixes.size());
  return fmt::format("{} {}", three_digits(value), kPrefixes[step]);
}

std::string total_text(uint64_t value, size_t width) {
  std::string text = fmt::format("{:>{}}", value, width);
  if (text.size() <= width) return text;
  text = rate_text(static_cast<double>(value));
  if (width < text.size()) text.erase(text.size() - 2, 1);  // the space before the prefix
  return fmt::format("{:>{}}", text, width);
}

std::string latency_text(double nanoseconds) {
  constexpr std::array<const char*, 4> kUnits{"ns", "us", "ms", "s "};
  if (!std::isfinite(nanoseconds) || nanoseconds < 0) return "   -  ";
  const size_t step = scale(nanoseconds, kUnits.size());
  return three_digits(nanoseconds) + kUnits[step];
}

std::string quantile_text(const TopQuantiles& of, double value, StatsUnit unit) {
  if (of.count == 0) return "   -  ";
  return unit == StatsUnit::nanoseconds ? latency_text(value) : rate_text(value);
}

std::string share_text(const std::optional<double>& ratio) {
  return ratio ? fmt::format("{:5.1f}", *ratio * 100) : "    -";
}

std::string fitted(std::string_view text, size_t width) {
  if (text.size() <= width) return fmt::format("{:<{}}", text, width);
  if (width == 0) return "";
  return std::string(text.substr(0, width - 1)) + "~";
}

}  // namespace sallyport
