#pragma once

#include <cstdint>
#include <cstring>

#include "dataplane/inspect/flow.h"

namespace sallyport {

/// One hash a packet serves the worker that owns its flow and the bucket of that worker's table.
/// Keyed by a secret seed, or a workload could aim its flows at one bucket and crowd others out: a
/// CRC, however seeded, collides for the same pairs of keys every time.
class FlowHash {
 public:
  // A factor of zero would wipe out the other: not for a seed of zero and an IPv4 address, whose
  // first eight bytes are zero.
  explicit FlowHash(uint64_t seed) noexcept : seed_(seed ^ 0x452821e638d01377) {}

  uint64_t operator()(const FlowKey& key) const noexcept {
    uint64_t words[5];
    static_assert(sizeof words == sizeof key);
    std::memcpy(words, &key, sizeof words);
    // Odd constants without structure (digits of pi), so that zero words still mix.
    uint64_t hash = fold(words[0] ^ seed_, words[1] ^ 0x243f6a8885a308d3);
    hash = fold(words[2] ^ hash, words[3] ^ 0x13198a2e03707345);
    return fold(words[4] ^ hash, seed_ ^ 0xa4093822299f31d1);
  }

  /// For the table's buckets, and for the owner: apart, so that a worker's flows fill all buckets.
  static uint32_t bucket_part(uint64_t hash) noexcept { return static_cast<uint32_t>(hash); }
  static uint32_t owner_part(uint64_t hash) noexcept { return static_cast<uint32_t>(hash >> 32); }

 private:
  // Both halves of a 128-bit product: each bit of the result hangs on all bits of both factors.
  static uint64_t fold(uint64_t a, uint64_t b) noexcept {
    __extension__ using Wide = unsigned __int128;
    const Wide product = static_cast<Wide>(a) * b;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  }

  uint64_t seed_;
};

}  // namespace sallyport
