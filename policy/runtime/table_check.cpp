#include <bit>

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
    return rules_ok() && clauses_ok() && summaries_ok() && sets_ok() && map_ok(*image_.source()) &&
           map_ok(*image_.destination()) && ports_ok(*image_.tcp()) && ports_ok(*image_.udp()) &&
           app_ok() && name_ok() && image_.l4_base() < sets_ && image_.allow() < sets_;
  }

 private:
  bool rules_ok() const noexcept {
    const auto& policies = *image_.policies();
    const auto& rules = *image_.rules();
    if (rules.size() > kMaxRules || policies.size() > kMaxRules) return false;
    for (const auto* policy : policies) {
      if (!is_policy_name(policy->string_view())) return false;
    }
    for (const auto* rule : rules) {
      if (rule->policy() >= policies.size() || !is_rule_name(rule->name()->string_view()) ||
          rule->action() > fb::Action::MAX) {
        return false;
      }
    }
    return true;
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

  bool map_ok(const fb::AddressMap& map) const noexcept {
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

  bool ports_ok(const fb::PortMap& map) const noexcept {
    const auto& starts = *map.starts();
    if (starts.size() == 0 || starts.size() != map.sets()->size() || starts.Get(0) != 0) {
      return false;
    }
    for (uint32_t i = 1; i < starts.size(); ++i) {
      if (starts.Get(i - 1) >= starts.Get(i)) return false;
    }
    return indices_ok(*map.sets());
  }

  bool app_ok() const noexcept {
    const fb::AppMap& app = *image_.app();
    return app.base() < sets_ && app.constrained() < sets_ &&
           app.sets()->size() == static_cast<size_t>(AppProtocol::count_) &&
           indices_ok(*app.sets());
  }

  bool name_ok() const noexcept {
    const fb::NameMap& name = *image_.name();
    const bool has_database = name.database() != nullptr && name.database()->size() > 0;
    return name.base() < sets_ && name.constrained() < sets_ && indices_ok(*name.literal_sets()) &&
           has_database == (name.literal_sets()->size() > 0);
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
