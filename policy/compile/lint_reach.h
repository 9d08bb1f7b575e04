#pragma once

#include <optional>
#include <string>
#include <vector>

#include "policy/compile/region.h"
#include "policy/compile/region_index.h"

namespace sallyport {

/// What the rules of one policy get to decide, rule by rule. Not for several threads.
class RuleReach {
 public:
  struct Answer {
    enum class Kind : uint8_t {
      decides,  ///< `region` holds flows that it decides.
      never_matches,
      covered,    ///< `by` decide all that it matches.
      undecided,  ///< Too complex.
    };
    Kind kind = Kind::decides;
    std::optional<Region> region;
    std::vector<uint32_t> by;  ///< Rules, in order; none can be left out.
    bool same_effect = false;  ///< All of `by` do what the rule would do.
  };

  /// @param now  Unix seconds: only flows from then on.
  RuleReach(const PolicyModels& models, int64_t now);

  const RegionSpace& space() const noexcept { return space_; }
  Answer reach(uint32_t rule);
  /// A flow of the region that the last reach() gave.
  SampleFlow sample(const Region& region) { return sample_of(engine_.splitter(), region); }
  /// An enforced Deny that denies, with `rule` taken away, something that `rule` decides.
  std::optional<uint32_t> deny_behind(uint32_t rule);

 private:
  /// A rule that decides nothing, what may meet it, and which rules decide instead.
  struct Cover {
    uint32_t rule;
    const Candidates& candidates;
    const std::vector<uint32_t>& deciders;
  };

  RegionEngine::Found find(const Candidates& list, const RegionEngine::Target& target);
  bool covers(const Cover& cover, const std::vector<uint32_t>& by);
  std::vector<uint32_t> fewest(const Cover& cover, std::vector<uint32_t> by);
  Candidates own_clauses(uint32_t rule) const;

  RegionSpace space_;
  RegionIndex index_;
  RegionEngine engine_;
  uint64_t steps_left_;  ///< Of all rules so far: what one leaves, the next may use.
};

}  // namespace sallyport
