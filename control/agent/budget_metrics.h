#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "control/common/budget_counts.h"

namespace sallyport {

/// What the budgets of one rule have let out. A rule may count each source by itself, which is no
/// label: of those, the one that has used most of its share stands for the rule.
struct BudgetSummary {
  std::string policy;
  std::string rule;
  BudgetScope scope{};
  uint64_t counts = 0;      ///< What is counted apart: sources, sets of labels, or 1.
  uint64_t spent = 0;       ///< Of them, those with nothing left.
  double used_ratio = 0;    ///< Of the one that has least left: 1 when it is spent.
  uint64_t left_bytes = 0;  ///< The same one's.
};

inline constexpr size_t kMostBudgetSummaries = 1'000;

/// By policy, rule and scope; of more than kMostBudgetSummaries, those with least left.
std::vector<BudgetSummary> summarise_budgets(const std::vector<BudgetCount>& counts);

/// Reads the state file only when it has changed or a window in it is over: at the most once a
/// second, however many scrape.
class BudgetFile {
 public:
  struct Reading {
    std::vector<BudgetSummary> budgets;
    bool good = true;  ///< False: the file cannot be read.
  };

  explicit BudgetFile(std::filesystem::path path) : path_(std::move(path)) {}
  const Reading& read(uint64_t unix_seconds);

 private:
  std::filesystem::path path_;
  struct stat seen_{};
  bool fresh_ = false;
  int64_t until_ = 0;  ///< The first end of a window.
  Reading reading_;
};

}  // namespace sallyport
