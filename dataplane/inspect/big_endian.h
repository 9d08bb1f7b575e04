#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

namespace sallyport {

static_assert(std::endian::native == std::endian::little, "the loads below swap");

/// Unaligned network-order loads for headers whose length was checked once, before. Where lengths
/// come from the bytes themselves, use ByteReader instead.
inline uint16_t load_be16(const uint8_t* at) noexcept {
  uint16_t value;
  std::memcpy(&value, at, sizeof value);
  return std::byteswap(value);
}

inline uint32_t load_be32(const uint8_t* at) noexcept {
  uint32_t value;
  std::memcpy(&value, at, sizeof value);
  return std::byteswap(value);
}

inline void store_be16(uint8_t* at, uint16_t value) noexcept {
  value = std::byteswap(value);
  std::memcpy(at, &value, sizeof value);
}

inline void store_be32(uint8_t* at, uint32_t value) noexcept {
  value = std::byteswap(value);
  std::memcpy(at, &value, sizeof value);
}

}  // namespace sallyport
