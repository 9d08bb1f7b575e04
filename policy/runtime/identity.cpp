#include "policy/runtime/identity.h"

#include <algorithm>
#include <map>

namespace sallyport {

const LabelList* IdentityFeed::find(const IpAddress& address) const noexcept {
  const auto at = std::ranges::lower_bound(entries, address, {}, &Entry::address);
  if (at == entries.end() || at->address != address) return nullptr;
  return &label_lists[at->labels];
}

IdentityFeed make_identity_feed(std::span<const Identity> identities) {
  std::map<IpAddress, const LabelList*> by_address;
  for (const Identity& identity : identities) by_address[identity.address] = &identity.labels;
  std::map<LabelList, uint32_t> numbers;
  std::vector<std::map<LabelList, uint32_t>::const_iterator> lists;
  lists.reserve(by_address.size());
  for (const auto& [address, labels] : by_address) {
    LabelList sorted = *labels;
    std::ranges::sort(sorted);
    lists.push_back(numbers.try_emplace(std::move(sorted), 0).first);
  }
  IdentityFeed feed;
  for (auto& [labels, number] : numbers) {
    number = static_cast<uint32_t>(feed.label_lists.size());
    feed.label_lists.push_back(labels);
  }
  feed.entries.reserve(by_address.size());
  for (const auto& [address, labels] : by_address) {
    feed.entries.push_back({.address = address, .labels = lists[feed.entries.size()]->second});
  }
  return feed;
}

std::string_view spiffe_id_of(const LabelList& labels) noexcept {
  for (const auto& [key, value] : labels) {
    if (key == kSpiffeIdLabel) return value;
  }
  return {};
}

}  // namespace sallyport
