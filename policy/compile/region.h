#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>
#include <vector>

#include "policy/compile/region_space.h"
#include "policy/compile/region_split.h"

namespace sallyport {

/// Flows that a policy treats alike, or two policies alike: a product of a set of values an axis.
struct Region {
  struct Answer {
    Axis axis{};
    uint32_t predicate = 0;
    bool yes = false;

    auto operator<=>(const Answer&) const = default;
  };

  std::map<Axis, Intervals> keys;  ///< Axis::name and the interval axes; an axis left out is any.
  std::vector<Answer> answers;     ///< Sorted; a predicate left out may be either.
  std::optional<bool> bound;       ///< Whether a trusted resolver gave the destination.
  uint32_t outcome = 0;            ///< The leaf: what the caller's comparison gave.

  auto operator<=>(const Region&) const = default;
};

/// What became of a search.
enum class SearchEnd : uint8_t {
  complete,
  too_complex,  ///< The step budget ran out: the answer is part of the truth.
};

/// Explores policies exactly, axis by axis, as far as clauses in focus reach. One search per
/// object; owns no policy. Not for several threads.
class RegionEngine {
 public:
  /// The clause that decides on each side; no value where the default denial does. Given an answer
  /// on binding where one of them asks for it.
  struct Deciders {
    std::optional<uint32_t> first;
    std::optional<uint32_t> second;
    bool bound = true;
  };
  /// 0 for nothing to tell, or an outcome. Equal outcomes are merged.
  using Compare = std::function<uint32_t(const Deciders&)>;

  /// @param time       Only flows of these seconds (time_key).
  /// @param max_steps  What one compare() or find() may cost, in clauses looked at.
  RegionEngine(const RegionSpace& space, Interval time, uint64_t max_steps);

  /// Of each find() from now on.
  void limit_steps(uint64_t steps) noexcept { steps_each_ = steps; }
  RegionSplitter& splitter() noexcept { return splitter_; }

  /// Every region in which `compare` gives an outcome and a clause in focus can match, merged.
  std::vector<Region> compare(const Candidates& list, const Compare& compare, size_t max_regions);
  /// What compare() found, with other outcomes: those that become equal are merged further.
  std::vector<Region> relabelled(const std::function<uint32_t(uint32_t)>& relabel);
  /// Regions that the last list left out because they were too many.
  uint64_t left_out() const noexcept { return left_out_; }

  /// How a rule is looked for.
  struct Target {
    uint32_t rule = 0;
    /// Not the rule itself is looked for, but an enforced Deny of another rule right behind it.
    bool deny_behind = false;
  };
  struct Found {
    std::optional<Region> region;  ///< Flows that the target decides.
    std::set<uint32_t> deciders;   ///< Else rules that together decide all that it matches.
    uint32_t behind = 0;           ///< The denying rule, for deny_behind.
  };
  /// Looks for flows that a rule decides, among clauses of one side. A Pass of the target counts
  /// as deciding. Its clauses must be in focus.
  Found find(const Candidates& list, const Target& target);

  SearchEnd end() const noexcept { return end_; }

 private:
  /// What a node costs beside its clauses.
  static constexpr uint64_t kStepsEach = 16;
  struct Deeper {
    explicit Deeper(unsigned& depth) : depth_(depth) { ++depth_; }
    ~Deeper() { --depth_; }
    Deeper(const Deeper&) = delete;
    Deeper& operator=(const Deeper&) = delete;
    unsigned& depth_;
  };
  struct Edge {
    Intervals label;
    uint32_t child = 0;
    auto operator<=>(const Edge&) const = default;
  };
  /// Node 0 is the leaf of no outcome. A leaf has no edges.
  struct Node {
    Axis axis = Axis::count_;
    uint32_t value = 0;  ///< The predicate, or the leaf's outcome.
    std::vector<Edge> edges;
    Intervals domain;  ///< Of the axis here: edges that fill it need no node.
    auto operator<=>(const Node&) const = default;
  };
  struct KeyHash {
    size_t operator()(const std::vector<uint32_t>& key) const noexcept;
  };
  using Memo = std::unordered_map<std::vector<uint32_t>, uint32_t, KeyHash>;

  bool spent();
  Candidates cut(const Candidates& list, Axis axis, RegionContext& context);
  bool resolved(const Candidates& list, Axis axis, const RegionContext& context,
                Deciders& out) const;
  bool same_rest(const Candidates& list, Axis axis, const RegionContext& context);
  static std::vector<uint32_t> memo_key(const Candidates& list, Axis axis,
                                        const RegionContext& context);

  uint32_t build(Candidates list, Axis from, RegionContext context);
  uint32_t build_split(const Candidates& list, Axis axis, const RegionContext& context);
  uint32_t leaf(Deciders deciders);
  uint32_t make(Node node);
  uint32_t intern(Node node);
  uint32_t relabel(uint32_t node, const std::function<uint32_t(uint32_t)>& outcome,
                   std::unordered_map<uint32_t, uint32_t>& done);
  std::vector<Region> list_regions(uint32_t root);
  void walk(uint32_t node, Region& path, std::vector<Region>& out);
  void drop_implied(std::vector<Region::Answer>& answers) const;
  uint64_t count(uint32_t node, std::unordered_map<uint32_t, uint64_t>& known) const;

  bool search(Candidates list, Axis from, RegionContext context);
  bool search_parts(const RegionSplit& split);
  bool hit(const Candidates& list, Axis axis, const RegionContext& context);

  const RegionSpace& space_;
  RegionSplitter splitter_;
  uint64_t steps_each_;
  uint64_t max_steps_;
  SearchEnd end_ = SearchEnd::complete;
  const Compare* compare_ = nullptr;
  std::vector<Node> nodes_{Node{}};
  std::map<Node, uint32_t> known_nodes_;
  Memo memo_;
  uint32_t root_ = 0;
  uint64_t left_out_ = 0;
  size_t max_regions_ = 0;
  unsigned depth_ = 0;
  std::optional<Target> target_;
  Found found_;
  Region path_;
};

/// What a rule does, with what its document says.
RuleTerms terms_of(const RegionSpace::Rule& rule);

/// A flow of the region. Deterministic. For a regex that is not understood, a guess.
SampleFlow sample_of(RegionSplitter& splitter, const Region& region);

}  // namespace sallyport
