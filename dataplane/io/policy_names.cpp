#include "dataplane/io/policy_names.h"

#include <utility>

namespace sallyport {
namespace {

// More than one feed may hold; what they come to in memory is bounded by this.
constexpr size_t kMostAddressesKept = size_t{1} << 20;

/// What holds for `generation`: the last that began with it or before.
template <typename Map>
typename Map::const_iterator holding(const Map& map, uint32_t generation) {
  const auto behind = map.upper_bound(generation);
  return behind == map.begin() ? map.end() : std::prev(behind);
}

std::vector<PolicyNames::Found> rules_of(const PolicyTable& table) {
  std::vector<PolicyNames::Found> out;
  out.reserve(table.rule_count());
  for (uint32_t i = 0; i < table.rule_count(); ++i) {
    const RuleInfo rule = table.rule(i);
    out.push_back({.revision = table.revision(),
                   .policy = std::string(rule.policy),
                   .rule = std::string(rule.name),
                   .tier = rule.terms.tier,
                   .mode = rule.terms.mode});
  }
  return out;
}

void drop_oldest(std::map<uint32_t, std::shared_ptr<const IdentityFeed>>& feeds) {
  size_t addresses = 0;
  for (const auto& [generation, feed] : feeds) addresses += feed ? feed->entries.size() : 0;
  while (feeds.size() > 1 &&
         (feeds.size() > PolicyNames::kFeedsKept || addresses > kMostAddressesKept)) {
    const auto oldest = feeds.begin();
    addresses -= oldest->second ? oldest->second->entries.size() : 0;
    feeds.erase(oldest);
  }
}

}  // namespace

const PolicyNames::Found& PolicyNames::View::rule(uint32_t rule) const noexcept {
  static const Found unknown;
  if (policy_ == nullptr) return unknown;
  return rule < policy_->rules.size() ? policy_->rules[rule] : policy_->none;
}

std::string_view PolicyNames::View::spiffe_id(const IpAddress& inside) const {
  const LabelList* labels = feed_ ? feed_->find(inside) : nullptr;
  return labels != nullptr ? spiffe_id_of(*labels) : std::string_view{};
}

void PolicyNames::add(uint32_t generation, const PolicyTable& table,
                      std::shared_ptr<const IdentityFeed> feed) {
  const bool same_policy =
      !policies_.empty() && policies_.rbegin()->second->none.revision == table.revision();
  std::shared_ptr<const Names> names;
  if (!same_policy) {
    names = std::make_shared<const Names>(
        Names{.none = {.revision = table.revision(), .policy = {}, .rule = {}},
              .rules = rules_of(table)});
  }
  const std::lock_guard lock(mutex_);
  latest_ = generation;
  if (!same_policy) policies_[generation] = std::move(names);
  while (policies_.size() > kPoliciesKept) policies_.erase(policies_.begin());
  if (feeds_.empty() || feeds_.rbegin()->second != feed) feeds_[generation] = std::move(feed);
  drop_oldest(feeds_);
}

void PolicyNames::add_none(uint32_t generation) {
  const std::lock_guard lock(mutex_);
  latest_ = generation;
  policies_[generation] = std::make_shared<const Names>();
}

PolicyNames::View PolicyNames::view(uint32_t generation) const {
  View out;
  const std::lock_guard lock(mutex_);
  if (generation > latest_) return out;
  const auto policy = holding(policies_, generation);
  if (policy != policies_.end()) out.policy_ = policy->second;
  const auto feed = holding(feeds_, generation);
  if (feed != feeds_.end()) out.feed_ = feed->second;
  return out;
}

PolicyNames::Found PolicyNames::find(uint32_t generation, uint32_t rule) const {
  return view(generation).rule(rule);
}

std::string PolicyNames::spiffe_id(uint32_t generation, const IpAddress& inside) const {
  return std::string(view(generation).spiffe_id(inside));
}

}  // namespace sallyport
