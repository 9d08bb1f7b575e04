#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "policy/runtime/ip_address.h"

namespace sallyport {

/// Key and value, each key once.
using LabelList = std::vector<std::pair<std::string, std::string>>;

/// One inside address and what the identity feed says of it. A SPIFFE ID is a label, too.
struct Identity {
  IpAddress address;
  LabelList labels;
};

/// The label that holds a workload's SPIFFE ID ("spiffe://cluster.local/ns/train/sa/llm").
inline constexpr const char* kSpiffeIdLabel = "spiffeId";

/// Many identities, with labels that several addresses share kept once.
struct IdentityFeed {
  struct Entry {
    IpAddress address;
    uint32_t labels = 0;  ///< Index into label_lists.
  };
  std::vector<LabelList> label_lists;  ///< Sorted, none twice, each sorted by key.
  std::vector<Entry> entries;          ///< Sorted by address, none twice.

  /// The labels of an address, or nullptr when the feed does not know it.
  const LabelList* find(const IpAddress& address) const noexcept;
};

/// The same content gives the same feed, in whatever order it comes. Of an address given twice the
/// last mention counts.
IdentityFeed make_identity_feed(std::span<const Identity> identities);

/// The SPIFFE ID among `labels`; empty without one.
std::string_view spiffe_id_of(const LabelList& labels) noexcept;

}  // namespace sallyport
