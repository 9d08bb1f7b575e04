#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <type_traits>

namespace sallyport {

inline constexpr uint32_t kNoSlot = UINT32_MAX;

/// A bounded number of Ts that come and go. Allocated once, and touched only where it is used; a T
/// stays where it is. One owner, no lock.
template <typename T>
class SlotPool {
 public:
  explicit SlotPool(uint32_t capacity)
      : slots_(std::make_unique_for_overwrite<Slot[]>(capacity)), capacity_(capacity) {}

  /// @return the index of a fresh T, or kNoSlot when every slot is in use.
  uint32_t acquire() noexcept {
    uint32_t index = free_;
    if (index != kNoSlot) {
      free_ = slots_[index].next;
    } else if (touched_ < capacity_) {
      index = touched_++;
    } else {
      return kNoSlot;
    }
    ::new (slots_[index].memory) T();
    ++in_use_;
    return index;
  }
  /// kNoSlot is ignored.
  void release(uint32_t index) noexcept {
    static_assert(std::is_trivially_destructible_v<T>);
    if (index == kNoSlot) return;
    slots_[index].next = free_;
    free_ = index;
    --in_use_;
  }

  /// `index` from acquire(), not released since.
  T& operator[](uint32_t index) noexcept {
    return *std::launder(reinterpret_cast<T*>(slots_[index].memory));
  }
  uint32_t in_use() const noexcept { return in_use_; }

 private:
  struct Slot {
    alignas(T) std::byte memory[sizeof(T)];
    uint32_t next;
  };

  std::unique_ptr<Slot[]> slots_;
  uint32_t capacity_;
  uint32_t touched_ = 0;  // slots before this one were in use at some time
  uint32_t free_ = kNoSlot;
  uint32_t in_use_ = 0;
};

}  // namespace sallyport
