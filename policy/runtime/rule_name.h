#pragma once

#include <cstddef>
#include <string_view>

namespace sallyport {

inline constexpr size_t kMaxRuleNameBytes = 63;

/// A DNS label in lower case (RFC 1123): what metadata.name may be.
bool is_policy_name(std::string_view name) noexcept;

/// Letters, digits, '-', '_' and '.', starting with a letter or digit: what egress[].name may be.
/// Such a name stands unquoted in logs, metrics and HTTP replies.
bool is_rule_name(std::string_view name) noexcept;

}  // namespace sallyport
