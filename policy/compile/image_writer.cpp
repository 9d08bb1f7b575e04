#include "policy/compile/image_writer.h"

#include <algorithm>
#include <set>

#include "policy/runtime/image_codec.h"

namespace sallyport {
namespace {

using Strings = flatbuffers::Offset<flatbuffers::Vector<flatbuffers::Offset<flatbuffers::String>>>;

template <typename To, typename From>
To enum_of(From value) {
  return static_cast<To>(value);
}

class ImageWriter {
 public:
  ImageWriter(const PolicyModels& models, const ClauseList& list, PolicyDimensions& dimensions,
              const Databases& databases)
      : models_(models), list_(list), dimensions_(dimensions), databases_(databases) {}

  std::vector<uint8_t> write() {
    const auto passing = pool_.add(dimensions_.passing);
    const auto passing_unbound = pool_.add(dimensions_.passing_unbound);
    const auto pass_on = pool_.add(dimensions_.pass_on);
    const auto bound = pool_.add(dimensions_.bound);
    const auto source = write_addresses(dimensions_.source_base, dimensions_.source);
    const auto destination = write_addresses(dimensions_.destination_base, dimensions_.destination);
    const auto l4_base = pool_.add(dimensions_.l4_base);
    const auto tcp = write_ports(dimensions_.tcp);
    const auto udp = write_ports(dimensions_.udp);
    const auto icmp = pool_.add(dimensions_.icmp);
    const auto time = write_times();
    const auto conditions = write_conditions();
    const auto selectors = write_selectors();
    const auto alpns = write_keys(dimensions_.conditions[kAlpnsCondition].values);
    const auto ja4s = write_keys(dimensions_.conditions[kJa4Condition].values);
    const auto methods = write_keys(dimensions_.conditions[kMethodCondition].values);
    const auto header_names = write_header_names();
    const auto header_patterns = write_header_patterns();
    const auto policies = write_policies();
    const auto rules = write_rules();
    const auto clause_rules = fbb_.CreateVector(dimensions_.clause_rules);
    const auto tier_ends =
        fbb_.CreateVector(dimensions_.tier_ends.data(), dimensions_.tier_ends.size());
    const auto name_literals = fbb_.CreateVector(databases_.name_literals);
    const auto name_regexes = fbb_.CreateVector(databases_.name_regexes);
    const auto paths = fbb_.CreateVector(databases_.paths);
    const auto headers = fbb_.CreateVector(databases_.headers);
    if (pool_.full()) return {};
    const auto words = fbb_.CreateVector(pool_.words().data(), pool_.words().size());
    const auto summaries = write_summaries();
    const auto sets = write_sets();
    const auto literals =
        static_cast<uint32_t>(dimensions_.conditions[kNameCondition].values.size());
    fb::FinishImageBuffer(
        fbb_,
        fb::CreateImage(fbb_, policies, rules, clause_rules, tier_ends, passing, passing_unbound,
                        pass_on, bound, words, summaries, sets, source, destination, l4_base, tcp,
                        udp, icmp, time, conditions, selectors, alpns, ja4s, methods, header_names,
                        header_patterns, name_literals, name_regexes, literals, paths, headers));
    if (fbb_.GetSize() > kMaxImageBytes - ImageHeader::kBytes) return {};
    return {fbb_.GetBufferPointer(), fbb_.GetBufferPointer() + fbb_.GetSize()};
  }

 private:
  flatbuffers::Offset<fb::AddressMap> write_addresses(const std::vector<uint32_t>& base,
                                                      IntervalMap<AddressKey>& addresses) {
    const auto base_set = pool_.add(base);
    const auto lookup = addresses.build(pool_);
    std::vector<fb::Address> starts;
    starts.reserve(lookup.starts.size());
    for (const AddressKey& key : lookup.starts) starts.emplace_back(key.high, key.low);
    const auto starts_at = fbb_.CreateVectorOfStructs(starts);
    return fb::CreateAddressMap(fbb_, base_set, starts_at, fbb_.CreateVector(lookup.sets));
  }

  flatbuffers::Offset<fb::PortMap> write_ports(IntervalMap<uint16_t>& ports) {
    const auto lookup = ports.build(pool_);
    const auto starts = fbb_.CreateVector(lookup.starts);
    return fb::CreatePortMap(fbb_, starts, fbb_.CreateVector(lookup.sets));
  }

  flatbuffers::Offset<fb::TimeMap> write_times() {
    const auto base = pool_.add(dimensions_.time_base);
    const auto lookup = dimensions_.time.build(pool_);
    const auto starts = fbb_.CreateVector(lookup.starts);
    return fb::CreateTimeMap(fbb_, base, starts, fbb_.CreateVector(lookup.sets));
  }

  std::vector<uint32_t> sets_of(const ValueClauses& values) {
    std::vector<uint32_t> sets;
    sets.reserve(values.size());
    for (const auto& [value, clauses] : values) sets.push_back(pool_.add(clauses));
    return sets;
  }

  uint32_t set_of(const ValueClauses& values, std::string_view value) {
    const auto at = values.find(value);
    return at == values.end() ? pool_.add({}) : pool_.add(at->second);
  }

  /// The sets of one condition, in the order that its facts index them by.
  std::vector<uint32_t> condition_sets(size_t kind) {
    const ValueClauses& values = dimensions_.conditions[kind].values;
    std::vector<uint32_t> sets;
    switch (kind) {
      case kAppCondition:
        for (size_t app = 0; app < static_cast<size_t>(AppProtocol::count_); ++app) {
          sets.push_back(set_of(values, to_string(static_cast<AppProtocol>(app))));
        }
        return sets;
      case kEchCondition:
        return {set_of(values, "without"), set_of(values, "with")};
      case kNameCondition: {
        sets = sets_of(values);
        const auto regexes = sets_of(dimensions_.name_regexes);
        sets.insert(sets.end(), regexes.begin(), regexes.end());
        return sets;
      }
      case kAlpnsCondition:
        for (const auto& [alpn, clauses] : values) {
          sets.push_back(pool_.add(clauses));
          sets.push_back(set_of(dimensions_.alpns_all, alpn));
        }
        return sets;
      default:
        if (kind < kHeaderCondition) return sets_of(values);
        for (const std::string& pattern : header_patterns(dimensions_)) {
          sets.push_back(set_of(values, pattern));
        }
        return sets;
    }
  }

  flatbuffers::Offset<flatbuffers::Vector<flatbuffers::Offset<fb::Condition>>> write_conditions() {
    std::vector<flatbuffers::Offset<fb::Condition>> out;
    for (size_t kind = 0; kind < kConditions; ++kind) {
      const auto base = pool_.add(dimensions_.conditions[kind].base);
      const auto constrained = pool_.add(dimensions_.conditions[kind].constrained);
      const auto sets = fbb_.CreateVector(condition_sets(kind));
      out.push_back(fb::CreateCondition(fbb_, base, constrained, sets));
    }
    return fbb_.CreateVector(out);
  }

  flatbuffers::Offset<flatbuffers::Vector<flatbuffers::Offset<fb::Selector>>> write_selectors() {
    std::vector<flatbuffers::Offset<fb::Selector>> out;
    for (const auto& [key, clauses] : dimensions_.conditions[kLabelsCondition].values) {
      std::vector<std::string> labels;
      for (size_t at = 0; at < key.size(); at = key.find('\0', at) + 1) {
        labels.push_back(key.substr(at, key.find('\0', at) - at));
      }
      const auto labels_at = fbb_.CreateVectorOfStrings(labels);
      out.push_back(fb::CreateSelector(fbb_, labels_at));
    }
    return fbb_.CreateVector(out);
  }

  Strings write_keys(const ValueClauses& values) {
    std::vector<std::string> keys;
    keys.reserve(values.size());
    for (const auto& [key, clauses] : values) keys.push_back(key);
    return fbb_.CreateVectorOfStrings(keys);
  }

  std::vector<std::string> header_names() const {
    std::set<std::string> names;
    for (const std::string& key : header_patterns(dimensions_)) {
      names.insert(key.substr(0, key.find('\0')));
    }
    return {names.begin(), names.end()};
  }

  Strings write_header_names() { return fbb_.CreateVectorOfStrings(header_names()); }

  flatbuffers::Offset<flatbuffers::Vector<uint32_t>> write_header_patterns() {
    const auto names = header_names();
    std::vector<uint32_t> out;
    for (const std::string& key : header_patterns(dimensions_)) {
      const auto at = std::ranges::lower_bound(names, key.substr(0, key.find('\0')));
      out.push_back(static_cast<uint32_t>(at - names.begin()));
    }
    return fbb_.CreateVector(out);
  }

  flatbuffers::Offset<flatbuffers::Vector<flatbuffers::Offset<fb::Policy>>> write_policies() {
    std::vector<flatbuffers::Offset<fb::Policy>> out;
    for (const PolicyModel& policy : models_.policies) {
      const auto name = fbb_.CreateString(policy.name);
      out.push_back(fb::CreatePolicy(fbb_, name, enum_of<fb::Tier>(policy.tier),
                                     enum_of<fb::Mode>(policy.mode)));
    }
    return fbb_.CreateVector(out);
  }

  flatbuffers::Offset<flatbuffers::Vector<flatbuffers::Offset<fb::Rule>>> write_rules() {
    std::vector<flatbuffers::Offset<fb::Rule>> out;
    out.reserve(list_.rules.size());
    for (const ClauseList::Rule& rule : list_.rules) {
      const RuleTerms& terms = rule.model->terms;
      const auto name = fbb_.CreateString(rule.model->name);
      out.push_back(
          fb::CreateRule(fbb_, rule.policy, name, enum_of<fb::Action>(terms.action),
                         enum_of<fb::OnDeny>(terms.on_deny), enum_of<fb::LogLevel>(terms.log),
                         enum_of<fb::Binding>(terms.binding), terms.budget.bytes_out,
                         terms.budget.window_seconds, enum_of<fb::BudgetScope>(terms.budget.scope),
                         enum_of<fb::OnExceed>(terms.budget.on_exceed)));
    }
    return fbb_.CreateVector(out);
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

  const PolicyModels& models_;
  const ClauseList& list_;
  PolicyDimensions& dimensions_;
  const Databases& databases_;
  SetPool pool_;
  flatbuffers::FlatBufferBuilder fbb_;
};

}  // namespace

std::vector<uint8_t> write_payload(const PolicyModels& models, const ClauseList& list,
                                   PolicyDimensions& dimensions, const Databases& databases) {
  return ImageWriter(models, list, dimensions, databases).write();
}

}  // namespace sallyport
