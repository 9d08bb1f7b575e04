#include "dataplane/inspect/binding_table.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

namespace sallyport {
namespace {

constexpr unsigned kTimeBits = 20;
constexpr uint64_t kTimeMask = (uint64_t{1} << kTimeBits) - 1;
constexpr uint64_t kTagMask = ~kTimeMask;
constexpr uint32_t kLongestTtlSeconds = 86'400;
constexpr uint32_t kAliases = 4096;
constexpr uint32_t kSweepSteps = 1024;

// The clock of the entries. It wraps after 12 days: an entry, which lasts two at most, must be gone
// before it would seem to lie ahead again. forget_ended() sees to that.
uint64_t time_of(int64_t unix_seconds) noexcept {
  return static_cast<uint64_t>(unix_seconds) & kTimeMask;
}

// The first second in which it is over. One more than it lasts: its first second was begun already.
uint64_t end_of(int64_t unix_seconds, uint32_t ttl_seconds, uint32_t grace_seconds) noexcept {
  const int64_t lasts = int64_t{std::min(ttl_seconds, kLongestTtlSeconds)} +
                        std::min(grace_seconds, kLongestTtlSeconds);
  return time_of(unix_seconds + lasts + 1);
}

// Seconds from now to the end; 0 or less when it is over.
int64_t left(uint64_t entry, uint64_t now) noexcept {
  constexpr uint64_t kHalf = uint64_t{1} << (kTimeBits - 1);
  const uint64_t ahead = ((entry & kTimeMask) - now) & kTimeMask;
  return ahead < kHalf ? static_cast<int64_t>(ahead)
                       : static_cast<int64_t>(ahead) - static_cast<int64_t>(2 * kHalf);
}

/// SipHash-2-4 (Aumasson, Bernstein 2012).
class SipHash {
 public:
  explicit SipHash(const std::array<uint64_t, 2>& key) noexcept
      : v_{key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d, key[0] ^ 0x6c7967656e657261,
           key[1] ^ 0x7465646279746573} {}

  void word(uint64_t value) noexcept {
    v_[3] ^= value;
    round();
    round();
    v_[0] ^= value;
  }
  void text(std::string_view bytes) noexcept {
    size_t at = 0;
    for (; bytes.size() - at >= 8; at += 8) word(load(bytes.substr(at, 8)));
    word(load(bytes.substr(at)) | uint64_t{bytes.size()} << 56);
  }
  uint64_t finish() noexcept {
    v_[2] ^= 0xff;
    for (int i = 0; i < 4; ++i) round();
    return v_[0] ^ v_[1] ^ v_[2] ^ v_[3];
  }

 private:
  static uint64_t load(std::string_view bytes) noexcept {
    uint64_t value = 0;
    std::memcpy(&value, bytes.data(), bytes.size());
    return value;
  }
  void round() noexcept {
    v_[0] += v_[1], v_[1] = std::rotl(v_[1], 13) ^ v_[0], v_[0] = std::rotl(v_[0], 32);
    v_[2] += v_[3], v_[3] = std::rotl(v_[3], 16) ^ v_[2];
    v_[0] += v_[3], v_[3] = std::rotl(v_[3], 21) ^ v_[0];
    v_[2] += v_[1], v_[1] = std::rotl(v_[1], 17) ^ v_[2], v_[2] = std::rotl(v_[2], 32);
  }

  std::array<uint64_t, 4> v_;
};

}  // namespace

BindingTable::BindingTable(uint32_t entries, std::array<uint64_t, 2> key)
    : key_(key),
      bucket_mask_(std::bit_ceil(std::max(entries, 64u)) / kBucket - 1),
      buckets_(std::make_unique<Bucket[]>(bucket_mask_ + 1)),
      aliases_(std::make_unique<Alias[]>(kAliases)) {}

// Of the width of a tag, so that it fits an Alias.
uint64_t BindingTable::name_hash(std::string_view name) const noexcept {
  SipHash hash(key_);
  hash.text(name);
  return hash.finish() & kTagMask;
}

uint64_t BindingTable::pair_hash(uint64_t name, const IpAddress& address) const noexcept {
  SipHash hash(key_);
  hash.word(name);
  hash.text({reinterpret_cast<const char*>(address.bytes.data()), address.bytes.size()});
  return hash.finish();
}

void BindingTable::add(const DnsResponse& response, int64_t unix_seconds,
                       uint32_t grace_seconds) noexcept {
  const uint64_t name = name_hash(response.name.view());
  unsigned evicted = 0;
  for (const auto& [address, ttl] : response.addresses()) {
    evicted += !put(pair_hash(name, address), time_of(unix_seconds),
                    end_of(unix_seconds, ttl, grace_seconds));
  }
  for (const auto& [target, ttl] : response.targets()) {
    Alias& alias = aliases_[(name >> kTimeBits) % kAliases];
    const uint64_t end = end_of(unix_seconds, ttl, grace_seconds);
    alias.name.store(name, std::memory_order_relaxed);
    alias.target.store((name_hash(target.view()) | end) ^ name, std::memory_order_release);
  }
  learnt_.fetch_add(response.address_count, std::memory_order_relaxed);
  if (evicted != 0) evicted_.fetch_add(evicted, std::memory_order_relaxed);
}

// An entry of the same pair is moved on, never back; else one that is over, or ends first, goes.
// @return false when one that was not over had to make room.
bool BindingTable::put(uint64_t pair, uint64_t now, uint64_t end) noexcept {
  constexpr int kTries = 4;
  Bucket& bucket = buckets_[pair & bucket_mask_];
  const uint64_t fresh = (pair & kTagMask) | end;
  for (int i = 0; i < kTries; ++i) {
    std::atomic<uint64_t>* place = nullptr;
    uint64_t seen = 0;
    int64_t least = INT64_MAX;
    for (std::atomic<uint64_t>& slot : bucket.entries) {
      const uint64_t entry = slot.load(std::memory_order_relaxed);
      const bool same = entry != 0 && (entry & kTagMask) == (fresh & kTagMask);
      if (same && left(entry, now) >= left(fresh, now)) return true;
      const int64_t units = entry == 0 || same ? INT64_MIN : left(entry, now);
      if (units < least) least = units, seen = entry, place = &slot;
      if (same) break;
    }
    if (place->compare_exchange_strong(seen, fresh, std::memory_order_release)) {
      return least <= 0;
    }
  }
  return false;  // Others write here as fast: this one was pushed out at once.
}

bool BindingTable::holds(uint64_t pair, uint64_t now) const noexcept {
  const Bucket& bucket = buckets_[pair & bucket_mask_];
  return std::ranges::any_of(bucket.entries, [&](const std::atomic<uint64_t>& slot) {
    const uint64_t entry = slot.load(std::memory_order_acquire);
    return entry != 0 && (entry & kTagMask) == (pair & kTagMask) && left(entry, now) > 0;
  });
}

void BindingTable::forget_ended(int64_t unix_seconds) noexcept {
  const uint64_t now = time_of(unix_seconds);
  const uint32_t buckets = (bucket_mask_ + kSweepSteps) / kSweepSteps;
  for (uint32_t i = 0; i < buckets; ++i) {
    for (std::atomic<uint64_t>& slot : buckets_[swept_++ & bucket_mask_].entries) {
      uint64_t entry = slot.load(std::memory_order_relaxed);
      if (entry == 0 || left(entry, now) > 0) continue;
      slot.compare_exchange_strong(entry, 0, std::memory_order_relaxed);
    }
  }
  for (uint32_t i = 0; i < kAliases / kSweepSteps; ++i) {
    Alias& alias = aliases_[swept_aliases_++ % kAliases];
    uint64_t seen = alias.target.load(std::memory_order_relaxed);
    const uint64_t target = seen ^ alias.name.load(std::memory_order_relaxed);
    if (left(target, now) > 0) continue;
    // Over, and for as long as the clock takes to wrap from now on. A writer that comes first wins.
    alias.target.compare_exchange_strong(seen, (seen & kTagMask) | now, std::memory_order_relaxed);
  }
}

bool BindingTable::is_bound(std::string_view name, const IpAddress& address,
                            int64_t unix_seconds) const noexcept {
  const uint64_t now = time_of(unix_seconds);
  const uint64_t own = name_hash(name);
  if (holds(pair_hash(own, address), now)) return true;
  const Alias& alias = aliases_[(own >> kTimeBits) % kAliases];
  const uint64_t target = alias.target.load(std::memory_order_acquire) ^ own;
  if (alias.name.load(std::memory_order_relaxed) != own || left(target, now) <= 0) return false;
  return holds(pair_hash(target & kTagMask, address), now);
}

}  // namespace sallyport
