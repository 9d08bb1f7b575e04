#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "policy/compile/diff.h"
#include "policy/compile/region.h"

namespace sallyport {

/// Stands for "no rule" where rules are named by number.
inline constexpr uint32_t kDefaultDeny = UINT32_MAX;

/// How flows are treated before and after.
struct ChangeOutcome {
  ChangeKind kind{};
  bool allowed = false;  ///< After.
  std::string note;
  std::set<uint32_t> before;  ///< Rules of RegionSpace, or kDefaultDeny.
  std::set<uint32_t> after;

  auto operator<=>(const ChangeOutcome&) const = default;
};

/// The regions behind a PolicyDiff. Borrows from the models. Not for several threads.
class PolicyComparison {
 public:
  PolicyComparison(const PolicyModels& before, const PolicyModels& after,
                   const DiffOptions& options);

  /// Every change, as regions that have no flow in common. Once only.
  std::vector<Region> run();
  const ChangeOutcome& outcome(const Region& region) const { return outcomes_[region.outcome]; }
  SampleFlow sample(const Region& region) { return sample_of(engine_.splitter(), region); }

  const RegionSpace& space() const noexcept { return space_; }
  /// Keys of Axis::name that the regions speak of.
  const Intervals& names() noexcept { return engine_.splitter().names(); }
  Interval time() const noexcept { return time_; }
  SearchEnd end() const noexcept { return engine_.end(); }
  uint64_t steps() noexcept { return engine_.splitter().steps(); }
  uint64_t left_out() const noexcept { return engine_.left_out(); }

 private:
  uint32_t outcome_of(const RegionEngine::Deciders& deciders);
  uint32_t add(ChangeOutcome outcome);
  std::vector<uint32_t> joined(bool keep_after);

  RegionSpace space_;
  Interval time_;
  size_t max_changes_;
  RegionEngine engine_;
  std::vector<ChangeOutcome> outcomes_{{}};
  std::map<ChangeOutcome, uint32_t> known_;
};

}  // namespace sallyport
