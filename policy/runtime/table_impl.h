#pragma once

#include <hs/hs_runtime.h>
#include <image_generated.h>

#include <array>
#include <cstdlib>
#include <expected>
#include <memory>
#include <span>
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

  uint32_t find(Key key) const noexcept;
  /// No interval tells anything apart.
  bool trivial() const noexcept { return sets.size() == 1; }
};
using AddressLookup = IntervalLookup<AddressKey, fb::Address>;
using PortLookup = IntervalLookup<uint16_t, uint16_t>;
using TimeLookup = IntervalLookup<int64_t, int64_t>;

struct ConditionView {
  bool active = false;  ///< Some clause has the condition.
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

/// What one worker writes to while it decides.
struct WorkerScratch {
  std::unique_ptr<hs_scratch_t, FreeScratch> hyperscan;
  std::vector<ClauseUnion> unions;      ///< By ConditionKind; empty for those not active.
  std::vector<uint64_t> header_values;  ///< A bit a header pattern: all lines so far match.
  std::vector<uint64_t> header_line;    ///< The same for one line.
  FramedText text;
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
  IdentityBinding(const TableCore& core, std::span<const Identity> identities);

  /// The empty set for an address without labels.
  SetView find(AddressKey source) const noexcept;
  bool ok() const noexcept { return !pool_.full(); }

 private:
  SetPool pool_;
  std::vector<fb::Summary> summaries_;
  std::vector<fb::Set> sets_;
  std::vector<AddressKey> addresses_;  // Sorted.
  std::vector<uint32_t> address_sets_;
};

struct PolicyTable::Impl {
  std::shared_ptr<const TableCore> core;
  std::unique_ptr<const IdentityBinding> identities;  ///< None: labels are unknown.
};

/// Checks every index, order and range of a structurally sound image, so that decide() may follow
/// them blindly. Strings, too: rule names are plain.
bool check_content(const fb::Image& image) noexcept;

/// Every dimension of one flow. Inactive ones, which every clause satisfies, are left out.
struct Lookup {
  std::array<Dimension, 4> fixed;  ///< Source, destination, L4 and time, as far as active.
  unsigned fixed_count = 0;
  std::array<Dimension, kConditions> conditions;  ///< What the facts known so far satisfy.
  uint16_t unknown = 0;  ///< A bit a ConditionKind: active, and its fact is unknown.
};

/// False: Hyperscan failed, or a fact is what no inspector may pass.
bool look_up(const PolicyTable::Impl& table, const FlowFacts& facts, unsigned worker,
             Lookup& out) noexcept;

}  // namespace sallyport
