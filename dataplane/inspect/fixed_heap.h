#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace sallyport {

/// A small heap inside memory that somebody else owns: how a library that wants malloc() is kept to
/// a bound. First fit over blocks that lie behind one another; freed neighbours are joined by the
/// next search that passes them. Not for many thousand blocks.
class FixedHeap {
 public:
  FixedHeap() = default;
  /// @param memory  At a multiple of 16, and outlives the heap. Its content is overwritten.
  explicit FixedHeap(std::span<std::byte> memory) noexcept;

  /// @return  At a multiple of 16; nullptr when no free block is large enough.
  [[nodiscard]] void* allocate(size_t size) noexcept;
  /// @param at  From allocate() of this heap and not freed since.
  void free(void* at) noexcept;
  bool owns(const void* at) const noexcept;
  /// Of the block at `at`, at least what was asked for.
  static size_t usable_bytes(const void* at) noexcept;
  /// Blocks that were not freed.
  size_t blocks_in_use() const noexcept { return in_use_; }

 private:
  struct alignas(16) Header {
    uint32_t bytes;  ///< Of the block behind the header.
    bool used;
  };

  Header* at(size_t offset) noexcept;
  void join_free(size_t offset) noexcept;

  std::span<std::byte> memory_;
  size_t in_use_ = 0;
};

}  // namespace sallyport
