#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "dataplane/inspect/fact_store.h"
#include "dataplane/inspect/flow.h"
#include "dataplane/inspect/http2_connection.h"
#include "dataplane/inspect/http2_streams.h"

namespace sallyport {

/// What each open request of an HTTP/2 connection was decided by, and came to: so that another
/// policy can judge them all, and each pays for its own bytes. Those of the request that the
/// client's bytes belong to now (Http2Streams::current) stand in the Flow itself, as for any other
/// flow; the others wait here. Facts are owned by whoever has their handle.
class Http2Decisions {
 public:
  /// A new request is about to be decided: what the flow has is put away, and the new one's facts
  /// become the flow's. Frees what nothing needs any more.
  ///
  /// A request that says the same as an open one shares its place. When there is none left, two of
  /// the same rule and budget are made one, and nothing of what they said is kept: the next policy
  /// finds no facts.
  ///
  /// @param packed  From pack_facts(); empty: nothing is to be kept.
  /// @return false when there is no room. Long facts are not kept then, which is no failure.
  bool keep(Flow& flow, Http2Streams& streams, std::span<const uint8_t> packed,
            FactStore& facts) noexcept;

  /// The flow has what was decided of `request` from here on, which is live.
  void turn_to(Flow& flow, Http2Streams& streams, uint8_t request) noexcept;

  /// The same for bytes of a lost stream, whichever it is.
  /// @return false when the lost ones pay into several budgets: nobody can say into which.
  bool turn_to_lost(Flow& flow, Http2Streams& streams) noexcept;

  /// When the connection is not followed any more. What the flow has stays with it.
  void release(FactStore& facts) noexcept;

 private:
  struct Decision {
    uint32_t facts = FactStore::kNone;
    BudgetHandle budget = kNoBudget;
    uint32_t rule = kNoRule;
    FlowReason reason = FlowReason::undecided;
    bool would_deny = false;
    OnDeny on_deny = OnDeny::reset;
    LogLevel log = LogLevel::decisions;
  };
  static_assert(sizeof(Decision) == 16);

  void put_away(Flow& flow, const Http2Streams& streams, FactStore& facts) noexcept;
  uint8_t find(const Http2Streams& streams, std::span<const uint8_t> packed,
               const FactStore& facts) const noexcept;
  uint8_t make_room(Http2Streams& streams, FactStore& facts) noexcept;
  static Decision take_from(Flow& flow) noexcept;
  static void give_to(Flow& flow, Decision& decision) noexcept;

  std::array<Decision, Http2Streams::kMostRequests> decisions_{};
};

/// All that is kept of one HTTP/2 connection.
struct Http2Watch {
  Http2Connection connection;
  Http2Decisions decisions;
};

}  // namespace sallyport
