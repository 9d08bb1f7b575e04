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
  const uint32_t usable = bytes.size() > kShortFactsBytes ? capacity_ / 2 : capacity_;
  if (needed == 0 || bytes.size() > kMaxKeptBytes || in_use_ > usable ||
      needed > usable - in_use_) {
    return kNone;
  }
  uint32_t handle = kNone;
  uint32_t* link = &handle;
  while (!bytes.empty()) {
    *link = acquire();
    Block& block = blocks_[*link];
    block.next = kNone;
    block.bytes = static_cast<uint16_t>(bytes.size());
    if (bytes.size() < kBlockBytes) {
      std::memcpy(block.data.data(), bytes.data(), bytes.size());
      break;
    }
    std::memcpy(block.data.data(), bytes.data(), kBlockBytes);
    bytes = bytes.subspan(kBlockBytes);
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

bool FactStore::holds(uint32_t handle, std::span<const uint8_t> bytes) const noexcept {
  if (handle == kNone || bytes.size() != blocks_[handle].bytes) return false;
  for (uint32_t i = handle; i != kNone; i = blocks_[i].next) {
    const size_t taken = std::min(bytes.size(), kBlockBytes);
    if (std::memcmp(blocks_[i].data.data(), bytes.data(), taken) != 0) return false;
    bytes = bytes.subspan(taken);
  }
  return true;
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
