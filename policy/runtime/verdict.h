#pragma once

#include <cstdint>
#include <string_view>

namespace sallyport {

/// What to do with a flow.
enum class Verdict : uint8_t {
  pending,  ///< A rule that could still match needs a fact that is not known yet.
  allow,
  deny,
};

/// Why a verdict was given.
enum class Reason : uint8_t {
  rule,                 ///< The rule named in the decision matched.
  default_deny,         ///< No rule matches, or every rule that still could would deny. Also while
                        ///< pending: what holds if the missing facts never come.
  no_policy,            ///< No table was ever loaded.
  scan_error,           ///< Hyperscan reported an error: fails closed.
  destination_binding,  ///< The rule named matched, but no trusted resolver gave this address.
  budget_exceeded,      ///< The rule named matched, but its budget is spent.
};

inline constexpr uint32_t kNoRule = UINT32_MAX;

/// Bits for the facts that a pending decision waits for.
enum FactBit : uint16_t {
  kFactApp = 1,
  kFactName = 2,
  kFactAlpns = 4,
  kFactJa4 = 8,
  kFactEch = 16,
  kFactMethod = 32,
  kFactPath = 64,
  kFactHeaders = 128,
  kFactBinding = 256,
  kFactLabels = 512,  ///< The source's, while no identity feed is loaded.
};
inline constexpr unsigned kFactBits = 10;

struct Decision {
  Verdict verdict = Verdict::deny;
  Reason reason = Reason::no_policy;
  bool would_deny = false;  ///< Allowed only because the rule's mode, binding or budget is audit.
  uint16_t waits_for = 0;   ///< FactBit set; only for pending.
  uint32_t rule = kNoRule;  ///< Index into PolicyTable::rule(); kNoRule where no rule decided.

  bool operator==(const Decision&) const = default;
};

std::string_view to_string(Verdict verdict) noexcept;
std::string_view to_string(Reason reason) noexcept;
/// One bit's name as --flow and the documents have it: "app", "name", "alpns", …
std::string_view to_string(FactBit fact) noexcept;

}  // namespace sallyport
