#include "control/agent/budget_metrics.h"

#include <algorithm>
#include <limits>
#include <map>
#include <tuple>

namespace sallyport {
namespace {

double ratio_of(const BudgetCount& count) {
  if (count.limit == 0) return 1;
  return static_cast<double>(count.used) / static_cast<double>(count.limit);
}

bool same_file(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino && a.st_size == b.st_size &&
         a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec == b.st_mtim.tv_nsec;
}

}  // namespace

std::vector<BudgetSummary> summarise_budgets(const std::vector<BudgetCount>& counts) {
  std::map<std::tuple<std::string, std::string, BudgetScope>, BudgetSummary> by_rule;
  for (const BudgetCount& count : counts) {
    BudgetSummary& sum = by_rule[{count.policy, count.rule, count.scope}];
    const double ratio = ratio_of(count);
    if (sum.counts == 0 || ratio > sum.used_ratio) {
      sum.policy = count.policy;
      sum.rule = count.rule;
      sum.scope = count.scope;
      sum.used_ratio = ratio;
      sum.left_bytes = count.used < count.limit ? count.limit - count.used : 0;
    }
    ++sum.counts;
    if (count.used >= count.limit) ++sum.spent;
  }
  std::vector<BudgetSummary> out;
  for (auto& [key, sum] : by_rule) out.push_back(std::move(sum));
  if (out.size() > kMostBudgetSummaries) {
    std::stable_sort(out.begin(), out.end(), [](const BudgetSummary& a, const BudgetSummary& b) {
      return a.used_ratio > b.used_ratio;
    });
    out.resize(kMostBudgetSummaries);
  }
  return out;
}

const BudgetFile::Reading& BudgetFile::read(uint64_t unix_seconds) {
  struct stat info{};
  const bool there = ::stat(path_.c_str(), &info) == 0;
  const auto now = static_cast<int64_t>(unix_seconds);
  if (there && fresh_ && same_file(info, seen_) && now < until_) return reading_;
  const BudgetStatus status = read_budget_status(path_, unix_seconds);
  reading_ = {.budgets = summarise_budgets(status.counts), .good = status.problem.empty()};
  fresh_ = there && reading_.good;
  seen_ = info;
  until_ = std::numeric_limits<int64_t>::max();
  for (const BudgetCount& count : status.counts) until_ = std::min(until_, window_end(count));
  return reading_;
}

}  // namespace sallyport
