#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "policy/runtime/ip_address.h"
#include "policy/runtime/rule.h"

namespace sallyport {

/// What one budget has let out in its window.
struct BudgetCount {
  std::string policy;
  std::string rule;
  BudgetScope scope = BudgetScope::rule;
  IpAddress source;    ///< Scope source, or subject without labels; else all zero.
  std::string labels;  ///< Scope subject: see labels_text().
  uint32_t window_seconds = 0;
  int64_t window_start = 0;  ///< Unix seconds.
  uint64_t used = 0;         ///< Bytes.
  uint64_t limit = 0;

  bool operator==(const BudgetCount&) const = default;
};

/// By policy, rule and what is counted together.
bool before(const BudgetCount& a, const BudgetCount& b) noexcept;

/// What is counted together: an address, labels, or "*" for all that the rule allows.
std::string key_text(const BudgetCount& count);

inline constexpr size_t kMostBudgetLabelsBytes = 255;

/// One text for a set of labels, whatever their order: "job=train,team=x". Bytes that could be
/// mistaken for the commas and equal signs, and those that do not print, are written %2C. What is
/// longer than kMostBudgetLabelsBytes ends in a digest of the whole. Empty for no labels.
std::string labels_text(std::vector<std::pair<std::string, std::string>> labels);

/// The state file: a line each, fields parted by tabs, under a line that names the format and above
/// one with their number and a digest of all before it.
std::string budget_state_text(std::span<const BudgetCount> counts);

/// @return the counts, or what is wrong with the text, in a few words. All or nothing.
std::expected<std::vector<BudgetCount>, std::string> parse_budget_state(std::string_view text);

}  // namespace sallyport
