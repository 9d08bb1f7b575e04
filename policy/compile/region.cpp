#include "policy/compile/region.h"

#include <algorithm>

namespace sallyport {
namespace {

/// Conditions of one axis that are asked about one by one nest: this bounds the stack.
constexpr unsigned kMaxDepth = 1500;

/// All of an axis, where that does not depend on what else holds.
bool is_everything(Axis axis, const Intervals& keys) {
  if (axis == Axis::destination || axis == Axis::source) {
    return keys == unite(v4_addresses(), v6_addresses());
  }
  return axis == Axis::l4 && keys == Intervals{{0, kOtherL4Key}};
}

/// Joins regions that differ on `axis` alone. An axis left out stands for every value.
std::vector<Region> join_along(Axis axis, std::vector<Region> regions) {
  std::map<Region, std::optional<Intervals>> by_rest;
  for (Region& region : regions) {
    std::optional<Intervals> keys;
    if (auto node = region.keys.extract(axis)) keys = std::move(node.mapped());
    const auto [it, fresh] = by_rest.try_emplace(std::move(region), keys);
    if (fresh) continue;
    std::optional<Intervals>& joined = it->second;
    if (joined && keys) {
      *joined = unite(*joined, *keys);
    } else {
      joined.reset();
    }
  }
  std::vector<Region> out;
  for (auto& [rest, keys] : by_rest) {
    out.push_back(rest);
    if (keys && !is_everything(axis, *keys)) out.back().keys[axis] = std::move(*keys);
  }
  return out;
}

std::vector<Region> join(std::vector<Region> regions) {
  constexpr Axis kJoined[] = {Axis::name, Axis::destination, Axis::source,
                              Axis::l4,   Axis::app,         Axis::time};
  for (size_t before = regions.size() + 1; regions.size() < before;) {
    before = regions.size();
    for (const Axis axis : kJoined) regions = join_along(axis, std::move(regions));
  }
  return regions;
}

}  // namespace

RuleTerms terms_of(const RegionSpace::Rule& rule) {
  RuleTerms out = rule.model->terms;
  out.tier = rule.policy->tier;
  out.mode = rule.policy->mode;
  return out;
}

RegionEngine::RegionEngine(const RegionSpace& space, Interval time, uint64_t max_steps)
    : space_(space), splitter_(space, time), steps_each_(max_steps), max_steps_(max_steps) {}

size_t RegionEngine::KeyHash::operator()(const std::vector<uint32_t>& key) const noexcept {
  uint64_t out = key.size();
  for (const uint32_t value : key) {
    out = (out ^ value) * 0x9e3779b97f4a7c15;
    out ^= out >> 29;
  }
  return out;
}

bool RegionEngine::spent() {
  if (splitter_.steps() > max_steps_ || depth_ > kMaxDepth) end_ = SearchEnd::too_complex;
  return end_ != SearchEnd::complete;
}

/// Leaves out what no flow here gets to: what is behind a clause that holds for every flow. Behind
/// a Pass that is the rest of its tier, and so it is where a Pass before it may skip it.
Candidates RegionEngine::cut(const Candidates& list, Axis axis, RegionContext& context) {
  struct Side {
    bool done = false;
    Tier over = Tier::count_;      ///< Nothing more of this tier.
    Tier may_pass = Tier::count_;  ///< A Pass of this tier is listed.
    uint32_t by = 0;
  };
  std::array<Side, 2> sides;
  Candidates out;
  out.reserve(list.size());
  for (const uint32_t clause : list) {
    const uint32_t rule = space_.clauses()[clause].rule;
    const auto& info = space_.rules()[rule];
    const bool aimed_at = target_ && target_->rule == rule;
    Side& side = sides[info.side];
    const Tier tier = info.policy->tier;
    if (side.done || side.over == tier) {
      if (aimed_at && !target_->deny_behind) found_.deciders.insert(side.by);
      continue;
    }
    const bool settled = splitter_.settled(clause, axis, context);
    const bool pass = info.model->terms.action == RuleAction::pass && !aimed_at;
    if (!settled || !pass) out.push_back(clause);
    if (!settled && pass) side.may_pass = tier;
    if (!settled || (aimed_at && target_->deny_behind)) continue;
    side.by = rule;
    side.over = tier;
    side.done = !pass && side.may_pass != tier;
    if (pass && splitter_.in_focus(clause)) context.all_in_focus = true;
  }
  return out;
}

/// After cut(): whether each side's decider is the same for every flow here.
bool RegionEngine::resolved(const Candidates& list, Axis axis, const RegionContext& context,
                            Deciders& out) const {
  std::array<bool, 2> seen{};
  for (const uint32_t clause : list) {
    const uint8_t side = space_.rule_of(clause).side;
    if (seen[side]) continue;
    seen[side] = true;
    if (!splitter_.settled(clause, axis, context)) return false;
    (side == 0 ? out.first : out.second) = clause;
  }
  return true;
}

/// Whether both sides ask the same from here on and answer the same, so that nothing differs.
bool RegionEngine::same_rest(const Candidates& list, Axis axis, const RegionContext& context) {
  const auto second = std::ranges::partition_point(
      list, [&](uint32_t clause) { return space_.rule_of(clause).side == 0; });
  if (second - list.begin() != list.end() - second) return false;
  for (auto a = list.begin(), b = second; a != second; ++a, ++b) {
    const auto& x = space_.clauses()[*a];
    const auto& y = space_.clauses()[*b];
    const auto from = static_cast<std::ptrdiff_t>(axis);
    if (!std::equal(x.conditions.begin() + from, x.conditions.end(), y.conditions.begin() + from)) {
      return false;
    }
    const RuleTerms terms = terms_of(space_.rules()[x.rule]);
    if (!(terms == terms_of(space_.rules()[y.rule]))) return false;
    if (terms.binding != DestinationBinding::off && x.by_name != y.by_name) return false;
    if (splitter_.settled(*a, axis, context) != splitter_.settled(*b, axis, context)) return false;
  }
  return true;
}

std::vector<uint32_t> RegionEngine::memo_key(const Candidates& list, Axis axis,
                                             const RegionContext& context) {
  std::vector<uint32_t> key;
  key.reserve(list.size() + 4 + 2 * context.decided.size());
  uint32_t flags = static_cast<uint32_t>(axis);
  flags = flags << 2 | static_cast<uint32_t>(context.name_kind);
  flags = flags << 2 | static_cast<uint32_t>(context.transport);
  flags = flags << 4 | (context.all_in_focus ? 8U : 0U) | (context.v4 ? 4U : 0U) |
          (context.v6 ? 2U : 0U) | (context.named ? 1U : 0U);
  key.insert(key.end(), {flags, context.atom, static_cast<uint32_t>(context.decided.size())});
  for (const auto& [predicate, yes] : context.decided) {
    key.insert(key.end(), {predicate, yes ? 1U : 0U});
  }
  key.insert(key.end(), list.begin(), list.end());
  return key;
}

std::vector<Region> RegionEngine::compare(const Candidates& list, const Compare& compare,
                                          size_t max_regions) {
  compare_ = &compare;
  max_regions_ = max_regions;
  splitter_.limit(max_steps_);
  root_ = build(list, Axis::name, {});
  compare_ = nullptr;
  return list_regions(root_);
}

uint32_t RegionEngine::build(Candidates list, Axis from, RegionContext context) {
  splitter_.charge(list.size() + kStepsEach);
  if (spent()) return 0;
  const Deeper deeper(depth_);
  list = cut(list, from, context);
  if (!context.all_in_focus && !splitter_.any_in_focus(list)) return 0;
  Deciders deciders;
  if (resolved(list, from, context, deciders)) return leaf(deciders);
  if (same_rest(list, from, context)) return 0;
  const Axis axis = splitter_.next_axis(list, from, context);
  if (axis != from || is_interval(axis)) context.enter(axis);
  std::vector<uint32_t> key = memo_key(list, axis, context);
  if (const auto known = memo_.find(key); known != memo_.end()) return known->second;
  const uint32_t node = build_split(list, axis, context);
  if (end_ == SearchEnd::complete) memo_.emplace(std::move(key), node);
  return node;
}

uint32_t RegionEngine::build_split(const Candidates& list, Axis axis,
                                   const RegionContext& context) {
  RegionSplit split = splitter_.split(list, axis, context);
  const bool predicate = axis != Axis::name && !is_interval(axis);
  const Axis next = predicate ? axis : axis_at(static_cast<unsigned>(axis) + 1);
  Node node{.axis = axis, .value = split.predicate, .edges = {}, .domain = split.domain};
  for (const RegionSplit::Part& part : split.parts) {
    const uint32_t child = build(split.members(part), next, part.context);
    if (child != 0) node.edges.push_back({part.label, child});
  }
  return make(std::move(node));
}

uint32_t RegionEngine::leaf(Deciders deciders) {
  const auto asks = [&](const std::optional<uint32_t>& clause) {
    if (!clause || !space_.clauses()[*clause].by_name) return false;
    const RuleTerms& terms = space_.rule_of(*clause).model->terms;
    return terms.action == RuleAction::allow && terms.binding != DestinationBinding::off;
  };
  const auto outcome = [&](bool bound) {
    deciders.bound = bound;
    const uint32_t value = (*compare_)(deciders);
    return value == 0 ? 0 : intern({Axis::count_, value, {}, {}});
  };
  if (!asks(deciders.first) && !asks(deciders.second)) return outcome(true);
  Node node{.axis = Axis::binding, .value = 0, .edges = {}, .domain = {{0, 1}}};
  node.edges = {{{{0, 0}}, outcome(false)}, {{{1, 1}}, outcome(true)}};
  return make(std::move(node));
}

/// The node with its edges joined, or what is below it when the axis makes no difference.
uint32_t RegionEngine::make(Node node) {
  std::map<uint32_t, Intervals> by_child;
  for (Edge& edge : node.edges) {
    if (edge.child == 0) continue;
    Intervals& label = by_child[edge.child];
    label.insert(label.end(), edge.label.begin(), edge.label.end());
  }
  if (by_child.empty()) return 0;
  node.edges.clear();
  for (auto& [child, label] : by_child) {
    node.edges.push_back({normalised(std::move(label)), child});
  }
  if (node.edges.size() == 1 && node.edges[0].label == node.domain) return node.edges[0].child;
  return intern(std::move(node));
}

uint32_t RegionEngine::intern(Node node) {
  const auto next = static_cast<uint32_t>(nodes_.size());
  const auto [it, fresh] = known_nodes_.try_emplace(node, next);
  if (fresh) nodes_.push_back(std::move(node));
  return it->second;
}

std::vector<Region> RegionEngine::relabelled(const std::function<uint32_t(uint32_t)>& outcome) {
  std::unordered_map<uint32_t, uint32_t> done;
  return list_regions(relabel(root_, outcome, done));
}

uint32_t RegionEngine::relabel(uint32_t index, const std::function<uint32_t(uint32_t)>& outcome,
                               std::unordered_map<uint32_t, uint32_t>& done) {
  if (index == 0) return 0;
  if (const auto known = done.find(index); known != done.end()) return known->second;
  Node node = nodes_[index];
  uint32_t out = 0;
  if (node.axis == Axis::count_) {
    node.value = outcome(node.value);
    out = node.value == 0 ? 0 : intern(std::move(node));
  } else {
    for (Edge& edge : node.edges) edge.child = relabel(edge.child, outcome, done);
    out = make(std::move(node));
  }
  done.emplace(index, out);
  return out;
}

uint64_t RegionEngine::count(uint32_t index, std::unordered_map<uint32_t, uint64_t>& known) const {
  const Node& node = nodes_[index];
  if (node.axis == Axis::count_) return index == 0 ? 0 : 1;
  if (const auto it = known.find(index); it != known.end()) return it->second;
  uint64_t out = 0;
  for (const Edge& edge : node.edges) out += count(edge.child, known);
  known.emplace(index, out);
  return out;
}

std::vector<Region> RegionEngine::list_regions(uint32_t root) {
  std::vector<Region> out;
  Region path;
  walk(root, path, out);
  std::unordered_map<uint32_t, uint64_t> known;
  left_out_ = count(root, known) - out.size();
  return join(std::move(out));
}

/// A source with one value of a label need not be said to have no other.
void RegionEngine::drop_implied(std::vector<Region::Answer>& answers) const {
  std::ranges::sort(answers);
  const auto excluded_by = [&](const Region::Answer& no, const Region::Answer& yes) {
    return yes.yes && yes.axis == Axis::labels &&
           exclude(space_.predicate(Axis::labels, no.predicate).predicate.labels,
                   space_.predicate(Axis::labels, yes.predicate).predicate.labels);
  };
  const std::vector<Region::Answer> all = answers;
  std::erase_if(answers, [&](const Region::Answer& one) {
    return !one.yes && one.axis == Axis::labels &&
           std::ranges::any_of(all, [&](const auto& other) { return excluded_by(one, other); });
  });
}

void RegionEngine::walk(uint32_t index, Region& path, std::vector<Region>& out) {
  const Node& node = nodes_[index];
  if (index == 0 || out.size() >= max_regions_) return;
  if (node.axis == Axis::count_) {
    out.push_back(path);
    out.back().outcome = node.value;
    drop_implied(out.back().answers);
    return;
  }
  for (const Edge& edge : node.edges) {
    const bool yes = edge.label[0].last == 1;
    if (node.axis == Axis::name || is_interval(node.axis)) {
      path.keys[node.axis] = edge.label;
      walk(edge.child, path, out);
      path.keys.erase(node.axis);
    } else if (node.axis == Axis::binding) {
      path.bound = yes;
      walk(edge.child, path, out);
      path.bound.reset();
    } else if (edge.label.size() == 1 && edge.label[0].first != edge.label[0].last) {
      walk(edge.child, path, out);  // Either answer, next to what cannot be.
    } else {
      path.answers.push_back({node.axis, node.value, yes});
      walk(edge.child, path, out);
      path.answers.pop_back();
    }
  }
}

}  // namespace sallyport
