#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "policy/runtime/budget_state.h"

namespace sallyport {

/// What budgets have let out, about a second ago.
struct BudgetStatus {
  std::vector<BudgetCount> counts;  ///< Of windows that are not over.
  std::string problem;              ///< Why there are none, or "".
};

/// Reads the data plane's state file. That there is none is no problem: nothing was counted yet.
BudgetStatus read_budget_status(const std::filesystem::path& path, uint64_t unix_seconds);

/// When the count begins anew, in Unix seconds.
int64_t window_end(const BudgetCount& count) noexcept;

}  // namespace sallyport
