#include "dataplane/inspect/fixed_heap.h"

#include <new>

namespace sallyport {
namespace {

constexpr size_t kUnit = 16;

}  // namespace

FixedHeap::FixedHeap(std::span<std::byte> memory) noexcept
    : memory_(memory.first(memory.size() / kUnit * kUnit)) {
  static_assert(sizeof(Header) == kUnit);
  if (memory_.empty()) return;
  new (memory_.data()) Header{static_cast<uint32_t>(memory_.size() - sizeof(Header)), false};
}

FixedHeap::Header* FixedHeap::at(size_t offset) noexcept {
  return std::launder(reinterpret_cast<Header*>(memory_.data() + offset));
}

// Joins the free block at `offset` with the free ones right behind it.
void FixedHeap::join_free(size_t offset) noexcept {
  Header* const block = at(offset);
  for (;;) {
    const size_t behind = offset + sizeof(Header) + block->bytes;
    if (behind == memory_.size() || at(behind)->used) return;
    block->bytes += static_cast<uint32_t>(sizeof(Header) + at(behind)->bytes);
  }
}

void* FixedHeap::allocate(size_t size) noexcept {
  if (size > memory_.size()) return nullptr;
  const size_t wanted = (size + kUnit - 1) / kUnit * kUnit;
  for (size_t offset = 0; offset != memory_.size();) {
    Header* const block = at(offset);
    if (!block->used) join_free(offset);
    if (block->used || block->bytes < wanted) {
      offset += sizeof(Header) + block->bytes;
      continue;
    }
    if (const size_t left = block->bytes - wanted; left >= sizeof(Header)) {
      block->bytes = static_cast<uint32_t>(wanted);
      new (memory_.data() + offset + sizeof(Header) + wanted)
          Header{static_cast<uint32_t>(left - sizeof(Header)), false};
    }
    block->used = true;
    ++in_use_;
    return memory_.data() + offset + sizeof(Header);
  }
  return nullptr;
}

void FixedHeap::free(void* block) noexcept {
  std::launder(reinterpret_cast<Header*>(static_cast<std::byte*>(block) - sizeof(Header)))->used =
      false;
  --in_use_;
}

bool FixedHeap::owns(const void* block) const noexcept {
  const auto address = reinterpret_cast<uintptr_t>(block);
  const auto first = reinterpret_cast<uintptr_t>(memory_.data());
  return address >= first && address - first < memory_.size();
}

size_t FixedHeap::usable_bytes(const void* block) noexcept {
  const auto* const first = static_cast<const std::byte*>(block) - sizeof(Header);
  return std::launder(reinterpret_cast<const Header*>(first))->bytes;
}

}  // namespace sallyport
