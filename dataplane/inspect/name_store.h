#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "policy/runtime/host_name.h"

namespace sallyport {

/// Keeps the names of live flows, so that a new policy can decide them again. Names are cut into
/// 60-byte blocks: most take one, so a flow costs 64 bytes rather than 254. One owner, no lock;
/// allocated once.
class NameStore {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr uint32_t kMostBlocks =
      5;  ///< Of the longest name: so many a flow never run out.

  explicit NameStore(uint32_t blocks);

  /// @return a handle for load() and release(), or kNone when the store is full or `name` empty.
  uint32_t store(std::string_view name) noexcept;
  /// Copies the name out. kNone gives an empty name.
  void load(uint32_t handle, HostName& out) const noexcept;
  /// Gives the blocks back; kNone is ignored.
  void release(uint32_t handle) noexcept;

  uint32_t blocks_in_use() const noexcept { return in_use_; }

 private:
  struct Block {
    uint32_t next = kNone;
    std::array<char, 60> bytes{};  ///< The last block of a name is ended by NUL, if not full.
  };
  static_assert(sizeof(Block) == 64 && kMostBlocks * sizeof(Block::bytes) >= kMaxHostNameBytes);

  std::vector<Block> blocks_;
  uint32_t free_ = kNone;
  uint32_t in_use_ = 0;
};

}  // namespace sallyport
