#pragma once

#include <hs/hs_runtime.h>
#include <image_generated.h>

#include <array>
#include <bit>
#include <cstdlib>
#include <expected>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "policy/runtime/clause_sets.h"
#include "policy/runtime/set_pool.h"
#include "policy/runtime/table.h"

namespace sallyport {

/// Conditions beside addresses, ports and time, in the order of Image.conditions.
enum ConditionKind : uint8_t {
  kLabelsCondition,
  kAppCondition,
  kNameCondition,
  kAlpnsCondition,
  kJa4Condition,
  kEchCondition,
  kMethodCondition,
  kPathCondition,
  kHeaderCondition,  ///< The first of kHeaderConditions: a clause's headers, sorted by name.
};
inline constexpr size_t kHeaderConditions = 4;
inline constexpr size_t kConditions = kHeaderCondition + kHeaderConditions;

/// A set of ConditionKinds.
using ConditionBits = uint32_t;
constexpr ConditionBits condition_bit(size_t kind) noexcept {
  return ConditionBits{1} << kind;
}

template <typename Visit>
void for_each_condition(ConditionBits kinds, Visit visit) noexcept {
  for (; kinds != 0; kinds &= kinds - 1) visit(static_cast<size_t>(std::countr_zero(kinds)));
}

/// Sets of ech: by whether the hello carries the extension.
enum EchSet : uint8_t { kWithoutEch, kWithEch, kEchSets };

struct AddressKey {
  uint64_t high = 0;
  uint64_t low = 0;
  auto operator<=>(const AddressKey&) const = default;
};
AddressKey key_of(const IpAddress& address) noexcept;

/// Sorted interval starts and the set that holds from each; verified to begin with the least key.
template <typename Key, typename Stored>
struct IntervalLookup {
  std::span<const Stored> starts;
  std::span<const uint32_t> sets;
  uint32_t base = 0;  ///< The set of clauses that every key satisfies.

  uint32_t find(Key key) const noexcept;
  /// No interval tells anything apart.
  bool trivial() const noexcept { return sets.size() == 1; }
};
using AddressLookup = IntervalLookup<AddressKey, fb::Address>;
using PortLookup = IntervalLookup<uint16_t, uint16_t>;
using TimeLookup = IntervalLookup<int64_t, int64_t>;

struct ConditionView {
  uint32_t base = 0;
  uint32_t constrained = 0;
  std::span<const uint32_t> sets;
};

struct FreeMemory {
  void operator()(void* memory) const noexcept { std::free(memory); }
};
struct FreeDatabase {
  void operator()(hs_database_t* database) const noexcept { hs_free_database(database); }
};
struct FreeScratch {
  void operator()(hs_scratch_t* scratch) const noexcept { hs_free_scratch(scratch); }
};
using Database = std::unique_ptr<hs_database_t, FreeDatabase>;

/// A path or header value between the sentinels that patterns of them begin and end with. A
/// sentinel within it becomes another byte, which no pattern can name either.
class FramedText {
 public:
  static constexpr size_t kMaxBytes = 16384;

  /// Empty for what is too long.
  std::string_view frame(std::string_view text) noexcept;

 private:
  std::array<char, kMaxBytes + 2> bytes_;
};

/// What a flow's addresses, protocol, port and time come to: sets of the table, 0 where they tell
/// nothing apart.
struct FixedSets {
  uint32_t source = 0;
  uint32_t destination = 0;
  uint32_t time = 0;
  uint32_t l4 = kNoSet;

  static constexpr uint32_t kNoSet = UINT32_MAX;  ///< A protocol that only the base is for.
  bool operator==(const FixedSets&) const = default;
};

/// Decisions of flows of which nothing else was known, as of every SYN: the same sets, the same
/// decision. One place for each, taken by the last.
class OpeningDecisions {
 public:
  const Decision* find(const FixedSets& sets) const noexcept {
    const Entry& entry = entries_[place_of(sets)];
    return entry.used && entry.sets == sets ? &entry.decision : nullptr;
  }
  void keep(const FixedSets& sets, const Decision& decision) noexcept {
    entries_[place_of(sets)] = {.sets = sets, .decision = decision, .used = true};
  }

 private:
  static constexpr size_t kEntries = 256;
  struct Entry {
    FixedSets sets;
    Decision decision;
    bool used = false;
  };

  static size_t place_of(const FixedSets& sets) noexcept {
    constexpr uint64_t kMultiplier = 0x9e3779b97f4a7c15;
    const uint64_t ends = uint64_t{sets.source} << 32 | sets.destination;
    const uint64_t rest = uint64_t{sets.time} << 32 | sets.l4;
    return ((ends * kMultiplier) ^ rest) * kMultiplier >> 56;
  }

  std::array<Entry, kEntries> entries_;
};

/// What one worker writes to while it decides.
struct WorkerScratch {
  std::unique_ptr<hs_scratch_t, FreeScratch> hyperscan;
  std::vector<ClauseUnion> unions;      ///< By ConditionKind; empty for those not active.
  std::vector<uint64_t> header_values;  ///< A bit a header pattern: all lines so far match.
  std::vector<uint64_t> header_line;    ///< The same for one line.
  FramedText text;
  OpeningDecisions openings;
  uint64_t scan_ticks = 0;  ///< Since PolicyTable::take_scan_ticks().
};

/// A loaded image. Written once by load(), then only read, but for workers[i], which worker i alone
/// uses.
struct TableCore {
  std::unique_ptr<uint8_t, FreeMemory> payload;  ///< Everything below points into it.
  const fb::Image* image = nullptr;
  uint64_t revision = 0;

  std::span<const uint32_t> clause_rules;
  std::span<const uint32_t> tier_ends;
  std::span<const fb::Set> sets;
  const fb::Summary* summaries = nullptr;
  const uint64_t* words = nullptr;
  AddressLookup source;
  AddressLookup destination;
  PortLookup tcp;
  PortLookup udp;
  TimeLookup time;
  uint32_t l4_base = 0;  ///< As IntervalLookup::base.
  uint32_t icmp = 0;
  ConditionBits active = 0;  ///< Conditions that some clause has.
  std::array<ConditionView, kConditions> conditions;
  std::span<const uint32_t> header_patterns;
  std::vector<RuleInfo> rules;
  std::vector<std::string_view> alpns;
  std::vector<std::string_view> ja4s;
  std::vector<std::string_view> methods;
  std::vector<std::string_view> header_names;

  Database name_literals;
  Database name_regexes;
  Database paths;
  Database headers;
  mutable std::vector<WorkerScratch> workers;

  SetView set(uint32_t index) const noexcept { return {sets[index], summaries, words}; }
};

/// What the identity feed comes to under one table: which clauses' label conditions each source
/// address meets.
class IdentityBinding {
 public:
  IdentityBinding(const TableCore& core, const IdentityFeed& feed);

  /// The empty set for an address without labels.
  SetView find(AddressKey source) const noexcept;
  /// As labels_text() has them; empty for an address without labels.
  std::string_view labels(AddressKey source) const noexcept;
  bool ok() const noexcept { return !pool_.full(); }

 private:
  SetPool pool_;
  std::vector<fb::Summary> summaries_;
  std::vector<fb::Set> sets_;
  std::vector<AddressKey> addresses_;  // Sorted.
  std::vector<uint32_t> address_sets_;
  std::vector<uint32_t> address_labels_;
  std::vector<std::string> labels_;  // Each set of labels once.
};

struct PolicyTable::Impl {
  std::shared_ptr<const TableCore> core;
  std::shared_ptr<const IdentityBinding> identities;  ///< None: labels are unknown.
};

/// Checks every index, order and range of a structurally sound image, so that decide() may follow
/// them blindly. Strings, too: rule names are plain.
bool check_content(const fb::Image& image) noexcept;

/// Every dimension of one flow. Inactive ones, which every clause satisfies, are left out.
struct Lookup {
  std::array<Dimension, 4> fixed;  ///< Source, destination, L4 and time, as far as active.
  unsigned fixed_count = 0;
  std::array<Dimension, kConditions> conditions;  ///< What the facts known so far satisfy.
  ConditionBits unknown = 0;                      ///< Active, and their facts are unknown.
};

FixedSets find_fixed(const TableCore& core, const FlowFacts& facts) noexcept;

/// @param sets  Of find_fixed().
/// @return      False: Hyperscan failed, or a fact is what no inspector may pass.
bool look_up(const PolicyTable::Impl& table, const FlowFacts& facts, const FixedSets& sets,
             WorkerScratch& worker, Lookup& out) noexcept;

/// Adds the clauses that name this host.
/// @return  As look_up().
bool look_up_name(const TableCore& core, std::string_view name, WorkerScratch& worker,
                  Dimension& out) noexcept;

}  // namespace sallyport
