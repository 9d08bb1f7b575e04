#include "dataplane/inspect/budget_meter.h"

#include <algorithm>

namespace sallyport {
namespace {

/// With less than a full frame left nothing new begins: it would end in the middle of its hello.
constexpr uint64_t kFullFrame = 1514;

}  // namespace

BudgetHandle BudgetMeter::open(const PolicyTable& table, const RuleInfo& rule,
                               const IpAddress& source) noexcept {
  if (ledger_ == nullptr) return kNoBudget;
  const Budget& budget = rule.terms.budget;
  BudgetKey key{.policy = rule.policy,
                .rule = rule.name,
                .window_seconds = budget.window_seconds,
                .scope = budget.scope};
  if (budget.scope == BudgetScope::subject) key.labels = table.labels_of(source);
  if (budget.scope != BudgetScope::rule && key.labels.empty()) key.source = source;
  const BudgetHandle handle = ledger_->open(key, budget.bytes_out);
  if (handle == kNoBudget) return handle;
  Lease& lease = leases_[BudgetLedger::place_of(handle)];
  // A push may have lowered the limit: what was taken under the old one must not be sent.
  if (lease.handle != handle || lease.terms.limit != budget.bytes_out) return_lease(lease);
  lease.handle = handle;
  lease.terms = {.limit = budget.bytes_out, .window_seconds = budget.window_seconds};
  lease.audit = budget.on_exceed == OnExceed::audit || rule.terms.mode == PolicyMode::audit;
  return handle;
}

bool BudgetMeter::has_left(BudgetHandle handle, int64_t now) const noexcept {
  const Lease& lease = leases_[BudgetLedger::place_of(handle)];
  if (lease.handle != handle) return true;
  const uint64_t mine = now < lease.until ? lease.bytes : 0;
  const uint64_t enough = std::min(kFullFrame, lease.terms.limit);
  return mine >= enough || mine + ledger_->left(handle, lease.terms, now) >= enough;
}

BudgetMeter::Charge BudgetMeter::renew(Lease& lease, BudgetHandle handle, uint32_t bytes,
                                       int64_t now) noexcept {
  if (lease.handle != handle) return Charge::stale;
  if (now >= lease.until) lease.bytes = 0;
  // Twice when another window has begun meanwhile: what was left of the old one does not count.
  while (lease.bytes < bytes) {
    const auto taken = ledger_->take(handle, lease.terms, now, bytes - lease.bytes);
    if (taken.stale) return Charge::stale;
    if (taken.bytes == 0) {
      if (!lease.audit) return Charge::spent;
      return ledger_->take_over(handle, lease.terms, now, bytes) ? Charge::over : Charge::stale;
    }
    if (taken.until != lease.until) lease.bytes = 0;
    lease.until = taken.until;
    lease.bytes += taken.bytes;
  }
  lease.bytes -= bytes;
  return Charge::paid;
}

void BudgetMeter::refund(BudgetHandle handle, uint32_t bytes) noexcept {
  Lease& lease = leases_[BudgetLedger::place_of(handle)];
  if (lease.handle == handle) lease.bytes += bytes;
}

void BudgetMeter::return_lease(Lease& lease) noexcept {
  if (lease.handle != kNoBudget && lease.bytes > 0) {
    ledger_->give_back(lease.handle, lease.terms, {.bytes = lease.bytes, .until = lease.until});
  }
  lease.bytes = 0;
}

void BudgetMeter::give_back() noexcept {
  for (Lease& lease : leases_) return_lease(lease);
}

}  // namespace sallyport
