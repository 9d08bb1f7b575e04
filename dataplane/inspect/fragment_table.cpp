#include "dataplane/inspect/fragment_table.h"

#include <algorithm>
#include <bit>

namespace sallyport {

FragmentStep FragmentRecord::judge(const Fragment& fragment,
                                   uint32_t max_datagram_bytes) const noexcept {
  const uint32_t to = fragment.from + fragment.bytes;
  if (to > max_datagram_bytes) return FragmentStep::too_long;
  // The headers are the same in all fragments of one sender: only the first one's are sent on.
  if (count > 0 && fragment.payload_offset != payload_offset) return FragmentStep::overlap;
  const bool is_end = !fragment.more;
  for (uint32_t i = 0; i < count; ++i) {
    const Range& range = ranges[i];
    if (range.from == fragment.from && range.to == to && (end == to) == is_end) {
      return FragmentStep::duplicate;
    }
    if (range.from < to && fragment.from < range.to) return FragmentStep::overlap;
    if (is_end && range.to > to) return FragmentStep::overlap;
  }
  // Another end, or something behind it.
  if (end != 0 && (is_end || to > end)) return FragmentStep::overlap;
  if (count == kMostFragments) return FragmentStep::too_many;
  return FragmentStep::kept;
}

FragmentStep FragmentRecord::add(const Fragment& fragment, uint32_t max_datagram_bytes) noexcept {
  if (is_lost()) return fate;
  const FragmentStep step = judge(fragment, max_datagram_bytes);
  if (step != FragmentStep::kept) return step;
  const uint32_t to = fragment.from + fragment.bytes;
  payload_offset = fragment.payload_offset;
  most_bytes = std::max(most_bytes, fragment.packet_bytes());
  if (!fragment.more) end = to;
  bytes += fragment.bytes;
  ranges[count++] = {.from = static_cast<uint16_t>(fragment.from), .to = static_cast<uint16_t>(to)};
  return end != 0 && bytes == end ? FragmentStep::complete : FragmentStep::kept;
}

FragmentTable::FragmentTable(const FragmentLimits& limits)
    : limits_(limits),
      records_(limits.datagrams),
      buckets_(std::bit_ceil(size_t{limits.datagrams}), kNone) {
  for (uint32_t i = limits.datagrams; i-- > 0;) {
    records_[i].hash_next = free_;
    free_ = i;
  }
}

uint32_t FragmentTable::find(const Fragment& fragment, Direction direction,
                             uint32_t bucket) const noexcept {
  uint32_t index = buckets_[bucket];
  while (index != kNone &&
         (records_[index].key != fragment.key || records_[index].direction != direction)) {
    index = records_[index].hash_next;
  }
  return index;
}

uint32_t FragmentTable::insert(const Fragment& fragment, Direction direction, uint32_t bucket,
                               uint64_t now_ms) noexcept {
  const uint32_t index = free_;
  if (index == kNone) return kNone;
  FragmentRecord& record = records_[index];
  free_ = record.hash_next;
  record = {.key = fragment.key,
            .direction = direction,
            .started_ms = now_ms,
            .hash_next = buckets_[bucket],
            .older = newest_,
            .newer = kNone,
            .bucket = bucket};
  buckets_[bucket] = index;
  (newest_ == kNone ? oldest_ : records_[newest_].newer) = index;
  newest_ = index;
  ++size_;
  return index;
}

FragmentTable::Added FragmentTable::add(const Fragment& fragment, Direction direction,
                                        uint64_t hash, uint64_t now_ms) noexcept {
  const auto bucket = static_cast<uint32_t>(hash & (buckets_.size() - 1));
  uint32_t index = find(fragment, direction, bucket);
  // One datagram of many small fragments must not cost more than others: this bounds the buffers.
  if (fragments_ >= 2 * limits_.datagrams) {
    const uint32_t lost = index != kNone ? lose(index, FragmentStep::table_full) : 0;
    return {FragmentStep::table_full, index, lost};
  }
  if (index == kNone) index = insert(fragment, direction, bucket, now_ms);
  if (index == kNone) return {FragmentStep::table_full, kNone};
  const FragmentStep step = records_[index].add(fragment, limits_.max_datagram_bytes);
  if (step >= FragmentStep::overlap) return {step, index, lose(index, step)};
  if (step != FragmentStep::duplicate) ++fragments_;
  return {step, index};
}

// Nothing of it will ever be used: only the record stays, to know what else belongs to it.
uint32_t FragmentTable::lose(uint32_t index, FragmentStep why) noexcept {
  FragmentRecord& record = records_[index];
  if (!record.is_lost()) record.fate = why;
  const uint32_t lost = record.count;
  fragments_ -= lost;
  record.count = 0;
  return lost;
}

uint32_t FragmentTable::expired(uint64_t now_ms) const noexcept {
  if (oldest_ == kNone) return kNone;
  return now_ms - records_[oldest_].started_ms > limits_.timeout_ms ? oldest_ : kNone;
}

void FragmentTable::remove(uint32_t index) noexcept {
  FragmentRecord& record = records_[index];
  uint32_t* link = &buckets_[record.bucket];
  while (*link != index) link = &records_[*link].hash_next;
  *link = record.hash_next;
  (record.older == kNone ? oldest_ : records_[record.older].newer) = record.newer;
  (record.newer == kNone ? newest_ : records_[record.newer].older) = record.older;
  fragments_ -= record.count;
  --size_;
  record.hash_next = free_;
  free_ = index;
}

}  // namespace sallyport
