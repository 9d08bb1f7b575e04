#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace sallyport::test {

using Bytes = std::vector<uint8_t>;

inline Bytes bytes_of(std::string_view text) {
  return {text.begin(), text.end()};
}

/// "0a1b2c", without spaces.
inline Bytes from_hex(std::string_view text) {
  const auto digit = [](char c) { return static_cast<uint8_t>(c <= '9' ? c - '0' : c - 'a' + 10); };
  Bytes out;
  for (size_t i = 0; i + 1 < text.size(); i += 2) {
    out.push_back(static_cast<uint8_t>(digit(text[i]) << 4 | digit(text[i + 1])));
  }
  return out;
}

// Not inlined: GCC 12 at -O3 takes a growing vector's insert for an overflow.
[[gnu::noinline]] inline void append(Bytes& out, const Bytes& more) {
  out.insert(out.end(), more.begin(), more.end());
}

/// Big-endian, `width` bytes.
inline void put(Bytes& out, uint64_t value, size_t width) {
  while (width-- > 0) out.push_back(static_cast<uint8_t>(value >> (width * 8)));
}
inline void put8(Bytes& out, uint64_t value) {
  put(out, value, 1);
}
inline void put16(Bytes& out, uint64_t value) {
  put(out, value, 2);
}
inline void put32(Bytes& out, uint64_t value) {
  put(out, value, 4);
}

/// Overwrites two bytes at `at`, big-endian.
inline void store16(Bytes& out, size_t at, uint64_t value) {
  out.at(at) = static_cast<uint8_t>(value >> 8);
  out.at(at + 1) = static_cast<uint8_t>(value);
}

/// `inner` behind its length in `width` bytes.
inline Bytes block(const Bytes& inner, size_t width) {
  Bytes out;
  put(out, inner.size(), width);
  append(out, inner);
  return out;
}

inline Bytes operator+(Bytes left, const Bytes& right) {
  append(left, right);
  return left;
}

/// The first `size` bytes in a heap block of their own, so that ASan sees a read past them.
inline Bytes prefix_of(const Bytes& whole, size_t size) {
  return {whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)};
}

}  // namespace sallyport::test
