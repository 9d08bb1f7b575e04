#include <array>
#include <charconv>
#include <chrono>

#include "policy/compile/reading.h"

namespace sallyport {
namespace {

/// Exactly `digits` digits at the front of `text`, which are taken off it.
std::optional<int> take_number(std::string_view& text, size_t digits) {
  if (text.size() < digits) return {};
  int value = 0;
  for (size_t i = 0; i < digits; ++i) {
    if (text[i] < '0' || text[i] > '9') return {};
    value = value * 10 + (text[i] - '0');
  }
  text.remove_prefix(digits);
  return value;
}

bool take_char(std::string_view& text, char c) {
  if (text.empty() || text.front() != c) return false;
  text.remove_prefix(1);
  return true;
}

std::optional<std::chrono::sys_days> take_date(std::string_view& text) {
  const auto year = take_number(text, 4);
  if (!year || !take_char(text, '-')) return {};
  const auto month = take_number(text, 2);
  if (!month || !take_char(text, '-')) return {};
  const auto day = take_number(text, 2);
  if (!day) return {};
  const std::chrono::year_month_day date{std::chrono::year(*year),
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok()) return {};
  return std::chrono::sys_days(date);
}

/// "12:34" as minutes.
std::optional<int> take_minutes(std::string_view& text) {
  const auto hours = take_number(text, 2);
  if (!hours || *hours > 23 || !take_char(text, ':')) return {};
  const auto minutes = take_number(text, 2);
  if (!minutes || *minutes > 59) return {};
  return *hours * 60 + *minutes;
}

struct Unit {
  std::string_view suffix;
  uint64_t factor;
};

}  // namespace

std::optional<int64_t> parse_time(std::string_view text) {
  const auto date = take_date(text);
  if (!date || !take_char(text, 'T')) return {};
  const auto minutes = take_minutes(text);
  if (!minutes || !take_char(text, ':')) return {};
  const auto seconds = take_number(text, 2);
  if (!seconds || *seconds > 59) return {};
  int64_t offset_minutes = 0;
  if (!take_char(text, 'Z')) {
    const bool west = take_char(text, '-');
    if (!west && !take_char(text, '+')) return {};
    const auto offset = take_minutes(text);
    if (!offset) return {};
    offset_minutes = west ? -*offset : *offset;
  }
  if (!text.empty()) return {};
  const int64_t days = date->time_since_epoch().count();
  return days * 86400 + (*minutes - offset_minutes) * 60 + *seconds;
}

std::string time_text(int64_t unix_seconds) {
  const std::chrono::sys_seconds time{std::chrono::seconds(unix_seconds)};
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date{day};
  const std::chrono::hh_mm_ss clock{time - day};
  const auto two = [](auto number) {
    std::string out = std::to_string(number);
    return out.size() < 2 ? "0" + out : out;
  };
  return std::to_string(static_cast<int>(date.year())) + "-" +
         two(static_cast<unsigned>(date.month())) + "-" + two(static_cast<unsigned>(date.day())) +
         "T" + two(clock.hours().count()) + ":" + two(clock.minutes().count()) + ":" +
         two(clock.seconds().count()) + "Z";
}

std::optional<uint64_t> parse_whole_number(std::string_view text, uint64_t limit) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = error == std::errc{} && end == text.data() + text.size();
  if (!whole || value > limit || (text.size() > 1 && text.front() == '0')) return {};
  return value;
}

std::optional<uint64_t> parse_size(std::string_view text) {
  constexpr uint64_t kLimit = uint64_t{1} << 63;
  constexpr std::array<Unit, 9> kUnits{{{"KiB", uint64_t{1} << 10},
                                        {"MiB", uint64_t{1} << 20},
                                        {"GiB", uint64_t{1} << 30},
                                        {"TiB", uint64_t{1} << 40},
                                        {"KB", 1'000},
                                        {"MB", 1'000'000},
                                        {"GB", 1'000'000'000},
                                        {"TB", 1'000'000'000'000},
                                        {"B", 1}}};
  uint64_t factor = 1;
  for (const Unit& unit : kUnits) {
    if (!text.ends_with(unit.suffix)) continue;
    factor = unit.factor;
    text.remove_suffix(unit.suffix.size());
    break;
  }
  const auto number = parse_whole_number(text, kLimit / factor);
  if (!number || *number == 0) return {};
  return *number * factor;
}

std::optional<uint32_t> parse_duration(std::string_view text) {
  constexpr uint64_t kLimitSeconds = uint64_t{366} * 86400;
  constexpr std::array<Unit, 4> kUnits{{{"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}}};
  for (const Unit& unit : kUnits) {
    if (!text.ends_with(unit.suffix)) continue;
    const auto number =
        parse_whole_number(text.substr(0, text.size() - 1), kLimitSeconds / unit.factor);
    if (!number || *number == 0) return {};
    return static_cast<uint32_t>(*number * unit.factor);
  }
  return {};
}

}  // namespace sallyport
