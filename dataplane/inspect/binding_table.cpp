#include "dataplane/inspect/binding_table.h"

#include <algorithm>
#include <array>
#include <bit>

#include "dataplane/inspect/siphash.h"

namespace sallyport {
namespace {

constexpr unsigned kTimeBits = 20;
constexpr uint64_t kTimeMask = (uint64_t{1} << kTimeBits) - 1;
constexpr uint64_t kAskedFor = uint64_t{1} << kTimeBits;
constexpr unsigned kTagShift = kTimeBits + 1;
constexpr uint64_t kTagMask = ~uint64_t{0} << kTagShift;
constexpr uint32_t kLongestTtlSeconds = 3600;
constexpr uint32_t kLongestGraceSeconds = 86'400;
constexpr uint32_t kAliasBuckets = 1024;
constexpr uint32_t kSweepSteps = 1024;

// The clock of the entries. It wraps after 12 days: an entry, which lasts two at most, must be gone
// before it would seem to lie ahead again. forget_ended() sees to that.
uint64_t time_of(int64_t unix_seconds) noexcept {
  return static_cast<uint64_t>(unix_seconds) & kTimeMask;
}

// The first second in which it is over. One more than it lasts: its first second was begun already.
uint64_t end_of(int64_t unix_seconds, uint32_t ttl_seconds, uint32_t grace_seconds) noexcept {
  const int64_t lasts = int64_t{std::min(ttl_seconds, kLongestTtlSeconds)} +
                        std::min(grace_seconds, kLongestGraceSeconds);
  return time_of(unix_seconds + lasts + 1);
}

// Seconds from now to the end; 0 or less when it is over.
int64_t left(uint64_t entry, uint64_t now) noexcept {
  constexpr uint64_t kHalf = uint64_t{1} << (kTimeBits - 1);
  const uint64_t ahead = ((entry & kTimeMask) - now) & kTimeMask;
  return ahead < kHalf ? static_cast<int64_t>(ahead)
                       : static_cast<int64_t>(ahead) - static_cast<int64_t>(2 * kHalf);
}

bool is_over(uint64_t entry, uint64_t now) noexcept {
  return left(entry, now) <= 0;
}

/// Of two entries of the same thing what holds longest, and for a rule if either does.
uint64_t merged(uint64_t a, uint64_t b, uint64_t now) noexcept {
  return (left(a, now) >= left(b, now) ? a : b) | ((a | b) & kAskedFor);
}

}  // namespace

BindingTable::BindingTable(uint32_t entries, std::array<uint64_t, 2> key)
    : key_(key),
      bucket_mask_(std::bit_ceil(std::max(entries, 64u)) / kBucket - 1),
      buckets_(std::make_unique<Bucket[]>(bucket_mask_ + 1)),
      aliases_(std::make_unique<AliasBucket[]>(kAliasBuckets)) {}

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

// Of what is asked for by the name of another: a pair without an address.
uint64_t BindingTable::target_hash(uint64_t name) const noexcept {
  SipHash hash(key_);
  hash.word(name);
  return hash.finish();
}

void BindingTable::add(const DnsResponse& response, bool asked_for, int64_t unix_seconds,
                       uint32_t grace_seconds) noexcept {
  const uint64_t name = name_hash(response.name.view());
  const uint64_t now = time_of(unix_seconds);
  const auto terms = [&](uint32_t ttl, bool wanted) {
    return end_of(unix_seconds, ttl, grace_seconds) | (wanted ? kAskedFor : 0);
  };
  std::array<unsigned, 3> counts{};
  const auto count = [&counts](Put result) { ++counts[static_cast<size_t>(result)]; };
  const bool wanted = asked_for || holds(target_hash(name), now);
  unsigned learnt = 0;
  for (const auto& [address, ttl] : response.addresses()) {
    const Put result = put(pair_hash(name, address), now, terms(ttl, wanted));
    learnt += result != Put::crowded_out;
    count(result);
  }
  if (learnt != 0) learnt_.fetch_add(learnt, std::memory_order_relaxed);
  for (const auto& [target, ttl] : response.targets()) {
    const uint64_t to = name_hash(target.view());
    count(put_alias(name, to, now, terms(ttl, asked_for)));
    if (asked_for) count(put(target_hash(to), now, terms(ttl, true)));
  }
  const auto note = [&counts](std::atomic<uint64_t>& total, Put result) {
    const unsigned n = counts[static_cast<size_t>(result)];
    if (n != 0) total.fetch_add(n, std::memory_order_relaxed);
  };
  note(evicted_, Put::evicted);
  note(crowded_out_, Put::crowded_out);
}

/// The place in a bucket for a newcomer that is not there yet: an empty one, one that is over, or
/// the one that is worth least.
struct BindingTable::Room {
  const uint64_t now;
  uint64_t seen = 0;
  int64_t least = INT64_MAX;
  unsigned live = 0;

  /// @return whether this place is the best so far.
  bool offer(uint64_t entry) noexcept {
    int64_t worth = INT64_MIN;
    if (entry != 0 && !is_over(entry, now)) {
      ++live;
      worth = left(entry, now) + ((entry & kAskedFor) != 0 ? int64_t{1} << kTimeBits : 0);
    }
    if (worth >= least) return false;
    least = worth;
    seen = entry;
    return true;
  }
  bool refuses(uint64_t newcomer) const noexcept {
    return (newcomer & kAskedFor) == 0 && live >= kBucket / 2;
  }
  Put result() const noexcept { return least == INT64_MIN ? Put::kept : Put::evicted; }
};

// An entry of the same pair is moved on, never back.
BindingTable::Put BindingTable::put(uint64_t pair, uint64_t now, uint64_t terms) noexcept {
  constexpr int kTries = 4;
  Bucket& bucket = buckets_[pair & bucket_mask_];
  const uint64_t fresh = (pair & kTagMask) | terms;
  for (int i = 0; i < kTries; ++i) {
    Room room{.now = now};
    std::atomic<uint64_t>* same = nullptr;
    std::atomic<uint64_t>* place = nullptr;
    for (std::atomic<uint64_t>& slot : bucket.entries) {
      uint64_t entry = slot.load(std::memory_order_relaxed);
      if (entry != 0 && (entry & kTagMask) == (fresh & kTagMask)) {
        const uint64_t both = merged(fresh, entry, now);
        if (both == entry || slot.compare_exchange_strong(entry, both, std::memory_order_release)) {
          return Put::kept;
        }
        same = &slot;
        break;
      }
      if (room.offer(entry)) place = &slot;
    }
    if (same != nullptr) continue;
    if (room.refuses(fresh)) return Put::crowded_out;
    if (place->compare_exchange_strong(room.seen, fresh, std::memory_order_release)) {
      return room.result();
    }
  }
  return Put::evicted;  // Others write here as fast: this one was pushed out at once.
}

BindingTable::AliasBucket& BindingTable::aliases_of(uint64_t name) const noexcept {
  return aliases_[(name >> kTagShift) % kAliasBuckets];
}

// Of two that write to one place at the same time, one is lost, or both.
BindingTable::Put BindingTable::put_alias(uint64_t name, uint64_t target, uint64_t now,
                                          uint64_t terms) noexcept {
  Room room{.now = now};
  Alias* place = nullptr;
  uint64_t fresh = target | terms;
  bool known = false;
  for (Alias& alias : aliases_of(name).aliases) {
    const uint64_t owner = alias.name.load(std::memory_order_relaxed);
    const uint64_t entry = alias.target.load(std::memory_order_relaxed) ^ owner;
    known = owner == name && (entry & kTagMask) == target;
    if (known) {
      fresh = merged(fresh, entry, now);
      place = &alias;
      break;
    }
    if (room.offer(owner == 0 ? 0 : entry)) place = &alias;
  }
  if (!known && room.refuses(fresh)) return Put::crowded_out;
  place->name.store(name, std::memory_order_relaxed);
  place->target.store(fresh ^ name, std::memory_order_release);
  return known ? Put::kept : room.result();
}

bool BindingTable::holds(uint64_t pair, uint64_t now) const noexcept {
  const Bucket& bucket = buckets_[pair & bucket_mask_];
  return std::ranges::any_of(bucket.entries, [&](const std::atomic<uint64_t>& slot) {
    const uint64_t entry = slot.load(std::memory_order_acquire);
    return entry != 0 && (entry & kTagMask) == (pair & kTagMask) && !is_over(entry, now);
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
  static_assert(kAliasBuckets == kSweepSteps);
  for (Alias& alias : aliases_[swept_aliases_++ % kAliasBuckets].aliases) {
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
  return std::ranges::any_of(aliases_of(own).aliases, [&](const Alias& alias) {
    const uint64_t target = alias.target.load(std::memory_order_acquire) ^ own;
    return alias.name.load(std::memory_order_relaxed) == own && left(target, now) > 0 &&
           holds(pair_hash(target & kTagMask, address), now);
  });
}

}  // namespace sallyport
