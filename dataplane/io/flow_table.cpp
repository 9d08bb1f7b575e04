#include "dataplane/io/flow_table.h"

#include <rte_errno.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string>

namespace sallyport {

FlowTable::FlowTable(const char* name, uint32_t capacity, int socket) : flows_(capacity) {
  rte_hash_parameters parameters{};
  parameters.name = name;
  // Cuckoo buckets fill unevenly: with room for a quarter more, the flow array is what runs out.
  parameters.entries = capacity + capacity / 4 + 8;
  parameters.key_len = sizeof(FlowKey);
  parameters.socket_id = socket;
  hash_.reset(rte_hash_create(&parameters));
  if (!hash_) {
    throw std::runtime_error("flow table for " + std::to_string(capacity) +
                             " flows: " + rte_strerror(rte_errno) +
                             "; raise memory.total_mb or lower flows.capacity");
  }
  free_.reserve(capacity);
  for (uint32_t i = capacity; i-- > 0;) free_.push_back(i);
}

void FlowTable::find(const FlowKey* keys, std::span<uint32_t> hashes,
                     uint32_t* out) const noexcept {
  std::array<const void*, RTE_HASH_LOOKUP_BULK_MAX> pointers;
  std::array<void*, RTE_HASH_LOOKUP_BULK_MAX> data;
  const auto count = static_cast<uint32_t>(std::min(hashes.size(), pointers.size()));
  for (uint32_t i = 0; i < count; ++i) pointers[i] = &keys[i];
  uint64_t hits = 0;
  if (rte_hash_lookup_with_hash_bulk_data(hash_.get(), pointers.data(), hashes.data(), count, &hits,
                                          data.data()) < 0) {
    hits = 0;
  }
  for (uint32_t i = 0; i < count; ++i) {
    out[i] =
        (hits >> i & 1) != 0 ? static_cast<uint32_t>(reinterpret_cast<uintptr_t>(data[i])) : kNone;
  }
}

uint32_t FlowTable::find(const FlowKey& key, uint32_t hash) const noexcept {
  void* data = nullptr;
  if (rte_hash_lookup_with_hash_data(hash_.get(), &key, hash, &data) < 0) return kNone;
  return static_cast<uint32_t>(reinterpret_cast<uintptr_t>(data));
}

uint32_t FlowTable::insert(const FlowKey& key, uint32_t hash) noexcept {
  if (free_.empty()) return kNone;
  const uint32_t index = free_.back();
  // rte_hash keeps a pointer a key; an index is all that is needed.
  auto* data = reinterpret_cast<void*>(uintptr_t{index});  // NOLINT(performance-no-int-to-ptr)
  if (rte_hash_add_key_with_hash_data(hash_.get(), &key, hash, data) != 0) {
    return kNone;
  }
  free_.pop_back();
  flows_[index] = Flow{.key = key};
  ++size_;
  return index;
}

void FlowTable::erase(uint32_t index, uint32_t hash) noexcept {
  rte_hash_del_key_with_hash(hash_.get(), &flows_[index].key, hash);
  flows_[index].state = FlowState::free;
  free_.push_back(index);
  --size_;
}

}  // namespace sallyport
