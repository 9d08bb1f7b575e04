#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "dataplane/inspect/budget_ledger.h"
#include "dataplane/io/budget_writer.h"

namespace sallyport {

/// Looks after the ledger: keeps its counts in a file across restarts, and its entries few. The
/// control thread's, which never waits for the disk here but in load() and finish(); no worker
/// comes here.
class BudgetKeeper {
 public:
  /// @param path        Of the state file; empty: nothing is kept.
  /// @param all_passed  See BudgetLedger::collect().
  BudgetKeeper(BudgetLedger& ledger, std::string path, std::function<bool()> all_passed)
      : ledger_(ledger), path_(std::move(path)), all_passed_(std::move(all_passed)) {
    if (!path_.empty()) writer_.emplace(path_);
  }

  /// Begins where the file left off, before any worker runs. What is wrong with it is logged.
  void load(int64_t now);
  /// To be called often: has the file written when a second has passed and a count has changed.
  void tick(int64_t now);
  /// Writes it a last time. Nothing comes after.
  void finish(int64_t now);

  /// Times the file could not be written, and how long it has lacked something.
  uint64_t failures() const noexcept { return writer_ ? writer_->failures() : 0; }
  uint32_t behind_seconds(int64_t now) const { return writer_ ? writer_->behind_seconds(now) : 0; }

 private:
  BudgetLedger& ledger_;
  const std::string path_;
  const std::function<bool()> all_passed_;
  std::optional<BudgetWriter> writer_;  // none: nothing is kept
  int64_t ticked_ = 0;
};

}  // namespace sallyport
