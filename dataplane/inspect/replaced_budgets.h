#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "dataplane/inspect/budget_ledger.h"
#include "dataplane/inspect/segments.h"

namespace sallyport {

/// What the bytes of a TCP client are charged to beside its flow's own count: the counts of
/// requests that were decided before the last one, while a packet waits that holds bytes of theirs.
/// Positions are sequence numbers.
class ReplacedBudgets {
 public:
  /// The counts of one packet, each once.
  struct Due {
    std::array<BudgetHandle, 8> handles{};
    unsigned count = 0;
    bool own = true;        ///< It holds bytes from behind them all: the flow's own count, too.
    bool too_many = false;  ///< It can be charged to nobody.

    std::span<const BudgetHandle> all() const noexcept { return {handles.data(), count}; }
    void take_out(BudgetHandle handle) noexcept;
    void put_in(BudgetHandle handle) noexcept;
  };

  /// Every packet is charged to the flow's own count alone.
  bool empty() const noexcept { return !in_use_; }

  /// From `position` on another count is the flow's own.
  /// @param before  What was that up to there; kNoBudget if nothing was charged.
  void replace(BudgetHandle before, uint32_t position) noexcept;

  /// What a packet with the bytes from `first` up to `end` is charged to.
  Due due(uint32_t first, uint32_t end) const noexcept;

  /// No packet waits that holds bytes from before `position`.
  void forget_before(uint32_t position) noexcept;
  /// None waits at all.
  void forget_all() noexcept {
    if (in_use_) count_ = 0, in_use_ = too_many_ = false;
  }

  ReplacedBudgets() noexcept {}  // parts_ is written before it is read

 private:
  struct Part {
    BudgetHandle handle;
    uint32_t from;
    uint32_t to;
  };

  void join_parts() noexcept;

  // Honest clients wait for answers, so there are two or three. Of more, those of one count become
  // one that goes from the first to the last, and what lies between counts for it, too.
  std::array<Part, 8> parts_;
  uint32_t own_from_ = 0;
  uint8_t count_ = 0;
  bool in_use_ = false;
  bool too_many_ = false;
};

/// What bytes of a body are charged to that were passed over: lost on their way when what stands
/// behind them passed. They may come when another request has been decided.
struct PassedOver {
  BudgetHandle budget = kNoBudget;  ///< kNoBudget: there are none.
  uint32_t end = 0;                 ///< Sequence number behind the last of them.

  bool may_hold(uint32_t sequence) const noexcept {
    return budget != kNoBudget && sequence_distance(sequence, end) > 0;
  }
  /// The server has all that stands before `sequence`.
  void forget_before(uint32_t sequence) noexcept {
    if (!may_hold(sequence)) budget = kNoBudget;
  }
};

}  // namespace sallyport
