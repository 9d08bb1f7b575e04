#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace sallyport {

inline constexpr uint32_t kNoSegment = UINT32_MAX;

/// Signed distance from sequence number `from` to `to` (RFC 9293 section 3.4: modulo 2^32).
constexpr int32_t sequence_distance(uint32_t from, uint32_t to) noexcept {
  return static_cast<int32_t>(to - from);
}

/// One client packet that is held: its TCP payload and the packet that carries it.
struct Segment {
  const uint8_t* data = nullptr;  ///< Borrowed from `packet`.
  uint32_t sequence = 0;          ///< Of data[0].
  uint32_t bytes = 0;             ///< May be 0: a held FIN.
  uint32_t next = kNoSegment;
  void* packet = nullptr;    ///< The holder's handle; never looked at here.
  uint64_t since_ns = 0;     ///< When it was held, by the holder's clock.
  uint32_t frame_bytes = 0;  ///< Of the packet, all told.
  bool sent = false;         ///< It has left, and is kept to compare what comes again with it.
};

/// All segments one worker may hold. Allocated once; never grows.
class SegmentPool {
 public:
  explicit SegmentPool(uint32_t capacity);

  /// @return an index, or kNoSegment when every segment is in use.
  uint32_t acquire() noexcept;
  void release(uint32_t index) noexcept;

  Segment& operator[](uint32_t index) noexcept { return segments_[index]; }
  const Segment& operator[](uint32_t index) const noexcept { return segments_[index]; }
  uint32_t in_use() const noexcept { return in_use_; }
  /// Of the packets in them.
  uint64_t frame_bytes() const noexcept { return frame_bytes_; }
  /// Another number whenever any of the above may be another.
  uint32_t changes() const noexcept { return changes_; }
  /// insert() and remove_after() tell.
  void count(uint64_t more_frame_bytes) noexcept {
    frame_bytes_ += more_frame_bytes;
    ++changes_;
  }

 private:
  std::vector<Segment> segments_;
  uint32_t free_ = kNoSegment;
  uint32_t in_use_ = 0;
  uint32_t changes_ = 0;
  uint64_t frame_bytes_ = 0;
};

/// The held part of one client stream, ordered by sequence number. Where segments overlap, their
/// bytes are equal: insert() refuses anything else.
struct SegmentList {
  uint32_t head = kNoSegment;
  uint32_t tail = kNoSegment;
  uint32_t end = 0;    ///< Sequence number after the highest byte held, unless empty.
  uint32_t bytes = 0;  ///< Payload held, overlaps counted twice.
  uint32_t count = 0;

  bool empty() const noexcept { return head == kNoSegment; }
};

enum class InsertResult : uint8_t {
  inserted,
  duplicate,  ///< Every byte is held already, and equal. Not inserted.
  conflict,   ///< A byte differs from one held at the same place. Not inserted.
  pool_full,  ///< Not inserted.
};

/// Puts `segment` in its place. `segment.next` is ignored.
InsertResult insert(SegmentPool& pool, SegmentList& list, const Segment& segment) noexcept;

/// Whether any byte of `segment` differs from one held at the same place.
bool conflicts(const SegmentPool& pool, const SegmentList& list, const Segment& segment) noexcept;

/// Takes the first segment off the list and gives it back to the pool.
/// @return a copy of it; call only on a list that is not empty.
Segment pop_front(SegmentPool& pool, SegmentList& list) noexcept;

/// The same for any segment of the list. `before` is the one in front of it, or kNoSegment.
Segment remove_after(SegmentPool& pool, SegmentList& list, uint32_t before) noexcept;

/// How many bytes are held without a gap from sequence number `base` on.
uint32_t contiguous_bytes(const SegmentPool& pool, const SegmentList& list, uint32_t base) noexcept;

/// The first `count` bytes from `base` on, which contiguous_bytes() must have promised: a view
/// into one segment when they all lie there, otherwise joined in `scratch`, which must hold
/// `count` bytes.
std::span<const uint8_t> prefix(const SegmentPool& pool, const SegmentList& list, uint32_t base,
                                uint32_t count, std::span<uint8_t> scratch) noexcept;

}  // namespace sallyport
