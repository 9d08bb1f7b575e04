#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "dataplane/inspect/flow.h"

namespace sallyport {

/// A condition in which the policy alone cannot say what becomes of a flow. What does is settable:
/// `exceptions` of the configuration.
enum class Exception : uint8_t {
  midstream,
  flow_table_full,
  inspection_limit,
  held_memory_full,
  reassembly_limit,
  fact_memory_full,
  inspection_timeout,
  overlap_conflict,
  malformed,
  undecodable_quic,
  facts_not_inspected,
  scan_error,
  budget_ledger_full,
  fragment_limit,
  log_ring_full,
  count_
};

enum class ExceptionAction : uint8_t {
  reject,       ///< The flow is denied, and its ends are told at once.
  drop_flow,    ///< The flow is denied in silence.
  drop_packet,  ///< The packet in hand is dropped; the flow stays as it was.
  pass_flow,    ///< The flow passes unread, unless the policy denies it by what is known.
  count_
};

inline constexpr size_t kExceptions = static_cast<size_t>(Exception::count_);

struct ExceptionInfo {
  Exception id;
  std::string_view name;
  ExceptionAction usual;  ///< The default.
  uint8_t choices;        ///< A bit, 1 << ExceptionAction, for each that can be set.
  FlowReason reason;      ///< Of a flow whose fate it was; undecided: no flow is there.
  std::string_view help;  ///< When it comes.
};

constexpr uint8_t choices_of(std::initializer_list<ExceptionAction> actions) noexcept {
  unsigned bits = 0;
  for (const ExceptionAction action : actions) bits |= 1U << static_cast<unsigned>(action);
  return static_cast<uint8_t>(bits);
}

namespace exception_choices {
using enum ExceptionAction;
inline constexpr uint8_t kFlow = choices_of({reject, drop_flow, pass_flow});
inline constexpr uint8_t kAny = choices_of({reject, drop_flow, drop_packet, pass_flow});
inline constexpr uint8_t kNoPass = choices_of({reject, drop_flow, drop_packet});
inline constexpr uint8_t kPacket = choices_of({reject, drop_packet});
inline constexpr uint8_t kMidstream = choices_of({reject, drop_packet, pass_flow});
}  // namespace exception_choices

/// One line a condition, in enum order: configuration, counters, documents and tests read this.
/// Where no action is left to choose, the reason stands in docs/enforcement.md.
inline constexpr std::array<ExceptionInfo, kExceptions> kExceptionInfo{{
    {Exception::midstream, "midstream", ExceptionAction::reject, exception_choices::kMidstream,
     FlowReason::midstream, "A TCP packet of a flow whose SYN was never seen."},
    {Exception::flow_table_full, "flow_table_full", ExceptionAction::reject,
     exception_choices::kPacket, FlowReason::undecided,
     "A flow's first packet, with no room in the worker's table."},
    {Exception::inspection_limit, "inspection_limit", ExceptionAction::reject,
     exception_choices::kFlow, FlowReason::inspection_limit,
     "The worker reads as many flows, HTTP/2 connections or QUIC hellos as it may."},
    {Exception::held_memory_full, "held_memory_full", ExceptionAction::reject,
     exception_choices::kAny, FlowReason::held_memory_full, "The worker may hold no more packets."},
    {Exception::reassembly_limit, "reassembly_limit", ExceptionAction::reject,
     exception_choices::kFlow, FlowReason::reassembly_limit,
     "More bytes or packets wait for a verdict than one flow may have held."},
    {Exception::fact_memory_full, "fact_memory_full", ExceptionAction::reject,
     exception_choices::kFlow, FlowReason::fact_memory_full,
     "The worker has no room to keep what a flow was decided by."},
    {Exception::inspection_timeout, "inspection_timeout", ExceptionAction::reject,
     exception_choices::kFlow, FlowReason::inspection_timeout,
     "Held bytes waited for a verdict longer than inspection.timeout_seconds."},
    {Exception::overlap_conflict, "overlap_conflict", ExceptionAction::reject,
     exception_choices::kNoPass, FlowReason::overlap_conflict,
     "Two segments disagree about a byte that no verdict covers."},
    {Exception::malformed, "malformed", ExceptionAction::reject, exception_choices::kFlow,
     FlowReason::malformed, "The client's bytes break their protocol."},
    {Exception::undecodable_quic, "undecodable_quic", ExceptionAction::drop_packet,
     exception_choices::kAny, FlowReason::undecodable_quic,
     "A QUIC datagram of a client that nobody without its keys can read."},
    {Exception::facts_not_inspected, "facts_not_inspected", ExceptionAction::reject,
     exception_choices::kFlow, FlowReason::facts_not_inspected,
     "The policy needs a fact that was not or cannot be looked for."},
    {Exception::scan_error, "scan_error", ExceptionAction::reject, exception_choices::kFlow,
     FlowReason::scan_error, "A name, path or header field could not be matched."},
    {Exception::budget_ledger_full, "budget_ledger_full", ExceptionAction::reject,
     exception_choices::kFlow, FlowReason::budget_ledger_full,
     "The rule has a budget, and there is no room to count it."},
    {Exception::fragment_limit, "fragment_limit", ExceptionAction::drop_packet,
     choices_of({ExceptionAction::drop_packet}), FlowReason::undecided,
     "IP fragments that overlap, are too many, too long or too late, or find no room."},
    {Exception::log_ring_full, "log_ring_full", ExceptionAction::pass_flow,
     exception_choices::kFlow, FlowReason::log_ring_full,
     "There was no room for the record of an allowed flow's verdict."},
}};

consteval bool exceptions_in_order() {
  for (size_t i = 0; i < kExceptions; ++i) {
    if (kExceptionInfo[i].id != static_cast<Exception>(i)) return false;
  }
  return true;
}
static_assert(exceptions_in_order(), "kExceptionInfo must follow enum Exception");

constexpr const ExceptionInfo& info_of(Exception condition) noexcept {
  return kExceptionInfo[static_cast<size_t>(condition)];
}

/// What is done in each condition. Plain values; the defaults until they are set.
class ExceptionActions {
 public:
  constexpr ExceptionActions() noexcept {
    for (size_t i = 0; i < kExceptions; ++i) actions_[i] = kExceptionInfo[i].usual;
  }
  constexpr ExceptionAction operator[](Exception condition) const noexcept {
    return actions_[static_cast<size_t>(condition)];
  }
  /// @return false, and nothing is set, where that is no choice of the condition's.
  constexpr bool set(Exception condition, ExceptionAction action) noexcept {
    if ((info_of(condition).choices & choices_of({action})) == 0) return false;
    actions_[static_cast<size_t>(condition)] = action;
    return true;
  }
  bool operator==(const ExceptionActions&) const = default;

 private:
  std::array<ExceptionAction, kExceptions> actions_{};
};

/// The condition that a flow's reason stands for, if it is one.
std::optional<Exception> exception_of(FlowReason reason) noexcept;

/// "reject", "drop-flow", "drop-packet" or "pass-flow".
std::string_view to_string(ExceptionAction action) noexcept;

}  // namespace sallyport
