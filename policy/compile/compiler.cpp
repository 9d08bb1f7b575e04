#include <image_generated.h>

#include <algorithm>
#include <map>
#include <utility>

#include "policy/compile/clauses.h"
#include "policy/compile/compile.h"
#include "policy/compile/interval_map.h"
#include "policy/compile/name_database.h"
#include "policy/compile/set_pool.h"
#include "policy/runtime/facts.h"
#include "policy/runtime/image_codec.h"

namespace sallyport {
namespace {

constexpr uint8_t kV4MappedBits = 96;

struct AddressKey {
  uint64_t high = 0;
  uint64_t low = 0;
  auto operator<=>(const AddressKey&) const = default;
};

bool advance(AddressKey& key) {
  if (++key.low == 0) ++key.high;
  return key != AddressKey{};
}

AddressKey key_of(const IpAddress& address) {
  AddressKey key;
  for (size_t i = 0; i < 8; ++i) {
    key.high = key.high << 8 | address.bytes[i];
    key.low = key.low << 8 | address.bytes[i + 8];
  }
  return key;
}

/// The greatest key of the block that starts at `first`.
AddressKey last_of(AddressKey first, unsigned prefix_bits) {
  const auto host_mask = [](unsigned network_bits) {
    return network_bits >= 64 ? 0 : ~uint64_t{0} >> network_bits;
  };
  first.high |= host_mask(prefix_bits);
  first.low |= prefix_bits <= 64 ? ~uint64_t{0} : host_mask(prefix_bits - 64);
  return first;
}

constexpr AddressKey kFirstV4{0, 0xffff00000000};
constexpr AddressKey kLastV4{0, 0xffffffffffff};

using Ports = IntervalMap<uint16_t>;
using Addresses = IntervalMap<AddressKey>;

void add_prefix(const IpPrefix& prefix, uint32_t clause, Addresses& out) {
  const AddressKey first = key_of(prefix.address);
  const AddressKey last = last_of(first, prefix.prefix_bits);
  if (prefix.prefix_bits < kV4MappedBits && first <= kFirstV4 && last >= kLastV4) {
    // contains() says that a short IPv6 block leaves out IPv4.
    if (first < kFirstV4) out.add(first, {0, kFirstV4.low - 1}, clause);
    if (last > kLastV4) out.add({0, kLastV4.low + 1}, last, clause);
    return;
  }
  out.add(first, last, clause);
}

/// Every dimension of all clauses, filled clause by clause.
struct Dimensions {
  std::vector<uint32_t> allow;
  Addresses source;
  Addresses destination;
  std::vector<uint32_t> source_base;
  std::vector<uint32_t> destination_base;
  std::vector<uint32_t> l4_base;
  Ports tcp;
  Ports udp;
  std::vector<uint32_t> app_base;
  std::vector<uint32_t> app_constrained;
  std::vector<std::vector<uint32_t>> apps{static_cast<size_t>(AppProtocol::count_)};
  std::vector<uint32_t> name_base;
  std::vector<uint32_t> name_constrained;
  std::map<std::string, std::vector<uint32_t>> literals;  // Sorted: the ids are stable.
};

void add_l4(const ProtocolTerm& term, uint32_t id, Dimensions& out) {
  Ports& ports = term.kind == ProtocolKind::udp ? out.udp : out.tcp;
  if (term.ports.empty()) ports.add(0, UINT16_MAX, id);
  for (const PortRange& range : term.ports) ports.add(range.first, range.last, id);
}

void add_app(ProtocolKind kind, uint32_t id, Dimensions& out) {
  if (kind != ProtocolKind::tls && kind != ProtocolKind::http) {
    out.app_base.push_back(id);
    return;
  }
  const AppProtocol app = kind == ProtocolKind::tls ? AppProtocol::tls : AppProtocol::http;
  out.apps[static_cast<size_t>(app)].push_back(id);
  out.app_constrained.push_back(id);
}

void add_clause(const Clause& clause, uint32_t id, Dimensions& out) {
  if (clause.model->action == Verdict::allow) out.allow.push_back(id);

  if (clause.policy->subjects.empty()) out.source_base.push_back(id);
  for (const IpPrefix& prefix : clause.policy->subjects) add_prefix(prefix, id, out.source);

  const bool by_address = clause.destination == Clause::Destination::addresses;
  if (!by_address) out.destination_base.push_back(id);
  if (by_address) {
    for (const IpPrefix& prefix : clause.model->cidrs) add_prefix(prefix, id, out.destination);
  }

  const bool by_name = clause.destination == Clause::Destination::names;
  (by_name ? out.name_constrained : out.name_base).push_back(id);
  if (by_name) {
    for (const DomainPattern& pattern : clause.model->names) {
      auto& clauses = out.literals[literal_of(pattern)];
      if (clauses.empty() || clauses.back() != id) clauses.push_back(id);  // Listed twice.
    }
  }

  if (clause.protocol == nullptr) {
    out.l4_base.push_back(id);
    out.app_base.push_back(id);
  } else {
    add_l4(*clause.protocol, id, out);
    add_app(clause.protocol->kind, id, out);
  }
}

/// Writes the FlatBuffer. Deterministic: everything it walks is ordered.
class ImageWriter {
 public:
  ImageWriter(std::span<const PolicyModel> policies, const ClauseList& list)
      : policies_(policies), list_(list) {}

  /// False when the policy does not fit into an image.
  bool write(Dimensions& dimensions, std::span<const uint8_t> database) {
    const auto allow = pool_.add(dimensions.allow);
    const auto source = write_addresses(dimensions.source_base, dimensions.source);
    const auto destination = write_addresses(dimensions.destination_base, dimensions.destination);
    const auto l4_base = pool_.add(dimensions.l4_base);
    const auto tcp = write_ports(dimensions.tcp);
    const auto udp = write_ports(dimensions.udp);
    const auto app = write_apps(dimensions);
    const auto name = write_names(dimensions, database);
    if (pool_.full()) return false;
    const auto policies = write_policies();
    const auto rules = write_rules();
    const auto clause_rules = write_clause_rules();
    const auto words = fbb_.CreateVector(pool_.words().data(), pool_.words().size());
    const auto summaries = write_summaries();
    const auto sets = write_sets();
    fb::FinishImageBuffer(
        fbb_, fb::CreateImage(fbb_, policies, rules, clause_rules, allow, words, summaries, sets,
                              source, destination, l4_base, tcp, udp, app, name));
    return fbb_.GetSize() <= kMaxImageBytes - ImageHeader::kBytes;
  }

  std::span<const uint8_t> bytes() const { return {fbb_.GetBufferPointer(), fbb_.GetSize()}; }

 private:
  flatbuffers::Offset<fb::AddressMap> write_addresses(const std::vector<uint32_t>& base,
                                                      Addresses& addresses) {
    const auto base_set = pool_.add(base);
    const auto lookup = addresses.build(pool_);
    std::vector<fb::Address> starts;
    starts.reserve(lookup.starts.size());
    for (const AddressKey& key : lookup.starts) starts.emplace_back(key.high, key.low);
    const auto starts_at = fbb_.CreateVectorOfStructs(starts);
    return fb::CreateAddressMap(fbb_, base_set, starts_at, fbb_.CreateVector(lookup.sets));
  }

  flatbuffers::Offset<fb::PortMap> write_ports(Ports& ports) {
    const auto lookup = ports.build(pool_);
    const auto starts = fbb_.CreateVector(lookup.starts);
    return fb::CreatePortMap(fbb_, starts, fbb_.CreateVector(lookup.sets));
  }

  flatbuffers::Offset<fb::AppMap> write_apps(const Dimensions& dimensions) {
    std::vector<uint32_t> sets;
    sets.reserve(dimensions.apps.size());
    for (const auto& clauses : dimensions.apps) sets.push_back(pool_.add(clauses));
    const auto base = pool_.add(dimensions.app_base);
    const auto constrained = pool_.add(dimensions.app_constrained);
    return fb::CreateAppMap(fbb_, base, constrained, fbb_.CreateVector(sets));
  }

  flatbuffers::Offset<fb::NameMap> write_names(const Dimensions& dimensions,
                                               std::span<const uint8_t> database) {
    std::vector<uint32_t> sets;
    sets.reserve(dimensions.literals.size());
    for (const auto& [literal, clauses] : dimensions.literals) sets.push_back(pool_.add(clauses));
    const auto base = pool_.add(dimensions.name_base);
    const auto constrained = pool_.add(dimensions.name_constrained);
    const auto literal_sets = fbb_.CreateVector(sets);
    const auto database_at = fbb_.CreateVector(database.data(), database.size());
    return fb::CreateNameMap(fbb_, base, constrained, literal_sets, database_at);
  }

  flatbuffers::Offset<flatbuffers::Vector<flatbuffers::Offset<flatbuffers::String>>>
  write_policies() {
    std::vector<flatbuffers::Offset<flatbuffers::String>> names;
    names.reserve(policies_.size());
    for (const PolicyModel& policy : policies_) names.push_back(fbb_.CreateString(policy.name));
    return fbb_.CreateVector(names);
  }

  flatbuffers::Offset<flatbuffers::Vector<flatbuffers::Offset<fb::Rule>>> write_rules() {
    std::vector<flatbuffers::Offset<fb::Rule>> rules;
    rules.reserve(list_.rules.size());
    for (const ClauseList::Rule& rule : list_.rules) {
      const auto action =
          rule.model->action == Verdict::allow ? fb::Action::allow : fb::Action::deny;
      const auto name = fbb_.CreateString(rule.model->name);
      rules.push_back(fb::CreateRule(fbb_, rule.policy, name, action));
    }
    return fbb_.CreateVector(rules);
  }

  flatbuffers::Offset<flatbuffers::Vector<uint32_t>> write_clause_rules() {
    std::vector<uint32_t> rules;
    rules.reserve(list_.clauses.size());
    for (const Clause& clause : list_.clauses) rules.push_back(clause.rule);
    return fbb_.CreateVector(rules);
  }

  flatbuffers::Offset<flatbuffers::Vector<const fb::Summary*>> write_summaries() {
    std::vector<fb::Summary> out;
    out.reserve(pool_.summaries().size());
    for (const auto& summary : pool_.summaries()) out.emplace_back(summary.bits, summary.words, 0);
    return fbb_.CreateVectorOfStructs(out);
  }

  flatbuffers::Offset<flatbuffers::Vector<const fb::Set*>> write_sets() {
    std::vector<fb::Set> out;
    out.reserve(pool_.sets().size());
    for (const auto& set : pool_.sets()) out.emplace_back(set.summary, set.first, set.count);
    return fbb_.CreateVectorOfStructs(out);
  }

  std::span<const PolicyModel> policies_;
  const ClauseList& list_;
  SetPool pool_;
  flatbuffers::FlatBufferBuilder fbb_;
};

std::vector<Diagnostic> refusal(std::span<const SourceFile> sources, std::string message,
                                std::string hint) {
  return {{sources.front().name, 0, 0, "E026", std::move(message), std::move(hint)}};
}

}  // namespace

std::expected<CompiledPolicy, std::vector<Diagnostic>> compile_policy(
    std::span<const SourceFile> sources) {
  const auto policies = load_policies(sources);
  if (!policies) return std::unexpected(policies.error());
  const ClauseList list = expand_clauses(*policies);
  if (list.rules.size() > kMaxRules || list.clauses.size() > kMaxClauses) {
    return std::unexpected(refusal(sources, "the policy has too many rules", "merge rules"));
  }
  Dimensions dimensions;
  for (uint32_t id = 0; id < list.clauses.size(); ++id)
    add_clause(list.clauses[id], id, dimensions);

  std::vector<std::string> literals;
  literals.reserve(dimensions.literals.size());
  for (const auto& [literal, clauses] : dimensions.literals) literals.push_back(literal);
  const auto database = compile_names(literals);
  if (!database) {
    return std::unexpected(refusal(sources, "the names do not compile: " + database.error(), ""));
  }
  ImageWriter writer(*policies, list);
  if (!writer.write(dimensions, *database)) {
    return std::unexpected(refusal(sources, "the compiled policy is too large",
                                   "use fewer overlapping cidrs and ports"));
  }
  return CompiledPolicy{.image = seal_image(writer.bytes()),
                        .revision = payload_revision(writer.bytes()),
                        .documents = static_cast<uint32_t>(policies->size()),
                        .rules = static_cast<uint32_t>(list.rules.size()),
                        .names = static_cast<uint32_t>(literals.size())};
}

}  // namespace sallyport
