#include "dataplane/inspect/budget_ledger.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <thread>

namespace sallyport {
namespace {

constexpr uint64_t kFree = 0;
constexpr uint64_t kFreed = 1;

// An account is one word, so that a window and its bytes change together: 1 bit that is set once
// there is a count, 10 bits of the window's number, 53 of bytes.
constexpr unsigned kByteBits = 53;
constexpr uint64_t kBytesMask = (uint64_t{1} << kByteBits) - 1;
constexpr uint64_t kCounted = uint64_t{1} << 63;
constexpr int64_t kWindows = 1 << 10;
constexpr uint64_t kNothing = 0;
constexpr uint64_t kDead = 1;  // to be freed, unless somebody asks for it first
constexpr uint64_t kGone = 2;  // being freed
static_assert(BudgetLedger::kMostBytes == kBytesMask);

struct Account {
  int64_t window = 0;
  uint64_t bytes = 0;
};

/// `account` as of `window`, the present one. A later window than that stands: some other core's
/// clock was read a moment later, or the clock was set back.
Account account_at(uint64_t account, int64_t window) noexcept {
  if ((account & kCounted) == 0) return {.window = window};
  const auto number = static_cast<int64_t>(account >> kByteBits) & (kWindows - 1);
  int64_t ahead = (number - window) & (kWindows - 1);
  if (ahead >= kWindows / 2) ahead -= kWindows;
  if (ahead < 0) return {.window = window};
  return {.window = window + ahead, .bytes = account & kBytesMask};
}

uint64_t pack(const Account& account) noexcept {
  const auto number = static_cast<uint64_t>(account.window & (kWindows - 1));
  return kCounted | number << kByteBits | account.bytes;
}

uint64_t limit_of(const BudgetTerms& terms) noexcept {
  return std::min(terms.limit, BudgetLedger::kMostBytes);
}

uint64_t fold(uint64_t a, uint64_t b) noexcept {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

// Each word meets the secret that went before it; the length keeps neighbours apart.
uint64_t mix(uint64_t hash, const void* data, size_t bytes) noexcept {
  constexpr uint64_t kOdd = 0x9e3779b97f4a7c15;
  const auto* at = static_cast<const uint8_t*>(data);
  hash = fold(hash ^ bytes, kOdd);
  for (; bytes > 0;) {
    uint64_t word = 0;
    const size_t now = std::min(bytes, sizeof word);
    std::memcpy(&word, at, now);
    hash = fold(hash ^ word, kOdd) ^ std::rotl(hash, 23);
    at += now;
    bytes -= now;
  }
  return hash;
}

void pause() noexcept {
  __builtin_ia32_pause();
}

template <size_t N>
void put_text(std::array<char, N>& out, std::string_view text) noexcept {
  out.fill(0);
  text.copy(out.data(), N - 1);
}

}  // namespace

BudgetLedger::BudgetLedger(uint32_t entries, unsigned workers, uint64_t seed)
    : most_(std::clamp(entries, 1u, kMostEntries)),
      workers_(std::max(workers, 1u)),
      seed_(seed | 1),
      mask_(std::bit_ceil(2 * most_) - 1),
      places_(std::make_unique<Place[]>(places())),
      descriptions_(std::make_unique<Description[]>(places())) {}

uint64_t BudgetLedger::tag_of(const BudgetKey& key) const noexcept {
  uint64_t hash = mix(seed_, key.policy.data(), key.policy.size());
  hash = mix(hash, key.rule.data(), key.rule.size());
  hash = mix(hash, key.labels.data(), key.labels.size());
  hash = mix(hash, key.source.bytes.data(), key.source.bytes.size());
  const uint64_t rest = uint64_t{key.window_seconds} << 8 | static_cast<uint64_t>(key.scope);
  return mix(hash, &rest, sizeof rest) | 2;
}

BudgetHandle BudgetLedger::handle_of(uint32_t place) const noexcept {
  const uint32_t generation = places_[place].generation.load(std::memory_order_acquire);
  return generation % kGenerations * kMostPlaces + place;
}

// @return places() when it is not there.
uint32_t BudgetLedger::find(uint64_t tag) const noexcept {
  for (uint32_t i = 0; i <= mask_; ++i) {
    const uint32_t place = (static_cast<uint32_t>(tag >> 32) + i) & mask_;
    const uint64_t there = places_[place].tag.load(std::memory_order_acquire);
    if (there == tag) return place;
    if (there == kFree) break;
  }
  return places();
}

// Two workers that begin the same count meet at the same place, the first free one: none becomes
// free while any is at it. See free_dying().
BudgetLedger::Begin BudgetLedger::begin(uint64_t tag, const BudgetKey& key) noexcept {
  if (!has_room()) return Begin::full;
  beginning_.fetch_add(1, std::memory_order_seq_cst);
  const bool closed = closed_.load(std::memory_order_seq_cst);
  const Begin result = closed ? Begin::not_now : insert(tag, key);
  beginning_.fetch_sub(1, std::memory_order_release);
  return result;
}

BudgetLedger::Begin BudgetLedger::insert(uint64_t tag, const BudgetKey& key) noexcept {
  if (find(tag) != places()) return Begin::begun;  // Behind a place that was not free then.
  for (uint32_t i = 0; i <= mask_; ++i) {
    const uint32_t place = (static_cast<uint32_t>(tag >> 32) + i) & mask_;
    std::atomic<uint64_t>& there = places_[place].tag;
    uint64_t found = there.load(std::memory_order_acquire);
    if (found <= kFreed && there.compare_exchange_strong(found, tag, std::memory_order_acq_rel)) {
      live_.fetch_add(1, std::memory_order_relaxed);
      describe(place, key);
      return Begin::begun;
    }
    if (found == tag) return Begin::begun;
  }
  return Begin::full;
}

void BudgetLedger::describe(uint32_t place, const BudgetKey& key) noexcept {
  Description& out = descriptions_[place];
  put_text(out.policy, key.policy);
  put_text(out.rule, key.rule);
  put_text(out.labels, key.labels);
  out.source = key.source;
  out.window_seconds = key.window_seconds;
  out.scope = key.scope;
  places_[place].described.store(true, std::memory_order_release);
}

// What is dead lives again when it is asked for. Entries are freed a few at a time, in a
// microsecond or two: to look again is all the waiting there is, and it has an end.
BudgetHandle BudgetLedger::open(const BudgetKey& key, uint64_t limit) noexcept {
  constexpr int kTries = 256;
  const uint64_t tag = tag_of(key);
  for (int i = 0; i < kTries; ++i) {
    const uint32_t place = find(tag);
    if (place == places()) {
      const Begin result = begin(tag, key);
      if (result == Begin::full) return kNoBudget;
      if (result == Begin::not_now) pause();
      continue;
    }
    Place& at = places_[place];
    // Read first: one that is freed behind this line is another's when it comes back.
    const BudgetHandle handle = handle_of(place);
    uint64_t account = at.account.load(std::memory_order_acquire);
    if (account == kDead &&
        at.account.compare_exchange_strong(account, kNothing, std::memory_order_acq_rel)) {
      account = kNothing;
    }
    if (account == kGone || at.tag.load(std::memory_order_acquire) != tag) {
      pause();
      continue;
    }
    if (at.limit.load(std::memory_order_relaxed) != limit) {
      at.limit.store(limit, std::memory_order_relaxed);
    }
    return handle;
  }
  return kNoBudget;
}

bool BudgetLedger::is_stale(BudgetHandle handle, uint64_t account) const noexcept {
  return account == kDead || account == kGone || handle_of(place_of(handle)) != handle;
}

BudgetLedger::Lease BudgetLedger::take(BudgetHandle handle, const BudgetTerms& terms, int64_t now,
                                       uint64_t least) noexcept {
  // The smaller the rest, the smaller the share: what a core that falls idle keeps is little.
  const uint64_t shares = uint64_t{4} * workers_;
  std::atomic<uint64_t>& word = places_[place_of(handle)].account;
  uint64_t seen = word.load(std::memory_order_acquire);
  for (;;) {
    if (is_stale(handle, seen)) return {.stale = true};
    Account account = account_at(seen, now / terms.window_seconds);
    const uint64_t limit = limit_of(terms);
    const uint64_t left = limit - std::min(limit, account.bytes);
    if (left < least) return {};
    const uint64_t share = std::max(least, std::min(left / shares, kLargestLease));
    account.bytes += share;
    if (word.compare_exchange_weak(seen, pack(account), std::memory_order_acq_rel,
                                   std::memory_order_acquire)) {
      return {.bytes = share, .until = (account.window + 1) * terms.window_seconds};
    }
  }
}

bool BudgetLedger::take_over(BudgetHandle handle, const BudgetTerms& terms, int64_t now,
                             uint64_t bytes) noexcept {
  std::atomic<uint64_t>& word = places_[place_of(handle)].account;
  uint64_t seen = word.load(std::memory_order_acquire);
  for (;;) {
    if (is_stale(handle, seen)) return false;
    Account account = account_at(seen, now / terms.window_seconds);
    account.bytes = std::min(account.bytes + bytes, kMostBytes);
    if (word.compare_exchange_weak(seen, pack(account), std::memory_order_acq_rel,
                                   std::memory_order_acquire)) {
      return true;
    }
  }
}

uint64_t BudgetLedger::left(BudgetHandle handle, const BudgetTerms& terms,
                            int64_t now) const noexcept {
  const uint64_t seen = places_[place_of(handle)].account.load(std::memory_order_acquire);
  const uint64_t limit = limit_of(terms);
  if (is_stale(handle, seen)) return limit;
  return limit - std::min(limit, account_at(seen, now / terms.window_seconds).bytes);
}

void BudgetLedger::give_back(BudgetHandle handle, const BudgetTerms& terms,
                             const Lease& lease) noexcept {
  const int64_t window = lease.until / terms.window_seconds - 1;
  std::atomic<uint64_t>& word = places_[place_of(handle)].account;
  uint64_t seen = word.load(std::memory_order_acquire);
  for (;;) {
    if (is_stale(handle, seen) || (seen & kCounted) == 0) return;
    Account account = account_at(seen, window);
    if (account.window != window || account.bytes < lease.bytes) return;
    account.bytes -= lease.bytes;
    if (word.compare_exchange_weak(seen, pack(account), std::memory_order_acq_rel,
                                   std::memory_order_acquire)) {
      return;
    }
  }
}

bool BudgetLedger::restore(const BudgetCount& count, int64_t now) noexcept {
  if (count.window_seconds == 0) return true;
  const int64_t window = count.window_start / count.window_seconds;
  const int64_t ahead = window - now / count.window_seconds;
  if (ahead < 0 || ahead >= kWindows / 2) return true;
  const BudgetHandle handle = open({.policy = count.policy,
                                    .rule = count.rule,
                                    .window_seconds = count.window_seconds,
                                    .scope = count.scope,
                                    .source = count.source,
                                    .labels = count.labels},
                                   count.limit);
  if (handle == kNoBudget) return false;
  places_[place_of(handle)].account.store(
      pack({.window = window, .bytes = std::min(count.used, kMostBytes)}),
      std::memory_order_release);
  return true;
}

std::vector<BudgetCount> BudgetLedger::snapshot(int64_t now) const {
  std::vector<BudgetCount> out;
  for (uint32_t i = 0; i <= mask_; ++i) {
    const Place& place = places_[i];
    if (!place.described.load(std::memory_order_acquire)) continue;
    const Description& description = descriptions_[i];
    const int64_t seconds = description.window_seconds;
    const Account account =
        account_at(place.account.load(std::memory_order_acquire), now / seconds);
    if (account.bytes == 0) continue;
    out.push_back({.policy = description.policy.data(),
                   .rule = description.rule.data(),
                   .scope = description.scope,
                   .source = description.source,
                   .labels = description.labels.data(),
                   .window_seconds = description.window_seconds,
                   .window_start = account.window * seconds,
                   .used = account.bytes,
                   .limit = place.limit.load(std::memory_order_relaxed)});
  }
  std::ranges::sort(out, before);
  return out;
}

void BudgetLedger::roll(int64_t now) noexcept {
  for (uint32_t i = 0; i <= mask_; ++i) {
    Place& place = places_[i];
    if (!place.described.load(std::memory_order_acquire)) continue;
    uint64_t seen = place.account.load(std::memory_order_acquire);
    if ((seen & kCounted) == 0) continue;
    const Account account = account_at(seen, now / descriptions_[i].window_seconds);
    // If a worker is quicker, it has begun the new window itself.
    if (account.bytes == 0) {
      place.account.compare_exchange_strong(seen, kNothing, std::memory_order_acq_rel);
    }
  }
}

// First what is over dies, which turns every handle of it stale, and when no worker can be at it
// any more its place is free.
void BudgetLedger::collect(int64_t now, const std::function<bool()>& all_passed) {
  if (!dying_.empty() && all_passed()) free_dying();
  kill(now);
  if (!dying_.empty() && all_passed()) free_dying();
}

void BudgetLedger::kill(int64_t now) {
  roll(now);
  for (uint32_t i = 0; i <= mask_; ++i) {
    Place& place = places_[i];
    uint64_t nothing = kNothing;
    if (!place.described.load(std::memory_order_acquire) ||
        place.tag.load(std::memory_order_acquire) <= kFreed ||
        !place.account.compare_exchange_strong(nothing, kDead, std::memory_order_acq_rel)) {
      continue;
    }
    place.generation.fetch_add(1, std::memory_order_release);
    dying_.push_back(i);
  }
}

// No worker is at beginning a count, and none will be until open again.
// @return false when one does not come to its end.
bool BudgetLedger::close() noexcept {
  constexpr int kLooks = 10'000;
  closed_.store(true, std::memory_order_seq_cst);
  for (int i = 0; i < kLooks; ++i) {
    if (beginning_.load(std::memory_order_seq_cst) == 0) return true;
    pause();
  }
  closed_.store(false, std::memory_order_seq_cst);
  return false;
}

// A few at a time, so that workers find it closed for no longer than that takes. After a yield the
// thread has its time before it, and is hardly ever stopped in between.
void BudgetLedger::free_dying() noexcept {
  constexpr size_t kAtATime = 16;
  while (!dying_.empty()) {
    std::this_thread::yield();
    if (!close()) return;
    for (size_t i = 0; i < kAtATime && !dying_.empty(); ++i) {
      free_place(dying_.back());
      dying_.pop_back();
    }
    closed_.store(false, std::memory_order_seq_cst);
  }
}

// Unless it lives again. Behind the last of a run of places nothing is to be searched for.
void BudgetLedger::free_place(uint32_t i) noexcept {
  Place& place = places_[i];
  uint64_t dead = kDead;
  if (!place.account.compare_exchange_strong(dead, kGone, std::memory_order_acq_rel)) return;
  place.described.store(false, std::memory_order_relaxed);
  place.tag.store(kFreed, std::memory_order_release);
  place.account.store(kNothing, std::memory_order_release);
  live_.fetch_sub(1, std::memory_order_relaxed);
  for (uint32_t n = 0; n <= mask_; ++n) {
    const uint32_t at = (i - n) & mask_;
    if (places_[at].tag.load(std::memory_order_relaxed) != kFreed ||
        places_[(at + 1) & mask_].tag.load(std::memory_order_relaxed) != kFree) {
      return;
    }
    places_[at].tag.store(kFree, std::memory_order_release);
  }
}

}  // namespace sallyport
