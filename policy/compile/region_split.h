#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "policy/compile/region_space.h"

namespace sallyport {

/// Clauses that can still match, by index, in ascending order: side 0 first, each side in the order
/// it is tried.
using Candidates = std::vector<uint32_t>;

enum class Transport : uint8_t { any, tcp, udp, none };

/// What the axes already split leave possible on later ones.
struct RegionContext {
  enum class NameKind : uint8_t {
    settled,   ///< Nothing more to ask about it.
    exact,     ///< One known name: a regex that is understood has had its say.
    abstract,  ///< Any of the names of `atom`.
  };

  bool v4 = true;  ///< The destination may be IPv4; both ends are of one family.
  bool v6 = true;
  Transport transport = Transport::any;
  bool named = false;  ///< The flow has a name, so it speaks one of AppProtocol.
  /// A Pass in focus holds for every flow here. It is no longer listed, so all parts count.
  bool all_in_focus = false;
  NameKind name_kind = NameKind::settled;
  uint32_t atom = 0;                               ///< Key of Axis::name; 0 unless abstract.
  std::vector<std::pair<uint32_t, bool>> decided;  ///< Predicates of the axis at hand, sorted.

  /// Forgets what no axis from `next` on asks for, so that equal questions look equal.
  void enter(Axis next);
};

/// One axis cut into parts: values that the same conditions hold for.
struct RegionSplit {
  struct Part {
    Intervals label;  ///< On a predicate's axis: key 1 true, 0 false.
    std::vector<uint32_t> conditions;
    RegionContext context;
  };

  Axis axis{};
  uint32_t predicate = 0;  ///< What was asked, on a predicate's axis.
  Intervals domain;        ///< All that is possible, whether in a part or not.
  std::vector<Part> parts;
  Candidates any;  ///< Clauses without a condition here.
  std::map<uint32_t, Candidates> by_condition;

  /// The clauses that go on with the values of `part`.
  Candidates members(const Part& part) const;
};

/// Cuts axes. Parts without a clause in focus are left out: nobody asks about them.
class RegionSplitter {
 public:
  /// `time` is what seconds to think of.
  RegionSplitter(const RegionSpace& space, Interval time);

  void focus(uint32_t clause, bool on) { focus_[clause] = on; }
  bool in_focus(uint32_t clause) const { return focus_[clause]; }
  bool any_in_focus(const Candidates& list) const;

  /// The axis at or after `from` on which a clause has a condition still open; Axis::binding if
  /// there is none.
  Axis next_axis(const Candidates& list, Axis from, const RegionContext& context) const;
  /// Whether `clause` holds for every flow that is left, with `axis` the next to be split.
  bool settled(uint32_t clause, Axis axis, const RegionContext& context) const;
  RegionSplit split(const Candidates& list, Axis axis, const RegionContext& context);
  /// One part whose value no condition of the whole space holds for; none if there is no such
  /// value. Much cheaper than a split.
  std::vector<RegionSplit::Part> outside(Axis axis, const RegionContext& context) const;

  /// A name for the key and answers.
  bool name_of(RegionKey atom, const std::vector<std::pair<uint32_t, bool>>& answers,
               std::string& name);
  Answers answers_of(Axis axis, const std::vector<std::pair<uint32_t, bool>>& decided) const;
  /// Work done so far, in clauses looked at.
  uint64_t steps() const noexcept { return steps_; }
  /// Searches for words end where the steps get there; they are past it then.
  void limit(uint64_t steps) noexcept { limit_ = steps; }
  void charge(uint64_t steps) noexcept { steps_ += steps; }
  Intervals domain(Axis axis, const RegionContext& context) const;
  /// Keys of the names that were split last.
  const Intervals& names() const noexcept { return names_; }

 private:
  struct NameAtoms {
    std::unordered_map<uint32_t, std::vector<uint32_t>> exact;
    std::unordered_map<uint32_t, std::vector<uint32_t>> under;
    std::vector<uint32_t> regexes;
  };
  struct Piece {
    Intervals keys;
    RegionContext context;
  };
  using PartIndex = std::map<std::vector<uint32_t>, size_t>;

  bool open(uint32_t condition, Axis axis, const RegionContext& context) const;
  void fill_buckets(const Candidates& list, RegionSplit& out);
  void split_names(const RegionContext& context, RegionSplit& out);
  void collect_names(const RegionSplit& split);
  std::vector<uint32_t> conditions_of_name(RegionKey atom, uint32_t id) const;
  void add_name(RegionKey atom, std::vector<uint32_t> conditions, const RegionContext& context,
                PartIndex& index, RegionSplit& out);
  void split_intervals(const RegionContext& context, RegionSplit& out);
  std::vector<Piece> pieces(Axis axis, const RegionContext& context) const;
  void sweep(const Piece& piece, const Intervals& wanted, RegionSplit& out);
  void split_predicate(const Candidates& list, const RegionContext& context, RegionSplit& out);
  uint32_t question(const Candidates& list, Axis axis, const RegionContext& context) const;
  uint64_t work_left() const noexcept { return limit_ > steps_ ? limit_ - steps_ : 0; }
  void charge_work(uint64_t before, uint64_t after) { steps_ += before - after + (after == 0); }
  bool possible(Axis axis, const RegionContext& context);
  bool refuted(Axis axis, uint32_t given, uint32_t condition);
  const RegularLanguage& language_of(RegionKey atom);
  const RegularLanguage& others_below(RegionKey atom);
  bool below(uint32_t id, RegionKey atom) const;

  const RegionSpace& space_;
  Interval time_;
  std::vector<bool> focus_;
  std::map<Axis, Intervals> uncovered_;
  uint64_t steps_ = 0;
  uint64_t limit_ = UINT64_MAX;
  // Of the names split last. A search splits them once, first of all.
  NameAtoms atoms_;
  Intervals names_;
  std::set<uint32_t> focus_conditions_;
  bool any_focus_ = false;
  std::map<RegionKey, RegularLanguage> languages_;
  std::map<RegionKey, RegularLanguage> excluded_;
  std::map<std::pair<RegionKey, std::vector<std::pair<uint32_t, bool>>>,
           std::pair<bool, std::string>>
      names_found_;
};

}  // namespace sallyport
