#include "dataplane/inspect/fact_store.h"

#include <algorithm>
#include <cstring>

namespace sallyport {

FactStore::FactStore(uint32_t blocks)
    : blocks_(std::make_unique_for_overwrite<Block[]>(blocks)), capacity_(blocks) {}

// Call only while one is free.
uint32_t FactStore::acquire() noexcept {
  ++in_use_;
  if (free_ == kNone) return touched_++;
  const uint32_t index = free_;
  free_ = blocks_[index].next;
  return index;
}

uint32_t FactStore::store(std::span<const uint8_t> bytes) noexcept {
  const size_t needed = (bytes.size() + kBlockBytes - 1) / kBlockBytes;
  if (needed == 0 || bytes.size() > kMaxKeptBytes || needed > capacity_ - in_use_) return kNone;
  uint32_t handle = kNone;
  uint32_t* link = &handle;
  while (!bytes.empty()) {
    *link = acquire();
    Block& block = blocks_[*link];
    block.next = kNone;
    block.bytes = static_cast<uint16_t>(bytes.size());
    const size_t taken = std::min(bytes.size(), kBlockBytes);
    std::memcpy(block.data.data(), bytes.data(), taken);
    bytes = bytes.subspan(taken);
    link = &block.next;
  }
  return handle;
}

std::span<const uint8_t> FactStore::load(uint32_t handle, std::span<uint8_t> out) const noexcept {
  size_t filled = 0;
  for (uint32_t i = handle; i != kNone; i = blocks_[i].next) {
    const size_t taken = std::min<size_t>(blocks_[i].bytes, kBlockBytes);
    std::memcpy(out.data() + filled, blocks_[i].data.data(), taken);
    filled += taken;
  }
  return out.first(filled);
}

void FactStore::release(uint32_t handle) noexcept {
  while (handle != kNone) {
    const uint32_t next = blocks_[handle].next;
    blocks_[handle].next = free_;
    free_ = handle;
    --in_use_;
    handle = next;
  }
}

}  // namespace sallyport
