#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "dataplane/inspect/budget_ledger.h"

namespace sallyport {

/// Looks after the ledger: keeps its counts in a file across restarts, and its entries few. The
/// control thread's; no worker comes here.
class BudgetKeeper {
 public:
  /// @param path        Of the state file; empty: nothing is kept.
  /// @param all_passed  See BudgetLedger::collect().
  BudgetKeeper(BudgetLedger& ledger, std::string path, std::function<bool()> all_passed)
      : ledger_(ledger), path_(std::move(path)), all_passed_(std::move(all_passed)) {}

  /// Begins where the file left off, before any worker runs. What is wrong with it is logged.
  void load(int64_t now);
  /// To be called often: writes the file when a second has passed and a count has changed.
  void tick(int64_t now);
  /// Writes it now, if a count has changed.
  void save(int64_t now);

  /// Times the file could not be written.
  uint64_t failures() const noexcept { return failures_; }

 private:
  BudgetLedger& ledger_;
  const std::string path_;
  const std::function<bool()> all_passed_;
  std::string written_;  // what the file holds
  int64_t ticked_ = 0;
  uint64_t failures_ = 0;
  bool failing_ = false;
};

}  // namespace sallyport
