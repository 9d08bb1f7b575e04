#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "dataplane/inspect/flow.h"
#include "dataplane/inspect/fragment.h"

namespace sallyport {

/// What becomes of a fragment. From `overlap` on its whole datagram is lost, and every fragment of
/// it that still comes gets the same answer.
enum class FragmentStep : uint8_t {
  kept,
  complete,    ///< Kept, and the last that was missing.
  duplicate,   ///< The very range of one that is kept, which stands.
  overlap,     ///< Overlaps another fragment, or contradicts one about the end or the headers.
  too_long,    ///< The datagram is longer than FragmentLimits::max_datagram_bytes.
  too_many,    ///< More than kMostFragments.
  table_full,  ///< No room for another datagram or fragment.
};

/// Of one datagram: 16 KiB in pieces of 256 bytes.
inline constexpr uint32_t kMostFragments = 64;

struct FragmentLimits {
  uint32_t datagrams = 256;             ///< Under way at once; twice as many fragments.
  uint32_t timeout_ms = 2000;           ///< From a datagram's first fragment to its last.
  uint32_t max_datagram_bytes = 16384;  ///< Behind the IP headers.

  bool operator==(const FragmentLimits&) const = default;
};

/// What is known of one datagram under way: which of its bytes are there, never the bytes. Whoever
/// holds those keeps them in the order of `ranges`.
struct FragmentRecord {
  struct Range {
    uint16_t from = 0;
    uint16_t to = 0;
  };

  FragmentKey key;
  Direction direction{};
  FragmentStep fate = FragmentStep::kept;  ///< From `overlap` on: lost, and why.
  uint8_t count = 0;                       ///< Fragments kept; none once it is lost.
  uint16_t payload_offset = 0;             ///< Of every fragment in its frame.
  uint16_t most_bytes = 0;                 ///< Of the longest, from the IP header on.
  uint32_t end = 0;    ///< Once the last fragment is there: the payload's length.
  uint32_t bytes = 0;  ///< There so far.
  uint64_t started_ms = 0;
  std::array<Range, kMostFragments> ranges{};
  uint32_t hash_next = 0;  ///< Links of the table.
  uint32_t older = 0;
  uint32_t newer = 0;
  uint32_t bucket = 0;

  bool is_lost() const noexcept { return fate >= FragmentStep::overlap; }
  /// Takes a fragment of this datagram. @return anything but table_full; what is lost is lost by
  ///         the table.
  FragmentStep add(const Fragment& fragment, uint32_t max_datagram_bytes) noexcept;

 private:
  FragmentStep judge(const Fragment& fragment, uint32_t max_datagram_bytes) const noexcept;
};

/// The datagrams under way at one worker, whose fragments lie elsewhere. Two overlapping
/// fragments are never both kept, so that no two receivers could read a datagram differently
/// (RFC 5722, for IPv4 too). Allocated once; belongs to one worker.
class FragmentTable {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;

  explicit FragmentTable(const FragmentLimits& limits);

  struct Added {
    FragmentStep step;
    uint32_t index;     ///< Of the record; may be kNone with table_full.
    uint32_t lost = 0;  ///< Fragments kept before, if this one spoilt their datagram: to be let go.
  };
  /// @param hash    Of fragment.key, keyed by a secret: always by the same.
  /// @param now_ms  Never less than before.
  Added add(const Fragment& fragment, Direction direction, uint64_t hash, uint64_t now_ms) noexcept;

  /// @return the oldest record if its time is over, else kNone. To be removed by the caller, and
  ///         asked again until there is none, before each add().
  uint32_t expired(uint64_t now_ms) const noexcept;
  void remove(uint32_t index) noexcept;

  const FragmentRecord& operator[](uint32_t index) const noexcept { return records_[index]; }
  uint32_t oldest() const noexcept { return oldest_; }
  uint32_t size() const noexcept { return size_; }
  uint32_t fragments() const noexcept { return fragments_; }

 private:
  uint32_t find(const Fragment& fragment, Direction direction, uint32_t bucket) const noexcept;
  uint32_t lose(uint32_t index, FragmentStep why) noexcept;
  uint32_t insert(const Fragment& fragment, Direction direction, uint32_t bucket,
                  uint64_t now_ms) noexcept;

  FragmentLimits limits_;
  std::vector<FragmentRecord> records_;
  std::vector<uint32_t> buckets_;  // heads of chains through hash_next; a power of two of them
  uint32_t free_ = kNone;          // a chain through hash_next
  uint32_t oldest_ = kNone;
  uint32_t newest_ = kNone;
  uint32_t size_ = 0;
  uint32_t fragments_ = 0;
};

}  // namespace sallyport
