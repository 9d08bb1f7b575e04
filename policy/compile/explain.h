#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "policy/compile/flow_text.h"
#include "policy/compile/match.h"
#include "policy/compile/model.h"
#include "policy/runtime/identity.h"
#include "policy/runtime/table.h"

namespace sallyport {

/// A rule that was tried, and what came of it. Borrows from the models.
struct TriedRule {
  enum class Role : uint8_t {
    failed,   ///< It cannot match.
    waiting,  ///< It could still match.
    passes,   ///< It matches and leaves the flow to the next tier.
    matches,  ///< It matches, but an earlier one could still.
    decides,
  };

  uint32_t index = 0;  ///< Of PolicyTable::rule().
  const PolicyModel* policy = nullptr;
  const RuleModel* rule = nullptr;
  Role role = Role::failed;
  RuleMatch match;
};

/// "failed", "waiting", "passes", "matches", "decides".
std::string_view to_string(TriedRule::Role role) noexcept;
/// "hub/models".
std::string full_name(const TriedRule& rule);
/// "file:line".
std::string place_text(const SourcePlace& place);
/// A sentence on why it does not decide: "hub/models (hub.yaml:12) does not match: …".
std::string obstacle_text(const TriedRule& rule);
/// A FactBit set in words: "app, name".
std::string facts_text(uint16_t facts);

/// Why decide() says what it says.
struct Explanation {
  Decision decision;
  std::vector<TriedRule> tried;  ///< In the order tried; rules behind the deciding one are not.
  size_t skipped = 0;            ///< Rules of a tier that a Pass rule has left.
  /// How the walk over the rules came to another end than decide(): a fault in sallyport. Empty is
  /// good; anything else makes `tried` worthless.
  std::string disagreement;

  /// The deciding rule, or null.
  const TriedRule* decider() const noexcept;
  /// The `limit` failed rules that were nearest to matching, by how many of their conditions held,
  /// in the order tried.
  std::vector<const TriedRule*> nearest(size_t limit) const;
};

/// An Allow rule that does not decide a flow, and what is missing for it to match. Borrows from the
/// models.
struct NearRule {
  uint32_t index = 0;  ///< Of PolicyTable::rule(): rules are tried in this order.
  const PolicyModel* policy = nullptr;
  const RuleModel* rule = nullptr;
  /// As RuleMatcher::missing(); empty for one that matches and comes too late.
  std::vector<Predicate> missing;
};

/// Asks decide() about flows, and finds out why it answers so. One thread at a time.
class Explainer {
 public:
  /// @param models, table  Of the same sources; both outlive this.
  Explainer(const PolicyModels& models, const PolicyTable& table);

  /// From now on labels of sources come from `identities`; without any list, as at first, they are
  /// unknown. A flow that tells its own labels has those.
  /// @throws std::runtime_error  When they cannot be loaded.
  void use_identities(std::optional<std::vector<Identity>> identities);

  /// @throws std::runtime_error  When Hyperscan or memory fails.
  Decision decide(const FlowDescription& flow);
  Explanation explain(const FlowDescription& flow);
  /// The `limit` Allow rules that lack the least to let the flow pass, the nearest first; of those
  /// that lack as much, the first tried first. The one that decides it is not among them.
  std::vector<NearRule> near_rules(const FlowDescription& flow, size_t limit);

  const PolicyModels& models() const noexcept { return models_; }
  const PolicyTable& table() const noexcept { return table_; }

 private:
  std::optional<Labels> labels_of(const FlowDescription& flow) const;

  const PolicyModels& models_;
  const PolicyTable& table_;
  std::unique_ptr<PolicyTable> with_feed_;
  std::vector<Identity> identities_;  ///< What with_feed_ has.
  RuleMatcher matcher_;
};

}  // namespace sallyport
