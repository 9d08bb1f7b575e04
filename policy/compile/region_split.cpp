#include "policy/compile/region_split.h"

#include <algorithm>

namespace sallyport {
namespace {

constexpr Interval kTcp{0, UINT16_MAX};
constexpr Interval kUdp{kFirstUdp, kFirstUdp + UINT16_MAX};
constexpr Interval kNoPorts{kIcmpKey, kOtherL4Key};

Intervals apps(Transport transport, bool named) {
  Intervals out;
  if (!named) out.push_back({kNoApp, kNoApp});
  const bool tcp = transport == Transport::tcp || transport == Transport::any;
  const bool udp = transport == Transport::udp || transport == Transport::any;
  if (tcp) out.push_back({kTlsApp, kDnsApp});
  if (udp) out.push_back({kDnsApp, kQuicApp});
  return normalised(std::move(out));
}

uint32_t condition_of(const RegionSpace::Clause& clause, Axis axis) {
  return clause.conditions[static_cast<unsigned>(axis)];
}

}  // namespace

void RegionContext::enter(Axis next) {
  decided.clear();
  if (next > Axis::regex) {
    name_kind = NameKind::settled;
    atom = 0;
  }
  if (next > Axis::source) v4 = v6 = true;
  if (next > Axis::app) {
    transport = Transport::any;
    named = false;
  }
}

Candidates RegionSplit::members(const Part& part) const {
  Candidates out = any;
  for (const uint32_t condition : part.conditions) {
    const Candidates& more = by_condition.at(condition);
    out.insert(out.end(), more.begin(), more.end());
  }
  const auto middle = out.begin() + static_cast<std::ptrdiff_t>(any.size());
  std::sort(middle, out.end());
  std::inplace_merge(out.begin(), middle, out.end());
  return out;
}

RegionSplitter::RegionSplitter(const RegionSpace& space, Interval time)
    : space_(space), time_(time), focus_(space.clauses().size(), false) {
  for (const Axis axis : {Axis::destination, Axis::source, Axis::l4, Axis::app}) {
    std::set<uint32_t> conditions;
    for (const auto& clause : space.clauses()) conditions.insert(condition_of(clause, axis));
    Intervals covered;
    for (const uint32_t one : conditions) {
      const Intervals& keys = space.intervals(axis, one);
      covered.insert(covered.end(), keys.begin(), keys.end());
    }
    uncovered_[axis] = subtract(domain(axis, {}), normalised(std::move(covered)));
  }
}

bool RegionSplitter::any_in_focus(const Candidates& list) const {
  return std::ranges::any_of(list, [&](uint32_t clause) { return focus_[clause]; });
}

bool RegionSplitter::open(uint32_t condition, Axis axis, const RegionContext& context) const {
  if (condition == kAnyValue) return false;
  if (axis == Axis::name || is_interval(axis)) return true;
  if (axis == Axis::regex && context.name_kind == RegionContext::NameKind::exact &&
      space_.predicate(axis, condition).language) {
    return false;
  }
  return !std::ranges::binary_search(context.decided, std::pair(condition, true));
}

Axis RegionSplitter::next_axis(const Candidates& list, Axis from,
                               const RegionContext& context) const {
  auto next = static_cast<unsigned>(Axis::binding);
  for (const uint32_t clause : list) {
    const auto& conditions = space_.clauses()[clause].conditions;
    for (auto axis = static_cast<unsigned>(from); axis < next; ++axis) {
      // What was decided counts only on the axis that it was decided on.
      const bool here = axis == static_cast<unsigned>(from);
      if (here ? open(conditions[axis], from, context) : conditions[axis] != kAnyValue) next = axis;
    }
  }
  return axis_at(next);
}

bool RegionSplitter::settled(uint32_t clause, Axis axis, const RegionContext& context) const {
  const auto& one = space_.clauses()[clause];
  const auto at = static_cast<int>(axis);
  if (one.last_axis < at) return true;
  return one.last_axis == at && !open(condition_of(one, axis), axis, context);
}

RegionSplit RegionSplitter::split(const Candidates& list, Axis axis, const RegionContext& context) {
  RegionSplit out;
  out.axis = axis;
  steps_ += list.size();
  fill_buckets(list, out);
  any_focus_ = any_focus_ || context.all_in_focus;
  if (axis == Axis::name) {
    split_names(context, out);
  } else if (is_interval(axis)) {
    split_intervals(context, out);
  } else {
    split_predicate(list, context, out);
  }
  return out;
}

void RegionSplitter::fill_buckets(const Candidates& list, RegionSplit& out) {
  any_focus_ = false;
  focus_conditions_.clear();
  for (const uint32_t clause : list) {
    const uint32_t condition = condition_of(space_.clauses()[clause], out.axis);
    (condition == kAnyValue ? out.any : out.by_condition[condition]).push_back(clause);
    if (!focus_[clause]) continue;
    if (condition == kAnyValue) {
      any_focus_ = true;
    } else {
      focus_conditions_.insert(condition);
    }
  }
}

Intervals RegionSplitter::domain(Axis axis, const RegionContext& context) const {
  Intervals out;
  for (const Piece& piece : pieces(axis, context)) out = unite(out, piece.keys);
  return out;
}

std::vector<RegionSplitter::Piece> RegionSplitter::pieces(Axis axis,
                                                          const RegionContext& context) const {
  std::vector<Piece> out;
  const auto add = [&](Intervals keys) -> RegionContext& {
    out.push_back({std::move(keys), context});
    return out.back().context;
  };
  switch (axis) {
    case Axis::destination:
      add(v4_addresses()).v6 = false;
      add(v6_addresses()).v4 = false;
      break;
    case Axis::source: {
      Intervals keys;
      if (context.v4) keys = v4_addresses();
      if (context.v6) keys = unite(keys, v6_addresses());
      add(std::move(keys));
      break;
    }
    case Axis::l4:
      add({kTcp}).transport = Transport::tcp;
      add({kUdp}).transport = Transport::udp;
      if (!context.named) add({kNoPorts}).transport = Transport::none;
      break;
    case Axis::app:
      add(apps(context.transport, context.named));
      break;
    default:
      add({time_});
  }
  return out;
}

std::vector<RegionSplit::Part> RegionSplitter::outside(Axis axis,
                                                       const RegionContext& context) const {
  std::vector<RegionSplit::Part> out;
  if (axis == Axis::name) {
    out.push_back({{{kNoName, kNoName}}, {}, context});
    return out;
  }
  const auto uncovered = uncovered_.find(axis);
  if (uncovered == uncovered_.end()) return out;
  for (Piece& piece : pieces(axis, context)) {
    const Intervals free = intersect(piece.keys, uncovered->second);
    if (free.empty()) continue;
    out.push_back({{{free[0].first, free[0].first}}, {}, std::move(piece.context)});
  }
  return out;
}

void RegionSplitter::split_intervals(const RegionContext& context, RegionSplit& out) {
  Intervals wanted;
  for (const uint32_t condition : focus_conditions_) {
    const Intervals& keys = space_.intervals(out.axis, condition);
    wanted.insert(wanted.end(), keys.begin(), keys.end());
  }
  wanted = normalised(std::move(wanted));
  for (const Piece& piece : pieces(out.axis, context)) {
    out.domain = unite(out.domain, piece.keys);
    sweep(piece, any_focus_ ? piece.keys : intersect(piece.keys, wanted), out);
  }
}

void RegionSplitter::sweep(const Piece& piece, const Intervals& wanted, RegionSplit& out) {
  struct Edge {
    RegionKey at;
    uint32_t condition;  // kAnyValue stands for `wanted` itself.
    bool opens;
  };
  constexpr RegionKey kLastKey = ~RegionKey{0};
  std::vector<Edge> edges;
  const auto add = [&](const Intervals& keys, uint32_t condition) {
    for (const Interval& one : keys) {
      edges.push_back({one.first, condition, true});
      if (one.last != kLastKey) edges.push_back({one.last + 1, condition, false});
    }
  };
  add(wanted, kAnyValue);
  for (const auto& bucket : out.by_condition) {
    add(intersect(space_.intervals(out.axis, bucket.first), wanted), bucket.first);
  }
  std::ranges::sort(edges, {}, &Edge::at);
  steps_ += edges.size();
  std::set<uint32_t> active;
  PartIndex index;
  for (size_t i = 0; i < edges.size();) {
    const RegionKey at = edges[i].at;
    // Those that end first: an interval may follow another of the same condition.
    const size_t from = i;
    for (; i < edges.size() && edges[i].at == at; ++i) {
      if (!edges[i].opens) active.erase(edges[i].condition);
    }
    for (size_t k = from; k < i; ++k) {
      if (edges[k].opens) active.insert(edges[k].condition);
    }
    if (!active.contains(kAnyValue)) continue;
    const RegionKey last = i < edges.size() ? edges[i].at - 1 : kLastKey;
    steps_ += active.size();
    std::vector<uint32_t> conditions(std::next(active.begin()), active.end());
    const auto [it, fresh] = index.try_emplace(conditions, out.parts.size());
    if (fresh) out.parts.push_back({{}, std::move(conditions), piece.context});
    out.parts[it->second].label.push_back({at, last});
  }
  for (auto& part : out.parts) part.label = normalised(std::move(part.label));
}

/// Which predicate to ask about: one of a clause in focus, for without it the others do not matter;
/// where they matter anyway, the first, which may settle all behind it.
uint32_t RegionSplitter::question(const Candidates& list, Axis axis,
                                  const RegionContext& context) const {
  uint32_t first = kAnyValue;
  for (const uint32_t clause : list) {
    const uint32_t condition = condition_of(space_.clauses()[clause], axis);
    if (!open(condition, axis, context)) continue;
    if (any_focus_ || focus_[clause]) return condition;
    if (first == kAnyValue) first = condition;
  }
  return first;
}

void RegionSplitter::split_predicate(const Candidates& list, const RegionContext& context,
                                     RegionSplit& out) {
  out.predicate = question(list, out.axis, context);
  for (const bool answer : {true, false}) {
    RegionSplit::Part part{{{answer, answer}}, {}, context};
    part.context.decided.emplace_back(out.predicate, answer);
    if (!possible(out.axis, part.context)) continue;
    out.domain = unite(out.domain, part.label);
    std::ranges::sort(part.context.decided);
    for (const auto& bucket : out.by_condition) {
      const bool kept = bucket.first == out.predicate
                            ? answer
                            : !answer || !refuted(out.axis, out.predicate, bucket.first);
      if (kept) part.conditions.push_back(bucket.first);
    }
    out.parts.push_back(std::move(part));
  }
}

/// Whether a true predicate rules out another. Asked only where that is cheap, and saves a question
/// for each of thousands of selectors of one label.
bool RegionSplitter::refuted(Axis axis, uint32_t given, uint32_t condition) {
  if (axis != Axis::labels) return false;
  ++steps_;
  return exclude(space_.predicate(axis, given).predicate.labels,
                 space_.predicate(axis, condition).predicate.labels);
}

Answers RegionSplitter::answers_of(Axis axis,
                                   const std::vector<std::pair<uint32_t, bool>>& decided) const {
  Answers out;
  for (const auto& [condition, yes] : decided) {
    out.emplace_back(&space_.predicate(axis, condition), yes);
  }
  return out;
}

bool RegionSplitter::possible(Axis axis, const RegionContext& context) {
  const Answers answers = answers_of(axis, context.decided);
  steps_ += answers.size();
  SampleFlow sample;
  const auto searched = [&](const auto& can) {
    const uint64_t before = work_left();
    uint64_t work = before;
    const bool out = can(work);
    charge_work(before, work);
    return out;
  };
  switch (axis) {
    case Axis::regex: {
      std::string name;
      return context.name_kind != RegionContext::NameKind::abstract ||
             name_of(context.atom, context.decided, name);
    }
    case Axis::labels:
      return labels_can(answers, sample);
    case Axis::alpn:
      return alpns_can(answers, sample);
    case Axis::ja4:
      return ja4_can(answers, sample);
    case Axis::ech:
      return ech_can(answers, sample);
    case Axis::method:
      return method_can(answers, sample);
    case Axis::path:
      return searched([&](uint64_t& work) { return path_can(answers, sample, work); });
    case Axis::headers:
      return searched([&](uint64_t& work) { return headers_can(answers, sample, work); });
    default:
      return true;
  }
}

}  // namespace sallyport
