#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/inspect/big_endian.h"

namespace sallyport {

/// Reads big-endian fields from borrowed bytes and cannot read past their end.
///
/// The first read that does not fit fails the reader: it and every later read give zero or an
/// empty view, and ok() stays false. A parser reads straight down and checks ok() once, and
/// `while (!in.empty())` always ends.
class ByteReader {
 public:
  explicit ByteReader(std::span<const uint8_t> bytes) noexcept : rest_(bytes) {}

  bool ok() const noexcept { return ok_; }
  bool empty() const noexcept { return rest_.empty(); }

  std::span<const uint8_t> bytes(size_t count) noexcept {
    if (count > rest_.size()) {
      ok_ = false;
      rest_ = {};
      return {};
    }
    const auto taken = rest_.first(count);
    rest_ = rest_.subspan(count);
    return taken;
  }

  uint8_t u8() noexcept {
    const auto at = bytes(1);
    return at.empty() ? uint8_t{0} : at[0];
  }
  uint16_t u16() noexcept {
    const auto at = bytes(2);
    return at.empty() ? uint16_t{0} : load_be16(at.data());
  }
  uint32_t u32() noexcept {
    const auto at = bytes(4);
    return at.empty() ? uint32_t{0} : load_be32(at.data());
  }

  /// QUIC's variable-length integer (RFC 9000 section 16): 1, 2, 4 or 8 bytes, 0..2^62-1.
  uint64_t varint() noexcept {
    if (rest_.empty()) return u8();  // fails the reader
    const size_t width = size_t{1} << (rest_[0] >> 6);
    uint64_t value = 0;
    for (const uint8_t byte : bytes(width)) value = value << 8 | byte;
    return value & ((uint64_t{1} << (width * 8 - 2)) - 1);
  }

  /// A nested reader over the block whose length comes first, in 1 or 2 bytes.
  ByteReader block8() noexcept { return nested(u8()); }
  ByteReader block16() noexcept { return nested(u16()); }

  /// Everything not read yet.
  std::span<const uint8_t> rest() const noexcept { return rest_; }

 private:
  ByteReader nested(size_t length) noexcept {
    ByteReader inner(bytes(length));
    inner.ok_ = ok_;
    return inner;
  }

  std::span<const uint8_t> rest_;
  bool ok_ = true;
};

}  // namespace sallyport
