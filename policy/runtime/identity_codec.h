#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <vector>

#include "policy/runtime/identity.h"
#include "policy/runtime/image.h"

namespace sallyport {

/// An identity feed as sallyport-control pushes and stores it (last-good.spids): the 64-byte header
/// of image_codec.h and this payload, all integers little-endian:
///
///   u32 lists | u32 entries
///   list  = u32 labels, and for each: u32 bytes, key, u32 bytes, value
///   entry = 16 bytes of address, u32 index of its list
///
/// Lists, keys within one, and entries are in strictly ascending order, so that the same feed has
/// the same bytes and the same revision.
inline constexpr uint32_t kIdentityFormat = 1;

inline constexpr size_t kMaxFeedBytes = size_t{64} << 20;
inline constexpr uint32_t kMaxFeedAddresses = 1u << 20;
inline constexpr uint32_t kMaxFeedLabels = 1u << 22;  ///< Of all lists together.

/// @return the bytes, or too_large.
std::expected<std::vector<uint8_t>, Refusal> encode_identities(const IdentityFeed& feed);

struct DecodedFeed {
  IdentityFeed feed;
  uint64_t revision = 0;  ///< As that of a policy: see revision_text().
};

/// Verifies every byte: nothing of a feed that does not hold altogether is used.
/// @return the feed, or too_short, too_large, bad_magic, unsupported_format, bad_length,
/// bad_digest,
///         bad_structure (a length or count reaches past the end), bad_content (an order or index
///         does not hold) or no_memory.
std::expected<DecodedFeed, Refusal> decode_identities(std::span<const uint8_t> bytes);

}  // namespace sallyport
