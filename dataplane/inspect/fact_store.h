#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>

namespace sallyport {

/// The most that is kept of one flow's facts, in bytes as pack_facts() has them: more than the
/// longest head of a request says, in every reading of its path.
inline constexpr size_t kMaxKeptBytes = UINT16_MAX;
/// What is longer is kept only while under half of the store is in use: long facts leave room for
/// those of other flows.
inline constexpr size_t kShortFactsBytes = 2048;

/// Keeps what live flows said of themselves, so that a new policy can decide them again. Texts are
/// cut into blocks: a TLS flow takes two or three, a request as many as its path and fields need.
/// One owner, no lock; allocated once, and touched only where it is used.
class FactStore {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;

  explicit FactStore(uint32_t blocks);

  /// @return a handle for load() and release(), or kNone when the store is full, for `bytes` over
  ///         kShortFactsBytes half full, or `bytes` is empty or over kMaxKeptBytes.
  uint32_t store(std::span<const uint8_t> bytes) noexcept;
  /// Copies the bytes out. kNone gives none of them.
  /// @param out  At least kMaxKeptBytes. @return the part of it that is filled.
  std::span<const uint8_t> load(uint32_t handle, std::span<uint8_t> out) const noexcept;
  /// Whether that is what `handle` holds. kNone holds nothing, and nothing is held.
  bool holds(uint32_t handle, std::span<const uint8_t> bytes) const noexcept;
  /// Gives the blocks back; kNone is ignored.
  void release(uint32_t handle) noexcept;

  uint32_t blocks_in_use() const noexcept { return in_use_; }

 private:
  uint32_t acquire() noexcept;

  static constexpr size_t kBlockBytes = 58;
  struct Block {
    uint32_t next;
    uint16_t bytes;  ///< From this block to the last one's end.
    std::array<uint8_t, kBlockBytes> data;
  };
  static_assert(sizeof(Block) == 64);

  std::unique_ptr<Block[]> blocks_;
  uint32_t capacity_;
  uint32_t touched_ = 0;  // blocks before this one were in use at some time
  uint32_t free_ = kNone;
  uint32_t in_use_ = 0;
};

}  // namespace sallyport
