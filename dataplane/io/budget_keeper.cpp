#include "dataplane/io/budget_keeper.h"

#include <spdlog/spdlog.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "policy/runtime/budget_state.h"

namespace sallyport {
namespace {

namespace fs = std::filesystem;

/// Far over what a full ledger comes to.
constexpr uintmax_t kMostFileBytes = uintmax_t{512} << 20;

}  // namespace

void BudgetKeeper::load(int64_t now) {
  std::error_code error;
  const fs::file_status status = fs::status(path_, error);
  if (path_.empty() || status.type() == fs::file_type::not_found) return;
  std::string text;
  if (fs::is_regular_file(status) && fs::file_size(path_, error) <= kMostFileBytes) {
    std::ifstream in(path_, std::ios::binary);
    text.assign(std::istreambuf_iterator<char>(in), {});
  }
  const auto counts = parse_budget_state(text);
  if (!counts) {
    spdlog::error("budget state {} is refused: {}; every budget starts unspent", path_,
                  counts.error());
    fs::rename(path_, path_ + ".damaged", error);
    return;
  }
  size_t lost = 0;
  for (const BudgetCount& count : *counts) lost += ledger_.restore(count, now) ? 0 : 1;
  if (lost > 0) {
    spdlog::error("budget state {}: no room for {} of {} counts; raise budgets.entries", path_,
                  lost, counts->size());
  }
  spdlog::info("{} budgets go on where {} left them", ledger_.entries(), path_);
}

void BudgetKeeper::tick(int64_t now) {
  if (now == ticked_) return;
  ticked_ = now;
  ledger_.roll(now);
  if (ledger_.crowded()) ledger_.collect(now, all_passed_);
  if (writer_) writer_->put(ledger_.snapshot(now), now);
}

void BudgetKeeper::finish(int64_t now) {
  if (!writer_) return;
  writer_->put(ledger_.snapshot(now), now);
  writer_->finish();
}

}  // namespace sallyport
