#pragma once

#include <cstdint>
#include <string>

#include "control/common/budget_counts.h"
#include "control/common/json_text.h"

namespace sallyport {

/// A table, or "" for no counts.
std::string budget_table(const BudgetStatus& status, uint64_t unix_seconds);

/// A list; null when there is a problem.
Json budget_json(const BudgetStatus& status);

}  // namespace sallyport
