#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "policy/compile/model.h"
#include "policy/runtime/facts.h"
#include "policy/runtime/verdict.h"

namespace sallyport {

/// How far something matches. In the order of how much is left to hope for.
enum class MatchState : uint8_t {
  failed,
  waiting,  ///< Hangs on facts that are not known yet.
  matched,
};

/// "failed", "waiting", "matched".
std::string_view to_string(MatchState state) noexcept;

/// One condition of a rule, held against a flow.
struct Predicate {
  std::string what;   ///< As in YAML: "subject.cidrs", "to.domainNames", "tls.alpns", …
  std::string wants;  ///< What the rule asks for: "10.0.0.0/8".
  std::string has;    ///< What the flow has: "192.0.2.7", "none" or "not known yet".
  MatchState state = MatchState::failed;
  uint16_t waits_for = 0;  ///< FactBit set; only while waiting.

  bool operator==(const Predicate&) const = default;
};

/// One way for a rule to match: through its addresses or its names, by one protocol term.
struct MatchWay {
  MatchState state = MatchState::failed;
  bool by_name = false;    ///< So that destinationBinding is about it.
  uint16_t waits_for = 0;  ///< FactBit set; only while waiting.
};

/// A rule held against a flow.
struct RuleMatch {
  MatchState state = MatchState::failed;  ///< Of the best way.
  std::vector<MatchWay> ways;  ///< Addresses before names, then in the order of protocol terms.
  /// Of the best way, in the order tried, up to the first that failed.
  std::vector<Predicate> predicates;

  /// How many hold: the more, the nearer the rule was to matching.
  size_t passed() const noexcept;
  /// The first that failed, or null.
  const Predicate* failed() const noexcept;
};

/// How much RuleMatcher::missing() is: another protocol counts twice, for it stands for all that
/// the rule asks of the bytes, too.
size_t weight_of(const std::vector<Predicate>& missing) noexcept;

/// Holds rules against flows condition by condition, with plain comparisons: slow, and for people
/// to read. decide() alone says what happens to a flow. Keeps the regexes that it has compiled; one
/// thread at a time.
class RuleMatcher {
 public:
  RuleMatcher();
  ~RuleMatcher();
  RuleMatcher(const RuleMatcher&) = delete;
  RuleMatcher& operator=(const RuleMatcher&) = delete;

  /// @param labels  All labels of the source; null while they are unknown.
  /// @throws std::runtime_error  When Hyperscan fails on a regex that the loader has let pass.
  RuleMatch match(const PolicyModel& policy, const RuleModel& rule, const FlowFacts& facts,
                  const Labels* labels);

  /// What keeps the rule from matching: of the way in which the least is missing, all conditions
  /// that failed or wait, not only the first. Empty for a rule that matches. What a protocol term
  /// asks of bytes is left out where the protocol is another.
  std::vector<Predicate> missing(const PolicyModel& policy, const RuleModel& rule,
                                 const FlowFacts& facts, const Labels* labels);

 private:
  class Regexes;
  class Evaluation;
  std::unique_ptr<Regexes> regexes_;
};

}  // namespace sallyport
