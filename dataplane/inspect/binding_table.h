#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>

#include "dataplane/inspect/dns_response.h"
#include "policy/runtime/ip_address.h"

namespace sallyport {

/// Which addresses trusted resolvers gave for which names, and until when: what rules with
/// `destinationBinding` ask for. One for all workers; each may write and read at any time, and none
/// ever waits for another.
///
/// Entries are keyed hashes, so nobody who does not know the key can make two names meet. Memory is
/// fixed, and half of each bucket is for names that a rule asks for: else whoever owns a zone could
/// fill it with his own. Where a bucket is full, a name that no rule asks for makes room, or else
/// the entry that would have ended first, and that is counted.
class BindingTable {
 public:
  /// @param entries  Rounded up to a power of two, from 64 to 4,194,304; 8 bytes each.
  /// @param key      Secret: from the system's random numbers. Throws std::bad_alloc.
  BindingTable(uint32_t entries, std::array<uint64_t, 2> key);

  /// What a response tells, from now until its TTL and `grace_seconds` are over. A TTL counts for
  /// an hour at most.
  /// @param asked_for  A rule with `destinationBinding` names the host (is_bound_name()). What
  /// HTTPS
  ///                   records put in its place is asked for, too.
  void add(const DnsResponse& response, bool asked_for, int64_t unix_seconds,
           uint32_t grace_seconds) noexcept;

  /// Whether `address` was given for `name`, or for a name that HTTPS records put in its place.
  /// @param name  Canonical (HostName::assign).
  bool is_bound(std::string_view name, const IpAddress& address,
                int64_t unix_seconds) const noexcept;

  /// Empties what is over in a 1,024th of the table. For one thread, which shall have called it so
  /// often within some days: the entries' clock wraps after 12.
  void forget_ended(int64_t unix_seconds) noexcept;

  /// Addresses that were learnt, each time they were; entries that had to make room; and addresses
  /// and names in place of others that found none, because no rule asks for them.
  uint64_t learnt() const noexcept { return learnt_.load(std::memory_order_relaxed); }
  uint64_t evicted() const noexcept { return evicted_.load(std::memory_order_relaxed); }
  uint64_t crowded_out() const noexcept { return crowded_out_.load(std::memory_order_relaxed); }

 private:
  static constexpr uint32_t kBucket = 8;  ///< One cache line.
  struct alignas(64) Bucket {
    /// A tag of 43 bits over one that is set when a rule asks for the name, over the end of its
    /// time, in seconds. 0: empty.
    std::atomic<uint64_t> entries[kBucket];
  };
  /// One name in the place of another.
  struct Alias {
    std::atomic<uint64_t> name;
    /// Hash of the name in its place over the end of its time, as above, xor `name`: two halves of
    /// different writers give no name at all.
    std::atomic<uint64_t> target;
  };
  struct alignas(64) AliasBucket {
    Alias aliases[kBucket];
  };

  enum class Put : uint8_t { kept, evicted, crowded_out };
  struct Room;

  uint64_t name_hash(std::string_view name) const noexcept;
  uint64_t pair_hash(uint64_t name, const IpAddress& address) const noexcept;
  uint64_t target_hash(uint64_t name) const noexcept;
  Put put(uint64_t pair, uint64_t now, uint64_t terms) noexcept;
  Put put_alias(uint64_t name, uint64_t target, uint64_t now, uint64_t terms) noexcept;
  AliasBucket& aliases_of(uint64_t name) const noexcept;
  bool holds(uint64_t pair, uint64_t now) const noexcept;

  const std::array<uint64_t, 2> key_;
  const uint32_t bucket_mask_;
  std::unique_ptr<Bucket[]> buckets_;
  std::unique_ptr<AliasBucket[]> aliases_;
  uint32_t swept_ = 0;  // The next bucket, and alias, for forget_ended().
  uint32_t swept_aliases_ = 0;
  std::atomic<uint64_t> learnt_ = 0;  // Written by any worker, read by the control thread.
  std::atomic<uint64_t> evicted_ = 0;
  std::atomic<uint64_t> crowded_out_ = 0;
};

}  // namespace sallyport
