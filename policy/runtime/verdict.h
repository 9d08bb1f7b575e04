#pragma once

#include <cstdint>
#include <string_view>

namespace sallyport {

enum class Verdict : uint8_t {
  pending,  ///< A rule that could still match needs a fact that is not known yet.
  allow,
  deny,
};

/// Why a verdict was given.
enum class Reason : uint8_t {
  rule,          ///< The rule named in the decision matched.
  default_deny,  ///< No rule matches, or every rule that still could would deny. Also while
                 ///< pending: what holds if the missing facts never come.
  no_policy,     ///< No table was ever loaded.
  scan_error,    ///< Hyperscan reported an error: fails closed.
};

inline constexpr uint32_t kNoRule = UINT32_MAX;

/// Bits for the facts that a pending decision waits for.
enum FactBit : uint8_t { kFactApp = 1, kFactName = 2 };

struct Decision {
  Verdict verdict = Verdict::deny;
  Reason reason = Reason::no_policy;
  uint8_t waits_for = 0;    ///< FactBit set; only for pending.
  uint32_t rule = kNoRule;  ///< Index into PolicyTable::rule(); kNoRule unless reason is rule.

  bool operator==(const Decision&) const = default;
};

std::string_view to_string(Verdict verdict) noexcept;
std::string_view to_string(Reason reason) noexcept;

}  // namespace sallyport
