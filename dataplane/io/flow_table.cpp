#include "dataplane/io/flow_table.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>

namespace sallyport {
namespace {

uint64_t word_of(const FlowKey& key, size_t i) noexcept {
  uint64_t word;
  std::memcpy(&word, reinterpret_cast<const char*>(&key) + i * sizeof word, sizeof word);
  return word;
}

// FlowKey has no padding: five words, without a call for so little.
bool is_same(const FlowKey& a, const FlowKey& b) noexcept {
  static_assert(sizeof(FlowKey) == 5 * sizeof(uint64_t));
  const auto differ = [&](size_t i) { return word_of(a, i) ^ word_of(b, i); };
  return (differ(0) | differ(1) | differ(2) | differ(3) | differ(4)) == 0;
}

}  // namespace

FlowTable::FlowTable(uint32_t capacity)
    : slots_(std::bit_ceil(size_t{2} * std::max(capacity, 1u))),
      mask_(static_cast<uint32_t>(slots_.size() - 1)),
      flows_(capacity) {
  free_.reserve(capacity);
  for (uint32_t i = capacity; i-- > 0;) free_.push_back(i);
}

// In three passes, so that each waits for the memory of all keys at once.
void FlowTable::find(const FlowKey* keys, std::span<const uint32_t> hashes,
                     uint32_t* out) const noexcept {
  for (const uint32_t hash : hashes) rte_prefetch0(&slots_[hash & mask_]);
  for (size_t i = 0; i < hashes.size(); ++i) {
    out[i] = first_alike(hashes[i]);
    if (out[i] != kNone) prefetch(out[i]);
  }
  for (size_t i = 0; i < hashes.size(); ++i) {
    if (out[i] != kNone && !is_same(flows_[out[i]].key, keys[i])) out[i] = find(keys[i], hashes[i]);
  }
}

uint32_t FlowTable::find(const FlowKey& key, uint32_t hash) const noexcept {
  for (uint32_t at = hash & mask_; slots_[at].flow != kNone; at = (at + 1) & mask_) {
    if (slots_[at].hash == hash && is_same(flows_[slots_[at].flow].key, key)) {
      return slots_[at].flow;
    }
  }
  return kNone;
}

uint32_t FlowTable::insert(const FlowKey& key, uint32_t hash) noexcept {
  if (free_.empty()) return kNone;
  const uint32_t index = free_.back();
  free_.pop_back();
  uint32_t at = hash & mask_;
  while (slots_[at].flow != kNone) at = (at + 1) & mask_;
  slots_[at] = {.hash = hash, .flow = index};
  flows_[index] = Flow{.key = key};
  ++size_;
  return index;
}

void FlowTable::erase(uint32_t index, uint32_t hash) noexcept {
  uint32_t at = hash & mask_;
  while (slots_[at].flow != index) at = (at + 1) & mask_;
  // No gap may stand between a flow and the place of its hash: whoever can moves up into it.
  for (uint32_t next = (at + 1) & mask_; slots_[next].flow != kNone; next = (next + 1) & mask_) {
    const uint32_t from_its_place = (next - slots_[next].hash) & mask_;
    if (from_its_place < ((next - at) & mask_)) continue;
    slots_[at] = slots_[next];
    at = next;
  }
  slots_[at].flow = kNone;
  flows_[index].state = FlowState::free;
  free_.push_back(index);
  --size_;
}

}  // namespace sallyport
