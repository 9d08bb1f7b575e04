#include "dataplane/inspect/name_store.h"

#include <algorithm>
#include <cstring>

namespace sallyport {

NameStore::NameStore(uint32_t blocks) : blocks_(blocks) {
  for (uint32_t i = blocks; i-- > 0;) {
    blocks_[i].next = free_;
    free_ = i;
  }
}

uint32_t NameStore::store(std::string_view name) noexcept {
  const auto needed =
      static_cast<uint32_t>((name.size() + sizeof(Block::bytes) - 1) / sizeof(Block::bytes));
  if (name.empty() || blocks_.size() - in_use_ < needed) return kNone;

  const uint32_t handle = free_;
  uint32_t last = kNone;
  for (uint32_t at = free_; !name.empty(); at = blocks_[at].next) {
    const size_t take = std::min(name.size(), sizeof(Block::bytes));
    std::memcpy(blocks_[at].bytes.data(), name.data(), take);
    if (take < sizeof(Block::bytes)) blocks_[at].bytes[take] = '\0';
    name.remove_prefix(take);
    last = at;
  }
  free_ = blocks_[last].next;
  blocks_[last].next = kNone;
  in_use_ += needed;
  return handle;
}

void NameStore::load(uint32_t handle, HostName& out) const noexcept {
  std::array<char, 320> joined;
  size_t size = 0;
  for (; handle != kNone && size + sizeof(Block::bytes) <= joined.size();
       handle = blocks_[handle].next) {
    const auto& bytes = blocks_[handle].bytes;
    const size_t used = strnlen(bytes.data(), bytes.size());
    std::memcpy(joined.data() + size, bytes.data(), used);
    size += used;
  }
  // It was canonical when stored, so it is again.
  if (out.assign({joined.data(), size}) != HostNameFault::none) out.clear();
}

void NameStore::release(uint32_t handle) noexcept {
  while (handle != kNone) {
    const uint32_t next = blocks_[handle].next;
    blocks_[handle].next = free_;
    free_ = handle;
    --in_use_;
    handle = next;
  }
}

}  // namespace sallyport
