#include "control/cli/budget_status.h"

#include <spdlog/fmt/fmt.h>

#include "control/cli/text_table.h"
#include "control/common/system.h"

namespace sallyport {
namespace {

/// As a rule has it: "10.0 MiB", and "100%" only when all is used.
std::string share_text(const BudgetCount& count) {
  if (count.limit == 0) return "-";
  const auto percent = static_cast<uint64_t>(100.0L * static_cast<long double>(count.used) /
                                             static_cast<long double>(count.limit));
  return std::to_string(percent) + "%";
}

}  // namespace

std::string budget_table(const BudgetStatus& status, uint64_t unix_seconds) {
  if (status.counts.empty()) return "";
  std::vector<std::vector<std::string>> rows{
      {"BUDGET", "SCOPE", "OF", "USED", "LIMIT", "SHARE", "ENDS IN"}};
  for (const BudgetCount& count : status.counts) {
    const int64_t left = window_end(count) - static_cast<int64_t>(unix_seconds);
    const bool spent = count.used >= count.limit;
    rows.push_back({count.policy + "/" + count.rule, std::string(to_string(count.scope)),
                    key_text(count), bytes_text(count.used), bytes_text(count.limit),
                    coloured(share_text(count), spent ? "31" : "32"),
                    duration_text(static_cast<uint64_t>(left) * 1'000'000'000)});
  }
  return align(rows, {false, false, false, true, true, true, false});
}

Json budget_json(const BudgetStatus& status) {
  if (!status.problem.empty()) return nullptr;
  Json out = Json::array();
  for (const BudgetCount& count : status.counts) {
    out.push_back({{"policy", count.policy},
                   {"rule", count.rule},
                   {"scope", to_string(count.scope)},
                   {"key", key_text(count)},
                   {"window_seconds", count.window_seconds},
                   {"window_start", utc_text(static_cast<uint64_t>(count.window_start))},
                   {"window_end", utc_text(static_cast<uint64_t>(window_end(count)))},
                   {"used_bytes", count.used},
                   {"limit_bytes", count.limit}});
  }
  return out;
}

}  // namespace sallyport
