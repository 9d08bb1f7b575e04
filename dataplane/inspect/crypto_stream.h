#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/inspect/identify.h"

namespace sallyport {

inline constexpr size_t kMaxCryptoRanges = 64;

/// Which bytes of a stream of CRYPTO frames have come (RFC 9000 section 19.6). The bytes themselves
/// lie in a buffer that the caller keeps beside it and gives to every call. Trivially copyable.
class CryptoStream {
 public:
  /// Puts `bytes` at `offset` of the stream into `buffer`.
  /// @return none; tls_hello_too_long when they do not fit `buffer` (at most 65,535 bytes of it
  ///         count); quic_crypto_conflict when a byte differs from one that has come before;
  ///         quic_too_many_gaps when they would make over kMaxCryptoRanges separate ranges.
  InspectFault add(uint64_t offset, std::span<const uint8_t> bytes,
                   std::span<uint8_t> buffer) noexcept;

  /// Where the bytes that have come without a gap from `from` on end; `from` itself when none did.
  uint32_t contiguous_end(uint32_t from) const noexcept;

  /// One past the last byte that has come.
  uint32_t end() const noexcept { return count_ == 0 ? 0 : ranges_[count_ - 1].end; }

 private:
  /// Never empty. In order, with a gap between any two.
  struct Range {
    uint16_t begin;
    uint16_t end;
  };
  std::array<Range, kMaxCryptoRanges> ranges_{};
  uint32_t count_ = 0;
};

}  // namespace sallyport
