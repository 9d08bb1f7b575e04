#pragma once

#include <cstdint>
#include <vector>

#include "dataplane/inspect/budget_ledger.h"
#include "policy/runtime/table.h"

namespace sallyport {

/// One worker's share of the ledger: what it has taken and not yet sent. Belongs to that worker.
class BudgetMeter {
 public:
  /// @param ledger  Outlives this. nullptr: there is none, so no rule with a budget can be counted.
  explicit BudgetMeter(BudgetLedger* ledger)
      : ledger_(ledger), leases_(ledger != nullptr ? ledger->places() : 0) {}

  /// Finds or begins the count of `rule`, which has a budget, for flows from `source`.
  /// @return kNoBudget: it cannot be counted.
  BudgetHandle open(const PolicyTable& table, const RuleInfo& rule,
                    const IpAddress& source) noexcept;

  /// Whether open() could begin a count.
  bool has_room() const noexcept { return ledger_ != nullptr && ledger_->has_room(); }
  /// Whether a full frame, or the whole budget if that is less, could still be paid for. A stale
  /// handle has all of it.
  bool has_left(BudgetHandle handle, int64_t now) const noexcept;

  enum class Charge : uint8_t {
    paid,
    over,   ///< It is spent, but the rule only wants to know: counted beyond the limit.
    spent,  ///< Nothing was taken.
    stale,  ///< The handle's entry is gone: open() it again. Nothing was taken.
  };
  /// Pays for a frame that is about to be sent.
  Charge charge(BudgetHandle handle, uint32_t bytes, int64_t now) noexcept {
    Lease& lease = leases_[BudgetLedger::place_of(handle)];
    if (lease.handle == handle && now < lease.until && lease.bytes >= bytes) [[likely]] {
      lease.bytes -= bytes;
      return Charge::paid;
    }
    return renew(lease, handle, bytes, now);
  }
  /// A frame that was paid for is not sent after all.
  void refund(BudgetHandle handle, uint32_t bytes) noexcept;

  /// Returns what is not used, of all budgets.
  void give_back() noexcept;

 private:
  struct Lease {
    uint64_t bytes = 0;
    int64_t until = 0;
    BudgetTerms terms;
    BudgetHandle handle = kNoBudget;
    bool audit = false;
  };

  Charge renew(Lease& lease, BudgetHandle handle, uint32_t bytes, int64_t now) noexcept;
  void return_lease(Lease& lease) noexcept;

  BudgetLedger* ledger_;
  std::vector<Lease> leases_;  // by place
};

}  // namespace sallyport
