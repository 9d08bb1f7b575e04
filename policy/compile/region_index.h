#pragma once

#include <array>
#include <map>
#include <unordered_map>
#include <utility>
#include <vector>

#include "policy/compile/region_space.h"
#include "policy/compile/region_split.h"

namespace sallyport {

/// Which clauses may have a flow in common with another: a superset, found without looking at each.
class RegionIndex {
 public:
  explicit RegionIndex(const RegionSpace& space);

  /// Clauses below `end` that may meet any clause of `rule`, and those clauses themselves.
  Candidates meeting(uint32_t rule, uint32_t end);

 private:
  using Bits = std::vector<uint64_t>;
  struct Span {
    RegionKey first;
    RegionKey last;
    uint32_t condition;
  };
  /// Intervals sorted by start; `reach` is a segment tree of the greatest end.
  struct Spans {
    std::vector<Span> sorted;
    std::vector<RegionKey> reach;
  };
  struct AxisIndex {
    Bits any;
    std::unordered_map<uint32_t, Candidates> by_condition;
    Spans spans;
    std::unordered_map<uint32_t, Candidates> met;  ///< Cache: what meets a condition.
  };

  void index_clauses();
  void index_spans(Axis axis);
  void index_names();
  void index_labels();
  const Candidates& met_by(Axis axis, uint32_t condition);
  void spans_meeting(const Spans& spans, const Interval& wanted, size_t node, size_t low,
                     size_t high, std::vector<uint32_t>& out) const;
  void names_meeting(uint32_t condition, std::vector<uint32_t>& out) const;
  void exact_meeting(uint32_t name, std::vector<uint32_t>& out) const;
  void drop_other_labels(uint32_t condition, Bits& bits) const;
  Bits meeting_clause(uint32_t clause);

  const RegionSpace& space_;
  size_t words_;
  std::array<AxisIndex, kAxes> axes_;
  std::unordered_map<uint32_t, std::vector<uint32_t>> exact_;  ///< Name to lists with it.
  std::unordered_map<uint32_t, std::vector<uint32_t>> under_;
  std::unordered_map<uint32_t, std::vector<uint32_t>> below_;  ///< Name to names below it.
  std::vector<uint32_t> regexes_;
  std::map<std::string, Bits> by_label_key_;
  std::map<std::pair<std::string, std::string>, Candidates> by_label_;
};

}  // namespace sallyport
