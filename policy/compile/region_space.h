#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "policy/compile/model.h"
#include "policy/compile/region_interval.h"
#include "policy/compile/region_predicate.h"

namespace sallyport {

/// The questions a clause may put to a flow, in the order in which regions are split. Names come
/// first, so that a whole region speaks of one set of names. `binding` is asked of no clause: the
/// outcome of an Allow may depend on it.
enum class Axis : uint8_t {
  name,
  regex,
  destination,
  source,
  l4,
  app,
  time,
  labels,
  alpn,
  ja4,
  ech,
  method,
  path,
  headers,
  binding,
  count_
};
inline constexpr unsigned kAxes = static_cast<unsigned>(Axis::binding);

/// The axis with this index, or Axis::binding past the last.
constexpr Axis axis_at(unsigned index) {
  return index < kAxes ? static_cast<Axis>(index) : Axis::binding;
}

/// Split by intervals of keys; all others but `name` by predicates.
constexpr bool is_interval(Axis axis) {
  return axis == Axis::destination || axis == Axis::source || axis == Axis::l4 ||
         axis == Axis::app || axis == Axis::time;
}

/// Keys of Axis::l4: TCP ports, then UDP ports, then what has none.
inline constexpr RegionKey kFirstUdp = 0x10000;
inline constexpr RegionKey kIcmpKey = 0x20000;
inline constexpr RegionKey kOtherL4Key = 0x20001;

/// Keys of Axis::app. What TCP can carry stands together, and so does what UDP can.
enum AppKey : uint8_t { kNoApp, kTlsApp, kHttpApp, kDnsApp, kQuicApp };

/// Keys of Axis::time keep the order of seconds.
RegionKey time_key(int64_t unix_seconds) noexcept;
int64_t seconds_of(RegionKey time) noexcept;

/// Keys of Axis::name: no name, a name that no clause at hand speaks of, and for each name listed
/// anywhere itself and any other name under it.
inline constexpr RegionKey kNoName = 0;
inline constexpr RegionKey kOtherName = 1;
constexpr RegionKey exact_key(uint32_t name) {
  return RegionKey{2} + RegionKey{2} * name;
}
constexpr RegionKey under_key(uint32_t name) {
  return exact_key(name) + 1;
}

/// A condition of a clause on one axis; 0 is none.
inline constexpr uint32_t kAnyValue = 0;
/// On Axis::name, of a clause with a regex: the regex's condition and this bit.
inline constexpr uint32_t kRegexName = 1U << 31;

/// All rules of one or two policies, expanded to products of one condition an axis, each condition
/// known by a number. Borrows from the models.
class RegionSpace {
 public:
  struct Rule {
    const PolicyModel* policy = nullptr;
    const RuleModel* model = nullptr;
    uint8_t side = 0;
    uint32_t first_clause = 0;
    uint32_t clauses = 0;
  };
  struct Clause {
    uint32_t rule = 0;
    std::array<uint32_t, kAxes> conditions{};
    int last_axis = -1;    ///< The last with a condition.
    bool by_name = false;  ///< So destinationBinding counts.
  };
  struct NameList {
    std::vector<uint32_t> exact;
    std::vector<uint32_t> under;
  };

  /// Adds the rules of a policy, as side 0 and then 1.
  void add(const PolicyModels& models);

  const std::vector<Rule>& rules() const noexcept { return rules_; }
  /// In the order they are tried; those of side 1 after those of side 0.
  const std::vector<Clause>& clauses() const noexcept { return clauses_; }
  const Rule& rule_of(uint32_t clause) const { return rules_[clauses_[clause].rule]; }

  const Intervals& intervals(Axis axis, uint32_t condition) const;
  const NameList& names(uint32_t condition) const { return name_lists_[condition]; }
  const std::string& name(uint32_t id) const { return names_[id]; }
  /// Ids of names that are listed as "*.x" and have `id` under them, the nearest first.
  const std::vector<uint32_t>& above(uint32_t id) const;
  const CompiledRegionPredicate& predicate(Axis axis, uint32_t condition) const;

 private:
  struct Destination {
    Axis axis = Axis::name;
    uint32_t condition = kAnyValue;
  };

  void add_rule(const PolicyModel& policy, const RuleModel& rule);
  void add_clauses(Clause clause, const RuleModel& rule);
  void add_term(Clause clause, const ProtocolTerm& term, RuleAction action);
  void push(const Clause& clause);
  std::vector<Destination> destinations_of(const RuleModel& rule);
  void add_destinations(const Destinations& from, std::vector<Destination>& addresses,
                        std::vector<Destination>& names);
  uint32_t intern(Axis axis, Intervals intervals);
  uint32_t intern(Axis axis, RegionPredicate predicate);
  uint32_t intern_names(const std::vector<DomainPattern>& patterns);
  uint32_t intern_name(const std::string& name);

  std::vector<Rule> rules_;
  std::vector<Clause> clauses_;
  uint8_t sides_ = 0;

  struct AxisPool {
    std::map<Intervals, uint32_t> by_intervals;
    std::vector<Intervals> intervals{{}};
    std::map<RegionPredicate, uint32_t> by_predicate;
    std::vector<CompiledRegionPredicate> predicates{{}};
  };
  std::array<AxisPool, kAxes> pools_;
  std::map<std::vector<DomainPattern>, uint32_t> by_patterns_;
  std::vector<NameList> name_lists_{{}};
  std::unordered_map<std::string, uint32_t> by_name_;
  std::vector<std::string> names_;
  std::vector<bool> listed_under_;  ///< "*.x" is listed for this name.
  mutable std::unordered_map<uint32_t, std::vector<uint32_t>> above_;
};

}  // namespace sallyport
