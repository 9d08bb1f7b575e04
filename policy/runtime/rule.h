#pragma once

#include <cstdint>
#include <string_view>

namespace sallyport {

/// Tiers are tried in this order.
enum class Tier : uint8_t { admin, application, baseline, count_ };

/// What a rule says.
enum class RuleAction : uint8_t {
  allow,
  deny,
  pass,  ///< Leave it to the next tier.
};

/// Whether a rule's denial is acted on.
enum class PolicyMode : uint8_t {
  enforce,
  audit,  ///< The flow passes and its record says would_deny.
};

/// How a denied TCP client is told.
enum class OnDeny : uint8_t {
  reset,
  drop,  ///< In silence.
};

/// Which flows that a rule decides are written to the flow log.
enum class LogLevel : uint8_t {
  none,
  denies,     ///< Denied ones, and those that would be.
  decisions,  ///< Every flow: its verdict and its end.
  all,        ///< Its start and each request, too.
};

/// Whether the destination must be an address that a trusted resolver gave for the flow's name.
enum class DestinationBinding : uint8_t { off, audit, enforce };

/// What one budget counts together.
enum class BudgetScope : uint8_t {
  subject,  ///< All sources with the same labels; a source without labels by itself.
  source,   ///< Each source address by itself.
  rule,     ///< Everything the rule allows.
};

enum class OnExceed : uint8_t { deny, audit };

/// How many bytes may leave in a window.
struct Budget {
  uint64_t bytes_out = 0;  ///< 0: no budget.
  uint32_t window_seconds = 0;
  BudgetScope scope = BudgetScope::subject;
  OnExceed on_exceed = OnExceed::deny;

  bool operator==(const Budget&) const = default;
};

/// notBefore or expiresAt left out.
inline constexpr int64_t kBeginningOfTime = INT64_MIN;
inline constexpr int64_t kEndOfTime = INT64_MAX;

/// What a rule does once it decides a flow, beside its name.
struct RuleTerms {
  RuleAction action = RuleAction::deny;
  Tier tier = Tier::application;
  PolicyMode mode = PolicyMode::enforce;
  OnDeny on_deny = OnDeny::reset;
  LogLevel log = LogLevel::decisions;
  DestinationBinding binding = DestinationBinding::off;
  Budget budget;

  bool operator==(const RuleTerms&) const = default;
};

/// As in YAML: "Admin", "Allow", "enforce", "reset", "decisions", "off", "subject", "deny".
std::string_view to_string(Tier tier) noexcept;
std::string_view to_string(RuleAction action) noexcept;
std::string_view to_string(PolicyMode mode) noexcept;
std::string_view to_string(OnDeny on_deny) noexcept;
std::string_view to_string(LogLevel log) noexcept;
std::string_view to_string(DestinationBinding binding) noexcept;
std::string_view to_string(BudgetScope scope) noexcept;
std::string_view to_string(OnExceed on_exceed) noexcept;

}  // namespace sallyport
