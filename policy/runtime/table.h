#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string_view>

#include "policy/runtime/facts.h"
#include "policy/runtime/identity.h"
#include "policy/runtime/image.h"
#include "policy/runtime/rule.h"
#include "policy/runtime/verdict.h"

namespace sallyport {

/// What a rule is called and does. Borrows from the table.
struct RuleInfo {
  std::string_view policy;  ///< metadata.name of its document.
  std::string_view name;    ///< egress[].name.
  RuleTerms terms;
};

/// One immutable compiled policy. Loaded and freed on a control thread, read by all workers.
class PolicyTable {
 public:
  /// Verifies `image` whole (header, SHA-256, FlatBuffers, every index) and readies scratch space
  /// for `workers` deciding threads. Copies what it needs: `image` may be freed afterwards.
  /// Allocates; never call it from a worker.
  static std::expected<std::unique_ptr<PolicyTable>, Refusal> load(std::span<const uint8_t> image,
                                                                   unsigned workers);
  /// The same policy, with labels of source addresses from `identities` in place of any it had.
  /// Shares all else with this table, scratch space too: a worker may go on with either, but with
  /// only one at a time. An address given twice has the labels of its last mention.
  std::expected<std::unique_ptr<PolicyTable>, Refusal> with_identities(
      std::span<const Identity> identities) const;
  /// As with_identities(). `feed` may be freed afterwards.
  std::expected<std::unique_ptr<PolicyTable>, Refusal> with_feed(const IdentityFeed& feed) const;
  /// The same once more, labels and all, to be put in force anew.
  std::unique_ptr<PolicyTable> again() const;
  ~PolicyTable();
  PolicyTable(const PolicyTable&) = delete;
  PolicyTable& operator=(const PolicyTable&) = delete;

  uint64_t revision() const noexcept;
  uint32_t rule_count() const noexcept;
  /// Which rules are in their time: two times with the same answer have the same rules. Another
  /// answer than before means that a rule's notBefore or expiresAt has passed.
  uint32_t rules_in_time(int64_t unix_seconds) const noexcept;
  /// `index` below rule_count(); anything else gives an empty RuleInfo.
  RuleInfo rule(uint32_t index) const noexcept;
  /// Names of the header fields that any rule asks for, sorted: what FlowFacts.headers must hold.
  std::span<const std::string_view> header_names() const noexcept;
  /// All labels of an inside address as one text (labels_text), the same for the same set of them.
  /// Empty for an address without any, and while no identities are loaded.
  std::string_view labels_of(const IpAddress& source) const noexcept;

  /// Ticks of the time-stamp counter that a worker's decisions have spent in Hyperscan since the
  /// last call. For that worker alone.
  uint64_t take_scan_ticks(unsigned worker) const noexcept;

  struct Impl;
  const Impl& impl() const noexcept { return *impl_; }

 private:
  explicit PolicyTable(std::unique_ptr<Impl> impl) noexcept;
  std::unique_ptr<Impl> impl_;
};

/// The one decision function: data plane, replay, explain and tests all call it.
///
/// Walks the rules in order once; the first that matches decides. `pending` only where a rule that
/// could still match, and would change the outcome, needs an unknown fact.
///
/// @param table   Any loaded table.
/// @param worker  Which scratch space to use, below the `workers` given to load(). Two threads must
///                never use the same one at the same time.
/// @return        Never fails: a Hyperscan error is Verdict::deny with Reason::scan_error.
///
/// Neither allocates, blocks, logs nor throws.
[[nodiscard]] Decision decide(const PolicyTable& table, const FlowFacts& facts,
                              unsigned worker) noexcept;

/// Whether a rule with `destinationBinding` names this host, whatever else it asks for and whenever
/// its time is. False also when Hyperscan fails. As decide(): for the worker's own scratch.
///
/// @param name  Canonical (HostName::assign), not empty.
[[nodiscard]] bool is_bound_name(const PolicyTable& table, std::string_view name,
                                 unsigned worker) noexcept;

}  // namespace sallyport
