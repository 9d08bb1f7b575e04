#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#include "dataplane/inspect/flow.h"
#include "dataplane/inspect/fragment.h"

namespace sallyport {

/// One hash a packet serves the worker that owns its flow and the bucket of that worker's table.
/// Keyed by a secret seed, or a workload could aim its flows at one bucket and crowd others out: a
/// CRC, however seeded, collides for the same pairs of keys every time.
class FlowHash {
 public:
  explicit FlowHash(uint64_t seed) noexcept {
    for (uint64_t& secret : secrets_) secret = next_secret(seed);
  }

  uint64_t operator()(const FlowKey& key) const noexcept { return hash_memory(key); }
  /// Chooses the worker that collects a datagram's fragments.
  uint64_t operator()(const FragmentKey& key) const noexcept { return hash_memory(key); }

  /// For the table's buckets, and for the owner: apart, so that a worker's flows fill all buckets.
  static uint32_t bucket_part(uint64_t hash) noexcept { return static_cast<uint32_t>(hash); }
  static uint32_t owner_part(uint64_t hash) noexcept { return static_cast<uint32_t>(hash >> 32); }

 private:
  // Each word meets a secret of its own before it becomes a factor: a factor that an attacker could
  // make zero would wipe out the other, and all that was hashed before it.
  template <typename Key>
  uint64_t hash_memory(const Key& key) const noexcept {
    uint64_t words[5];
    static_assert(sizeof words == sizeof key);
    std::memcpy(words, &key, sizeof words);
    uint64_t hash = fold(words[0] ^ secrets_[0], words[1] ^ secrets_[1]);
    hash = fold(words[2] ^ secrets_[2], words[3] ^ secrets_[3]) ^ std::rotl(hash, 23);
    hash = fold(words[4] ^ secrets_[4], hash ^ secrets_[5]) ^ hash;
    // Once more: ports that follow one another would still show in the product above.
    return fold(hash, secrets_[0] | 1);
  }

  // Both halves of a 128-bit product: each bit of the result hangs on all bits of both factors.
  static uint64_t fold(uint64_t a, uint64_t b) noexcept {
    __extension__ using Wide = unsigned __int128;
    const Wide product = static_cast<Wide>(a) * b;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  }

  // SplitMix64 (Steele, Lea and Flood 2014): independent words from one seed.
  static uint64_t next_secret(uint64_t& state) noexcept {
    state += 0x9e3779b97f4a7c15;
    uint64_t word = (state ^ state >> 30) * 0xbf58476d1ce4e5b9;
    word = (word ^ word >> 27) * 0x94d049bb133111eb;
    return word ^ word >> 31;
  }

  uint64_t secrets_[6];
};

}  // namespace sallyport
