#include "dataplane/inspect/segments.h"

#include <algorithm>
#include <cstring>

namespace sallyport {
namespace {

uint32_t end_of(const Segment& segment) noexcept {
  return segment.sequence + segment.bytes;
}

// Bytes that both cover, compared. Distances stay small: a list never spans 2^31.
bool differ_where_both(const Segment& a, const Segment& b) noexcept {
  const Segment& first = sequence_distance(a.sequence, b.sequence) >= 0 ? a : b;
  const Segment& second = &first == &a ? b : a;
  const auto skip = static_cast<uint32_t>(sequence_distance(first.sequence, second.sequence));
  if (skip >= first.bytes) return false;
  const uint32_t common = std::min(first.bytes - skip, second.bytes);
  return std::memcmp(first.data + skip, second.data, common) != 0;
}

}  // namespace

SegmentPool::SegmentPool(uint32_t capacity) : segments_(capacity) {
  for (uint32_t i = capacity; i-- > 0;) {
    segments_[i].next = free_;
    free_ = i;
  }
}

uint32_t SegmentPool::acquire() noexcept {
  const uint32_t index = free_;
  if (index == kNoSegment) return kNoSegment;
  free_ = segments_[index].next;
  ++in_use_;
  return index;
}

void SegmentPool::release(uint32_t index) noexcept {
  segments_[index] = {.next = free_};
  free_ = index;
  --in_use_;
}

bool conflicts(const SegmentPool& pool, const SegmentList& list, const Segment& segment) noexcept {
  for (uint32_t i = list.head; i != kNoSegment; i = pool[i].next) {
    if (differ_where_both(pool[i], segment)) return true;
  }
  return false;
}

namespace {

InsertResult link_after(SegmentPool& pool, SegmentList& list, uint32_t before,
                        const Segment& segment) noexcept {
  const uint32_t index = pool.acquire();
  if (index == kNoSegment) return InsertResult::pool_full;
  if (list.empty() || sequence_distance(list.end, end_of(segment)) > 0) list.end = end_of(segment);
  uint32_t& link = before == kNoSegment ? list.head : pool[before].next;
  pool[index] = segment;
  pool[index].next = link;
  link = index;
  if (pool[index].next == kNoSegment) list.tail = index;
  pool.count(segment.frame_bytes);
  list.bytes += segment.bytes;
  ++list.count;
  return InsertResult::inserted;
}

}  // namespace

InsertResult insert(SegmentPool& pool, SegmentList& list, const Segment& segment) noexcept {
  // Behind all that is held, as nearly every segment comes: nothing can overlap.
  if (list.empty() || (segment.bytes > 0 && sequence_distance(list.end, segment.sequence) >= 0)) {
    return link_after(pool, list, list.tail, segment);
  }
  uint32_t before = kNoSegment;
  uint32_t covered_to = segment.sequence;  // bytes of `segment` held already, from its start on
  for (uint32_t i = list.head; i != kNoSegment; i = pool[i].next) {
    const Segment& held = pool[i];
    if (differ_where_both(held, segment)) return InsertResult::conflict;
    if (sequence_distance(segment.sequence, held.sequence) <= 0) before = i;
    if (sequence_distance(held.sequence, covered_to) >= 0 &&
        sequence_distance(covered_to, end_of(held)) > 0) {
      covered_to = end_of(held);
    }
  }
  if (segment.bytes > 0 && sequence_distance(end_of(segment), covered_to) >= 0) {
    return InsertResult::duplicate;
  }
  return link_after(pool, list, before, segment);
}

Segment pop_front(SegmentPool& pool, SegmentList& list) noexcept {
  return remove_after(pool, list, kNoSegment);
}

Segment remove_after(SegmentPool& pool, SegmentList& list, uint32_t before) noexcept {
  uint32_t& link = before == kNoSegment ? list.head : pool[before].next;
  const uint32_t index = link;
  const Segment segment = pool[index];
  link = segment.next;
  if (list.tail == index) list.tail = before;
  list.bytes -= segment.bytes;
  --list.count;
  pool.release(index);
  pool.count(-uint64_t{segment.frame_bytes});
  return segment;
}

uint32_t contiguous_bytes(const SegmentPool& pool, const SegmentList& list,
                          uint32_t base) noexcept {
  uint32_t reached = base;
  for (uint32_t i = list.head; i != kNoSegment; i = pool[i].next) {
    if (sequence_distance(reached, pool[i].sequence) > 0) break;  // a gap
    if (sequence_distance(reached, end_of(pool[i])) > 0) reached = end_of(pool[i]);
  }
  return reached - base;
}

std::span<const uint8_t> prefix(const SegmentPool& pool, const SegmentList& list, uint32_t base,
                                uint32_t count, std::span<uint8_t> scratch) noexcept {
  if (count == 0) return {};
  uint32_t filled = 0;
  for (uint32_t i = list.head; i != kNoSegment && filled < count; i = pool[i].next) {
    const int32_t ahead = sequence_distance(pool[i].sequence, base + filled);
    if (ahead < 0) break;
    const auto skip = static_cast<uint32_t>(ahead);
    if (skip >= pool[i].bytes) continue;
    if (filled == 0 && pool[i].bytes - skip >= count) return {pool[i].data + skip, count};
    const uint32_t take = std::min(pool[i].bytes - skip, count - filled);
    std::memcpy(scratch.data() + filled, pool[i].data + skip, take);
    filled += take;
  }
  return scratch.first(filled);
}

}  // namespace sallyport
