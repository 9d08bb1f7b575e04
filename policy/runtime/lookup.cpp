#include <x86intrin.h>

#include <bit>

#include "policy/runtime/framed_name.h"
#include "policy/runtime/measuring.h"
#include "policy/runtime/table_impl.h"

namespace sallyport {
namespace {

constexpr char kTextStart = '\x02';
constexpr char kTextEnd = '\x01';
constexpr char kOther = '\x03';

/// Collects what one scan finds. Hyperscan calls back for each pattern once.
class Scan {
 public:
  virtual ~Scan() = default;
  virtual void found(unsigned id) noexcept = 0;

  /// False: Hyperscan failed or reported what it cannot have found.
  bool run(const Database& database, std::string_view text, WorkerScratch& worker,
           unsigned patterns) noexcept {
    if (!database || text.empty()) return true;
    patterns_ = patterns;
    const uint64_t before = kMeasures ? __rdtsc() : 0;
    const hs_error_t error =
        hs_scan(database.get(), text.data(), static_cast<unsigned>(text.size()), 0,
                worker.hyperscan.get(), on_match, this);
    if constexpr (kMeasures) worker.scan_ticks += __rdtsc() - before;
    return error == HS_SUCCESS && !broken_;
  }

 private:
  static int on_match(unsigned id, unsigned long long, unsigned long long, unsigned,
                      void* context) {
    auto& scan = *static_cast<Scan*>(context);
    if (id >= scan.patterns_) {
      scan.broken_ = true;
      return 1;
    }
    scan.found(id);
    return 0;
  }

  unsigned patterns_ = 0;
  bool broken_ = false;
};

/// Adds the set of each pattern found to a dimension.
class SetScan final : public Scan {
 public:
  SetScan(const TableCore& core, ConditionKind kind, Dimension& out) noexcept
      : core_(core), sets_(core.conditions[kind].sets), out_(out) {}
  void found(unsigned id) noexcept override { out_.add(core_.set(sets_[id])); }

 private:
  const TableCore& core_;
  std::span<const uint32_t> sets_;
  Dimension& out_;
};

/// Sets the bit of each pattern found that is about the header scanned.
class HeaderScan final : public Scan {
 public:
  HeaderScan(std::span<const uint32_t> patterns, uint32_t name, std::span<uint64_t> out) noexcept
      : patterns_(patterns), name_(name), out_(out) {}
  void found(unsigned id) noexcept override {
    if (patterns_[id] == name_) out_[id / 64] |= uint64_t{1} << (id % 64);
  }

 private:
  std::span<const uint32_t> patterns_;
  uint32_t name_;
  std::span<uint64_t> out_;
};

/// The place of `text` in sorted `values`, or their number.
size_t index_of(std::span<const std::string_view> values, std::string_view text) noexcept {
  const auto at = std::ranges::lower_bound(values, text);
  return at != values.end() && *at == text ? static_cast<size_t>(at - values.begin())
                                           : values.size();
}

class Filler {
 public:
  Filler(const PolicyTable::Impl& table, const FlowFacts& facts, const FixedSets& sets,
         WorkerScratch& worker, Lookup& out) noexcept
      : table_(table), core_(*table.core), facts_(facts), sets_(sets), worker_(worker), out_(out) {}

  bool fill() noexcept {
    add_fixed();
    for_each_condition(core_.active, [this](size_t kind) {
      out_.conditions[kind].use_spill(worker_.unions[kind]);
      out_.conditions[kind].add(core_.set(core_.conditions[kind].base));
    });
    add_labels();
    add_values();
    return add_name() && add_path() && add_headers();
  }

 private:
  void add_fixed() noexcept {
    if (!core_.source.trivial()) add_interval(core_.source.base, sets_.source);
    if (!core_.destination.trivial()) add_interval(core_.destination.base, sets_.destination);
    if (!core_.time.trivial()) add_interval(core_.time.base, sets_.time);
    Dimension& l4 = out_.fixed[out_.fixed_count++];
    l4.add(core_.set(core_.l4_base));
    if (sets_.l4 != FixedSets::kNoSet) l4.add(core_.set(sets_.l4));
  }

  void add_interval(uint32_t base, uint32_t set) noexcept {
    Dimension& dimension = out_.fixed[out_.fixed_count++];
    dimension.add(core_.set(base));
    dimension.add(core_.set(set));
  }

  bool is_active(size_t kind) const noexcept { return (core_.active & condition_bit(kind)) != 0; }

  /// Whether a condition has to be looked up. Notes it when its fact is unknown.
  bool known(size_t kind, Known known) noexcept {
    if (!is_active(kind)) return false;
    if (known == Known::unknown) out_.unknown |= condition_bit(kind);
    return known == Known::present;
  }
  void add(size_t kind, size_t index) noexcept {
    const auto sets = core_.conditions[kind].sets;
    if (index < sets.size()) out_.conditions[kind].add(core_.set(sets[index]));
  }

  void add_labels() noexcept {
    const IdentityBinding* identities = table_.identities.get();
    if (known(kLabelsCondition, identities != nullptr ? Known::present : Known::unknown)) {
      out_.conditions[kLabelsCondition].add(identities->find(key_of(facts_.source)));
    }
  }

  void add_values() noexcept {
    if (known(kAppCondition, facts_.app_known)) {
      add(kAppCondition, static_cast<size_t>(facts_.app));
    }
    if (known(kAlpnsCondition, facts_.alpns_known)) add_alpns();
    if (known(kJa4Condition, facts_.ja4_known)) {
      add(kJa4Condition, index_of(core_.ja4s, facts_.ja4));
    }
    // Absence of the extension is a value, too.
    if (known(kEchCondition, facts_.ech_known)) {
      add(kEchCondition, kWithEch);
    } else if (facts_.ech_known == Known::absent && is_active(kEchCondition)) {
      add(kEchCondition, kWithoutEch);
    }
    if (known(kMethodCondition, facts_.method_known)) {
      add(kMethodCondition, index_of(core_.methods, facts_.method));
    }
  }

  /// Clauses that need any of their protocols to be offered: the union. Clauses that need all that
  /// is offered to be theirs: the intersection, empty when one is nobody's.
  void add_alpns() noexcept {
    const auto sets = core_.conditions[kAlpnsCondition].sets;
    Dimension& out = out_.conditions[kAlpnsCondition];
    bool all = true;
    for (const std::string_view alpn : facts_.alpns) {
      const size_t index = index_of(core_.alpns, alpn);
      if (index == core_.alpns.size()) {
        all = false;
        continue;
      }
      out.add(core_.set(sets[2 * index]));
      all = all && out.intersect(core_.set(sets[2 * index + 1]));
    }
    if (!all) out.drop_intersection();
  }

  bool add_name() noexcept {
    if (!known(kNameCondition, facts_.name_known)) return true;
    return look_up_name(core_, facts_.name, worker_, out_.conditions[kNameCondition]);
  }

  bool add_path() noexcept {
    if (!known(kPathCondition, facts_.path_known)) return true;
    SetScan scan(core_, kPathCondition, out_.conditions[kPathCondition]);
    return scan_framed(scan, core_.paths, facts_.path,
                       core_.conditions[kPathCondition].sets.size());
  }

  bool add_headers() noexcept {
    bool needed = false;
    for (size_t i = 0; i < kHeaderConditions; ++i) {
      needed |= known(kHeaderCondition + i, facts_.headers_known);
    }
    if (!needed) return true;
    for (uint32_t name = 0; name < core_.header_names.size(); ++name) {
      if (!match_header(name)) return false;
      add_header_sets();
    }
    return true;
  }

  /// Which patterns every line of the header matches, into worker_.header_values.
  bool match_header(uint32_t name) noexcept {
    auto& values = worker_.header_values;
    auto& line = worker_.header_line;
    bool first = true;
    std::ranges::fill(values, 0);
    for (const HttpHeader& header : facts_.headers) {
      if (header.name != core_.header_names[name]) continue;
      std::ranges::fill(line, 0);
      HeaderScan scan(core_.header_patterns, name, line);
      if (!scan_framed(scan, core_.headers, header.value, core_.header_patterns.size())) {
        return false;
      }
      for (size_t i = 0; i < values.size(); ++i) {
        values[i] = first ? line[i] : values[i] & line[i];
      }
      first = false;
    }
    return true;
  }

  /// Clauses whose conditions are among worker_.header_values.
  void add_header_sets() noexcept {
    for (size_t word = 0; word < worker_.header_values.size(); ++word) {
      for (uint64_t bits = worker_.header_values[word]; bits != 0; bits &= bits - 1) {
        const size_t pattern = word * 64 + static_cast<size_t>(std::countr_zero(bits));
        for (size_t i = 0; i < kHeaderConditions; ++i) {
          const size_t kind = kHeaderCondition + i;
          if (is_active(kind)) add(kind, pattern);
        }
      }
    }
  }

  bool scan_framed(Scan& scan, const Database& database, std::string_view text,
                   size_t patterns) noexcept {
    const std::string_view framed = worker_.text.frame(text);
    return !framed.empty() && scan.run(database, framed, worker_, static_cast<unsigned>(patterns));
  }

  const PolicyTable::Impl& table_;
  const TableCore& core_;
  const FlowFacts& facts_;
  const FixedSets& sets_;
  WorkerScratch& worker_;
  Lookup& out_;
};

}  // namespace

std::string_view FramedText::frame(std::string_view text) noexcept {
  if (text.size() > kMaxBytes) return {};
  size_t size = 0;
  bytes_[size++] = kTextStart;
  for (const char c : text) bytes_[size++] = c == kTextStart || c == kTextEnd ? kOther : c;
  bytes_[size++] = kTextEnd;
  return {bytes_.data(), size};
}

AddressKey key_of(const IpAddress& address) noexcept {
  const auto words = std::bit_cast<std::array<uint64_t, 2>>(address.bytes);
  static_assert(std::endian::native == std::endian::little);
  return {std::byteswap(words[0]), std::byteswap(words[1])};
}

template <typename Key, typename Stored>
uint32_t IntervalLookup<Key, Stored>::find(Key key) const noexcept {
  const auto key_of_start = [](const Stored& start) {
    if constexpr (std::is_same_v<Stored, fb::Address>) {
      return AddressKey{start.high(), start.low()};
    } else {
      return start;
    }
  };
  const auto after = std::ranges::upper_bound(starts, key, {}, key_of_start);
  return sets[static_cast<size_t>(after - starts.begin()) - 1];  // starts[0] is the least key.
}
template struct IntervalLookup<AddressKey, fb::Address>;
template struct IntervalLookup<uint16_t, uint16_t>;
template struct IntervalLookup<int64_t, int64_t>;

FixedSets find_fixed(const TableCore& core, const FlowFacts& facts) noexcept {
  FixedSets out;
  if (!core.source.trivial()) out.source = core.source.find(key_of(facts.source));
  if (!core.destination.trivial())
    out.destination = core.destination.find(key_of(facts.destination));
  if (!core.time.trivial()) out.time = core.time.find(facts.unix_seconds);
  if (facts.ip_protocol == kIpProtocolTcp) {
    out.l4 = core.tcp.find(facts.destination_port);
  } else if (facts.ip_protocol == kIpProtocolUdp) {
    out.l4 = core.udp.find(facts.destination_port);
  } else if (facts.ip_protocol == kIpProtocolIcmp || facts.ip_protocol == kIpProtocolIcmpV6) {
    out.l4 = core.icmp;
  }
  return out;
}

bool look_up(const PolicyTable::Impl& table, const FlowFacts& facts, const FixedSets& sets,
             WorkerScratch& worker, Lookup& out) noexcept {
  return Filler(table, facts, sets, worker, out).fill();
}

bool look_up_name(const TableCore& core, std::string_view name, WorkerScratch& worker,
                  Dimension& out) noexcept {
  FramedName framed;
  if (!framed.assign(name)) return false;
  SetScan scan(core, kNameCondition, out);
  const auto patterns = static_cast<unsigned>(core.conditions[kNameCondition].sets.size());
  return scan.run(core.name_literals, framed.exact(), worker, patterns) &&
         scan.run(core.name_regexes, name, worker, patterns);
}

}  // namespace sallyport
