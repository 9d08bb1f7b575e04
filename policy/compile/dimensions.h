#pragma once

#include <array>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "policy/compile/clauses.h"
#include "policy/compile/interval_map.h"
#include "policy/runtime/table_impl.h"

namespace sallyport {

inline bool advance(AddressKey& key) {
  if (++key.low == 0) ++key.high;
  return key != AddressKey{};
}

/// A value of a condition, such as one ALPN protocol, to the clauses it satisfies. Sorted, so that
/// the ids are stable.
using ValueClauses = std::map<std::string, std::vector<uint32_t>, std::less<>>;

/// Which clauses have one condition, and what satisfies it.
struct ConditionClauses {
  std::vector<uint32_t> base;         ///< Clauses without it.
  std::vector<uint32_t> constrained;  ///< The others.
  ValueClauses values;
};

/// Every dimension of all clauses of a policy, filled clause by clause: what the image says, before
/// it is laid out.
struct PolicyDimensions {
  std::vector<uint32_t> clause_rules;
  std::array<uint32_t, static_cast<size_t>(Tier::count_)> tier_ends{};
  std::vector<uint32_t> passing;
  std::vector<uint32_t> passing_unbound;
  std::vector<uint32_t> pass_on;
  std::vector<uint32_t> bound;

  std::vector<uint32_t> source_base;
  IntervalMap<AddressKey> source;
  std::vector<uint32_t> destination_base;
  IntervalMap<AddressKey> destination;
  std::vector<uint32_t> l4_base;
  IntervalMap<uint16_t> tcp;
  IntervalMap<uint16_t> udp;
  std::vector<uint32_t> icmp;
  std::vector<uint32_t> time_base;
  IntervalMap<int64_t> time;

  std::array<ConditionClauses, kConditions> conditions;  ///< By ConditionKind.
  ValueClauses name_regexes;  ///< By expression; conditions[kNameCondition].values are literals.
  ValueClauses alpns_all;     ///< Clauses that need every offer to be theirs; `values` need any.
};

/// The key of a source's label selector in conditions[kLabelsCondition].values: its "key=value"
/// texts, each ended by a NUL.
std::string selector_key(const Labels& labels);

/// The key of a header condition: its name, a NUL and its glob.
std::string header_key(const HeaderMatch& match);

/// The header conditions of all clauses, each once, sorted: an id is a place in this list.
std::vector<std::string> header_patterns(const PolicyDimensions& dimensions);

PolicyDimensions fill_dimensions(const ClauseList& list);

}  // namespace sallyport
