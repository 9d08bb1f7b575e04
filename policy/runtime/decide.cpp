#include <algorithm>
#include <array>

#include "policy/runtime/framed_name.h"
#include "policy/runtime/table_impl.h"

namespace sallyport {
namespace {

using Impl = PolicyTable::Impl;

/// A canonical name has at most 127 labels, so at most 126 wildcards and one exact literal match.
constexpr unsigned kMaxMatches = 130;
constexpr uint32_t kNoClause = UINT32_MAX;

/// The clauses that one dimension of a flow satisfies: the union of a few sets.
class Dimension {
 public:
  void add(SetView set) noexcept {
    if (set.first() == set.end()) return;  // The empty set.
    first_ = count_ == 0 ? set.first() : std::min(first_, set.first());
    end_ = count_ == 0 ? set.end() : std::max(end_, set.end());
    parts_[count_++] = set;
  }

  uint32_t first() const noexcept { return first_; }
  uint32_t end() const noexcept { return end_; }

  uint64_t summary(uint32_t i) const noexcept {
    uint64_t bits = 0;
    for (unsigned part = 0; part < count_; ++part) bits |= parts_[part].summary(i);
    return bits;
  }
  uint64_t word(uint32_t w) const noexcept {
    uint64_t bits = 0;
    for (unsigned part = 0; part < count_; ++part) bits |= parts_[part].word(w);
    return bits;
  }

 private:
  std::array<SetView, kMaxMatches + 1> parts_;  // The base set and the matches.
  unsigned count_ = 0;
  uint32_t first_ = 0;
  uint32_t end_ = 0;
};

using Dimensions = std::span<const Dimension* const>;

/// The first clause that is in every dimension, or kNoClause.
uint32_t first_common(Dimensions dimensions) noexcept {
  uint32_t first = 0;
  uint32_t end = UINT32_MAX;
  for (const Dimension* dimension : dimensions) {
    first = std::max(first, dimension->first());
    end = std::min(end, dimension->end());
  }
  for (uint32_t i = first; i < end; ++i) {
    uint64_t summary = ~uint64_t{0};
    for (const Dimension* dimension : dimensions) summary &= dimension->summary(i);
    for (; summary != 0; summary &= summary - 1) {
      const uint32_t w = i * 64 + static_cast<uint32_t>(std::countr_zero(summary));
      uint64_t word = ~uint64_t{0};
      for (const Dimension* dimension : dimensions) word &= dimension->word(w);
      if (word != 0) return w * 64 + static_cast<uint32_t>(std::countr_zero(word));
    }
  }
  return kNoClause;
}

struct Matches {
  uint32_t literals = 0;  ///< How many the table has.
  unsigned count = 0;
  bool broken = false;  ///< Hyperscan reported what it cannot have found.
  std::array<uint32_t, kMaxMatches> ids;
};

int on_match(unsigned id, unsigned long long, unsigned long long, unsigned, void* context) {
  auto& matches = *static_cast<Matches*>(context);
  if (id >= matches.literals || matches.count == kMaxMatches) {
    matches.broken = true;
    return 1;
  }
  matches.ids[matches.count++] = id;
  return 0;
}

/// Scans the framed name. False: Hyperscan failed, or the name is one that no inspector may pass.
bool scan_name(const Impl& table, std::string_view name, unsigned worker,
               Matches& matches) noexcept {
  if (!table.database || name.empty()) return true;
  FramedName framed;
  if (worker >= table.scratch.size() || !framed.assign(name)) return false;
  matches.literals = static_cast<uint32_t>(table.literal_sets.size());
  const hs_error_t error = hs_scan(table.database.get(), framed.exact().data(),
                                   static_cast<unsigned>(framed.exact().size()), 0,
                                   table.scratch[worker].get(), on_match, &matches);
  return error == HS_SUCCESS && !matches.broken;
}

AddressKey key_of(const IpAddress& address) noexcept {
  AddressKey key;
  for (size_t i = 0; i < 8; ++i) {
    key.high = key.high << 8 | address.bytes[i];
    key.low = key.low << 8 | address.bytes[i + 8];
  }
  return key;
}

/// What is known of one flow, as sets of clauses.
struct Lookup {
  Dimension source;
  Dimension destination;
  Dimension l4;
  Dimension app;   ///< Clauses that the facts known so far satisfy.
  Dimension name;  ///< The same.
  bool app_unknown = false;
  bool name_unknown = false;
};

bool look_up(const Impl& table, const FlowFacts& facts, unsigned worker, Lookup& out) noexcept {
  out.source.add(table.set(table.source.base));
  out.source.add(table.set(table.source.find(key_of(facts.source))));
  out.destination.add(table.set(table.destination.base));
  out.destination.add(table.set(table.destination.find(key_of(facts.destination))));

  out.l4.add(table.set(table.image->l4_base()));
  if (facts.ip_protocol == kIpProtocolTcp) {
    out.l4.add(table.set(table.tcp.find(facts.destination_port)));
  } else if (facts.ip_protocol == kIpProtocolUdp) {
    out.l4.add(table.set(table.udp.find(facts.destination_port)));
  }

  out.app.add(table.set(table.image->app()->base()));
  out.app_unknown = facts.app_known == Known::unknown;
  if (facts.app_known == Known::present && facts.app < AppProtocol::count_) {
    out.app.add(table.set(table.app_sets[static_cast<size_t>(facts.app)]));
  }

  out.name.add(table.set(table.image->name()->base()));
  out.name_unknown = facts.name_known == Known::unknown;
  if (facts.name_known == Known::present) {
    Matches matches;
    if (!scan_name(table, facts.name, worker, matches)) return false;
    for (unsigned i = 0; i < matches.count; ++i) {
      out.name.add(table.set(table.literal_sets[matches.ids[i]]));
    }
  }
  return true;
}

/// The dimensions every clause that may still match is in, with room for one more condition.
class Possible {
 public:
  explicit Possible(const Lookup& lookup) noexcept {
    add(&lookup.source);
    add(&lookup.destination);
    add(&lookup.l4);
    if (!lookup.app_unknown) add(&lookup.app);
    if (!lookup.name_unknown) add(&lookup.name);
  }

  uint32_t first() const noexcept { return first_common({all_.data(), count_}); }

  /// The first that is also in `set`.
  uint32_t first_in(SetView set) const noexcept {
    Dimension condition;
    condition.add(set);
    auto all = all_;
    all[count_] = &condition;
    return first_common({all.data(), count_ + 1});
  }

 private:
  void add(const Dimension* dimension) noexcept { all_[count_++] = dimension; }

  std::array<const Dimension*, 6> all_{};
  size_t count_ = 0;
};

Decision decided_by(const Impl& table, uint32_t clause) noexcept {
  if (clause == kNoClause) return {.verdict = Verdict::deny, .reason = Reason::default_deny};
  const uint32_t rule = table.clause_rules[clause];
  const bool allow = table.image->rules()->Get(rule)->action() == fb::Action::allow;
  return {.verdict = allow ? Verdict::allow : Verdict::deny, .reason = Reason::rule, .rule = rule};
}

Decision decide_with_unknowns(const Impl& table, const Lookup& lookup) noexcept {
  const std::array definite{&lookup.source, &lookup.destination, &lookup.l4, &lookup.app,
                            &lookup.name};
  const uint32_t certain = first_common(definite);
  const Possible possible(lookup);
  const uint32_t first = possible.first();
  // Clauses of one rule are neighbours: whichever of them matches, the rule is the same.
  const bool same_rule =
      first == certain ||
      (certain != kNoClause && table.clause_rules[first] == table.clause_rules[certain]);
  if (same_rule) return decided_by(table, certain);

  // Whatever the unknown facts turn out to be, one of [first, certain] decides.
  const uint32_t allow = possible.first_in(table.set(table.image->allow()));
  if (allow == kNoClause || allow > certain) {
    return {.verdict = Verdict::deny, .reason = Reason::default_deny};
  }
  uint8_t waits_for = 0;
  if (lookup.app_unknown &&
      possible.first_in(table.set(table.image->app()->constrained())) < certain) {
    waits_for |= kFactApp;
  }
  if (lookup.name_unknown &&
      possible.first_in(table.set(table.image->name()->constrained())) < certain) {
    waits_for |= kFactName;
  }
  return {.verdict = Verdict::pending, .reason = Reason::default_deny, .waits_for = waits_for};
}

}  // namespace

uint32_t AddressLookup::find(AddressKey key) const noexcept {
  const auto after = std::ranges::upper_bound(
      starts, key,
      [](const AddressKey& a, const AddressKey& b) {
        return a.high < b.high || (a.high == b.high && a.low < b.low);
      },
      [](const fb::Address& start) { return AddressKey{start.high(), start.low()}; });
  return sets[static_cast<size_t>(after - starts.begin()) - 1];  // starts[0] is zero.
}

uint32_t PortLookup::find(uint16_t port) const noexcept {
  const auto after = std::ranges::upper_bound(starts, port);
  return sets[static_cast<size_t>(after - starts.begin()) - 1];
}

Decision decide(const PolicyTable& table, const FlowFacts& facts, unsigned worker) noexcept {
  const Impl& impl = table.impl();
  Lookup lookup;
  if (!look_up(impl, facts, worker, lookup)) {
    return {.verdict = Verdict::deny, .reason = Reason::scan_error};
  }
  if (lookup.app_unknown || lookup.name_unknown) return decide_with_unknowns(impl, lookup);
  const std::array all{&lookup.source, &lookup.destination, &lookup.l4, &lookup.app, &lookup.name};
  return decided_by(impl, first_common(all));
}

}  // namespace sallyport
