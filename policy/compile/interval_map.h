#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <vector>

#include "policy/runtime/set_pool.h"

namespace sallyport {

/// Moves to the next key; false at the greatest.
inline bool advance(uint16_t& port) {
  return ++port != 0;
}
inline bool advance(int64_t& unix_seconds) {
  if (unix_seconds == std::numeric_limits<int64_t>::max()) return false;
  ++unix_seconds;
  return true;
}

/// The least key; others than numbers value-initialise to theirs.
template <typename Key>
constexpr Key least_key() {
  return std::numeric_limits<Key>::is_specialized ? std::numeric_limits<Key>::min() : Key{};
}

/// Turns overlapping closed intervals, each with a clause, into disjoint ones with a set of clauses
/// each. `Key` is ordered and has an advance().
template <typename Key>
class IntervalMap {
 public:
  struct Lookup {
    std::vector<Key> starts;  ///< Sorted; the first is the least key.
    std::vector<uint32_t> sets;
  };

  void add(Key first, Key last, uint32_t clause) {
    edges_.push_back({first, clause, true});
    if (advance(last)) edges_.push_back({last, clause, false});
  }

  Lookup build(SetPool& pool) {
    std::ranges::sort(edges_, {}, &Edge::at);
    Lookup out{{least_key<Key>()}, {pool.add({})}};
    std::map<uint32_t, uint32_t> open;  // Clause to how many of its intervals are open.
    for (size_t i = 0; i < edges_.size() && !pool.full();) {
      const Key at = edges_[i].at;
      for (; i < edges_.size() && edges_[i].at == at; ++i) apply(edges_[i], open);
      put(at, pool.add(open_clauses(open)), out);
    }
    return out;
  }

 private:
  struct Edge {
    Key at;
    uint32_t clause;
    bool opens;
  };

  /// A count may pass below zero between edges at the same key; unsigned wrap-around undoes itself.
  static void apply(const Edge& edge, std::map<uint32_t, uint32_t>& open) {
    uint32_t& count = open[edge.clause];
    count += edge.opens ? 1 : UINT32_MAX;
    if (count == 0) open.erase(edge.clause);
  }

  static std::vector<uint32_t> open_clauses(const std::map<uint32_t, uint32_t>& open) {
    std::vector<uint32_t> out;
    out.reserve(open.size());
    for (const auto& [clause, count] : open) out.push_back(clause);
    return out;
  }

  static void put(Key at, uint32_t set, Lookup& out) {
    if (at == out.starts.back()) {
      out.sets.back() = set;
    } else if (set != out.sets.back()) {
      out.starts.push_back(at);
      out.sets.push_back(set);
    }
  }

  std::vector<Edge> edges_;
};

}  // namespace sallyport
