#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "dataplane/inspect/byte_reader.h"

namespace sallyport {

/// Reads numbers in the byte order of whoever wrote a capture, and cannot read past the end.
///
/// Like ByteReader: the first read that does not fit fails the reader, which gives zeros and empty
/// views from then on; read straight down and ask ok() once.
class CaptureFields {
 public:
  /// @param swapped  The writer's byte order is not this machine's.
  CaptureFields(std::span<const uint8_t> bytes, bool swapped) noexcept
      : reader_(bytes), swapped_(swapped) {}

  bool ok() const noexcept { return reader_.ok(); }
  std::span<const uint8_t> rest() const noexcept { return reader_.rest(); }

  std::span<const uint8_t> bytes(size_t count) noexcept { return reader_.bytes(count); }

  uint16_t u16() noexcept { return number<uint16_t>(); }
  uint32_t u32() noexcept { return number<uint32_t>(); }
  uint64_t u64() noexcept { return number<uint64_t>(); }

 private:
  template <std::unsigned_integral T>
  T number() noexcept {
    const auto taken = bytes(sizeof(T));
    T value = 0;
    if (taken.size() == sizeof(T)) std::memcpy(&value, taken.data(), sizeof(T));
    return swapped_ ? std::byteswap(value) : value;
  }

  ByteReader reader_;
  bool swapped_;
};

}  // namespace sallyport
