#include <algorithm>
#include <bit>
#include <limits>

#include "policy/runtime/image_codec.h"
#include "policy/runtime/rule_name.h"
#include "policy/runtime/table_impl.h"

namespace sallyport {
namespace {

class ContentCheck {
 public:
  explicit ContentCheck(const fb::Image& image) noexcept
      : image_(image),
        clauses_(image.clause_rules()->size()),
        words_((clauses_ + 63) / 64),
        summaries_((words_ + 63) / 64),
        sets_(image.sets()->size()) {}

  bool ok() const noexcept {
    return policies_ok() && rules_ok() && clauses_ok() && tiers_ok() && summaries_ok() &&
           sets_ok() && single_sets_ok() && addresses_ok(*image_.source()) &&
           addresses_ok(*image_.destination()) && ports_ok(*image_.tcp()) &&
           ports_ok(*image_.udp()) && times_ok(*image_.time()) && conditions_ok() && values_ok() &&
           patterns_ok();
  }

 private:
  bool policies_ok() const noexcept {
    const auto& policies = *image_.policies();
    return policies.size() <= kMaxRules &&
           std::ranges::all_of(policies, [](const fb::Policy* policy) {
             return is_policy_name(policy->name()->string_view()) &&
                    policy->tier() <= fb::Tier::MAX && policy->mode() <= fb::Mode::MAX;
           });
  }

  bool rules_ok() const noexcept {
    const auto& rules = *image_.rules();
    return rules.size() <= kMaxRules && std::ranges::all_of(rules, [this](const fb::Rule* rule) {
             return rule->policy() < image_.policies()->size() &&
                    is_rule_name(rule->name()->string_view()) &&
                    rule->action() <= fb::Action::MAX && rule->on_deny() <= fb::OnDeny::MAX &&
                    rule->log() <= fb::LogLevel::MAX && rule->binding() <= fb::Binding::MAX &&
                    rule->budget_scope() <= fb::BudgetScope::MAX &&
                    rule->on_exceed() <= fb::OnExceed::MAX;
           });
  }

  bool clauses_ok() const noexcept {
    if (clauses_ > kMaxClauses) return false;
    uint32_t previous = 0;
    for (const uint32_t rule : *image_.clause_rules()) {
      if (rule < previous || rule >= image_.rules()->size()) return false;
      previous = rule;
    }
    return true;
  }

  bool tiers_ok() const noexcept {
    const auto& ends = *image_.tier_ends();
    return ends.size() == static_cast<size_t>(Tier::count_) && std::ranges::is_sorted(ends) &&
           ends.Get(ends.size() - 1) == clauses_;
  }

  bool summaries_ok() const noexcept {
    const uint64_t words = image_.words()->size();
    for (const auto* summary : *image_.summaries()) {
      const auto used = static_cast<uint64_t>(std::popcount(summary->bits()));
      if (uint64_t{summary->words()} + used > words) return false;
    }
    return true;
  }

  bool sets_ok() const noexcept {
    for (const auto* set : *image_.sets()) {
      if (uint64_t{set->summary()} + set->count() > image_.summaries()->size()) return false;
      const uint64_t end = uint64_t{set->first()} + set->count();
      if (end > summaries_) return false;
      if (set->count() > 0 && end == summaries_ && !tail_ok(*set)) return false;
    }
    return true;
  }

  /// No bit at or above clauses_: the answer of an intersection is always a clause.
  bool tail_ok(const fb::Set& set) const noexcept {
    const fb::Summary& last = *image_.summaries()->Get(set.summary() + set.count() - 1);
    const uint32_t top_word = (words_ - 1) % 64;
    if (top_word < 63 && last.bits() >> (top_word + 1) != 0) return false;
    if ((last.bits() >> top_word & 1) == 0) return true;
    const auto rank = static_cast<uint32_t>(std::popcount(last.bits())) - 1;
    const uint64_t word = image_.words()->Get(last.words() + rank);
    const uint32_t top_bit = (clauses_ - 1) % 64;
    return top_bit == 63 || word >> (top_bit + 1) == 0;
  }

  bool indices_ok(const flatbuffers::Vector<uint32_t>& sets) const noexcept {
    for (const uint32_t set : sets) {
      if (set >= sets_) return false;
    }
    return true;
  }

  bool single_sets_ok() const noexcept {
    return image_.passing() < sets_ && image_.passing_unbound() < sets_ &&
           image_.pass_on() < sets_ && image_.bound() < sets_ && image_.l4_base() < sets_ &&
           image_.icmp() < sets_;
  }

  bool addresses_ok(const fb::AddressMap& map) const noexcept {
    const auto& starts = *map.starts();
    if (map.base() >= sets_ || starts.size() == 0 || starts.size() != map.sets()->size()) {
      return false;
    }
    if (starts.Get(0)->high() != 0 || starts.Get(0)->low() != 0) return false;
    for (uint32_t i = 1; i < starts.size(); ++i) {
      const fb::Address& a = *starts.Get(i - 1);
      const fb::Address& b = *starts.Get(i);
      if (a.high() > b.high() || (a.high() == b.high() && a.low() >= b.low())) return false;
    }
    return indices_ok(*map.sets());
  }

  template <typename Key>
  bool intervals_ok(const flatbuffers::Vector<Key>& starts,
                    const flatbuffers::Vector<uint32_t>& sets) const noexcept {
    if (starts.size() == 0 || starts.size() != sets.size() ||
        starts.Get(0) != std::numeric_limits<Key>::min()) {
      return false;
    }
    for (uint32_t i = 1; i < starts.size(); ++i) {
      if (starts.Get(i - 1) >= starts.Get(i)) return false;
    }
    return indices_ok(sets);
  }
  bool ports_ok(const fb::PortMap& map) const noexcept {
    return intervals_ok(*map.starts(), *map.sets());
  }
  bool times_ok(const fb::TimeMap& map) const noexcept {
    return map.base() < sets_ && intervals_ok(*map.starts(), *map.sets());
  }

  /// Each condition has as many sets as there are values or patterns to index them by.
  bool conditions_ok() const noexcept {
    const auto& conditions = *image_.conditions();
    if (conditions.size() != kConditions) return false;
    for (uint32_t kind = 0; kind < kConditions; ++kind) {
      const fb::Condition& condition = *conditions.Get(kind);
      if (condition.base() >= sets_ || condition.constrained() >= sets_ ||
          !indices_ok(*condition.sets()) || !size_ok(kind, condition.sets()->size())) {
        return false;
      }
    }
    return true;
  }

  bool size_ok(uint32_t kind, uint32_t sets) const noexcept {
    switch (kind) {
      case kLabelsCondition:
        return sets == image_.selectors()->size();
      case kAppCondition:
        return sets == static_cast<uint32_t>(AppProtocol::count_);
      case kNameCondition:
        return sets >= image_.name_literal_count();
      case kAlpnsCondition:
        return sets == 2 * uint64_t{image_.alpns()->size()};
      case kJa4Condition:
        return sets == image_.ja4s()->size();
      case kEchCondition:
        return sets == kEchSets;
      case kMethodCondition:
        return sets == image_.methods()->size();
      case kPathCondition:
        return true;
      default:
        return sets == image_.header_patterns()->size();
    }
  }

  /// Values are found by binary search.
  bool values_ok() const noexcept {
    return sorted(*image_.alpns()) && sorted(*image_.ja4s()) && sorted(*image_.methods()) &&
           sorted(*image_.header_names());
  }
  static bool sorted(
      const flatbuffers::Vector<flatbuffers::Offset<flatbuffers::String>>& values) noexcept {
    for (uint32_t i = 1; i < values.size(); ++i) {
      if (values.Get(i - 1)->string_view() >= values.Get(i)->string_view()) return false;
    }
    return true;
  }

  /// A database where there is something to find, and none elsewhere.
  bool patterns_ok() const noexcept {
    const auto& conditions = *image_.conditions();
    const uint32_t literals = image_.name_literal_count();
    const uint32_t names = conditions.Get(kNameCondition)->sets()->size();
    return has(image_.name_literals()) == (literals > 0) &&
           has(image_.name_regexes()) == (names > literals) &&
           has(image_.paths()) == (conditions.Get(kPathCondition)->sets()->size() > 0) &&
           has(image_.headers()) == (image_.header_patterns()->size() > 0) &&
           std::ranges::all_of(*image_.header_patterns(), [this](uint32_t name) {
             return name < image_.header_names()->size();
           });
  }
  static bool has(const flatbuffers::Vector<uint8_t>* database) noexcept {
    return database != nullptr && database->size() > 0;
  }

  const fb::Image& image_;
  uint32_t clauses_;
  uint32_t words_;      ///< Words that cover all clauses.
  uint32_t summaries_;  ///< Summaries that cover all words.
  uint32_t sets_;
};

bool is_aligned(const void* data) noexcept {
  return reinterpret_cast<uintptr_t>(data) % 8 == 0;
}

/// The Verifier checks only the alignment of a vector's length, not of its elements.
bool aligned(const fb::Image& image) noexcept {
  return is_aligned(image.words()->data()) && is_aligned(image.summaries()->Data()) &&
         is_aligned(image.time()->starts()->data()) &&
         is_aligned(image.source()->starts()->Data()) &&
         is_aligned(image.destination()->starts()->Data());
}

}  // namespace

bool check_content(const fb::Image& image) noexcept {
  // Before anything is computed from the number of clauses.
  if (image.clause_rules()->size() > kMaxClauses || !aligned(image)) return false;
  return ContentCheck(image).ok();
}

}  // namespace sallyport
