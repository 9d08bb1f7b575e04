#pragma once

#include <openssl/md5.h>
#include <openssl/sha.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace sallyport {

/// OpenSSL's SHA-256 without EVP: EVP_DigestInit allocates on each call in OpenSSL 3.0, and packets
/// may not. A value: a copy goes on from where the original stood.
class Sha256 {
 public:
  static constexpr size_t kBytes = SHA256_DIGEST_LENGTH;
  using Value = std::array<uint8_t, kBytes>;

  Sha256() noexcept;
  void update(std::span<const uint8_t> bytes) noexcept;
  void update(std::string_view text) noexcept;
  Value finish() noexcept;  ///< Once; then only assignment makes it useful again.

 private:
  SHA256_CTX context_;
};

/// The same for MD5, which JA3 is made of; no security hangs on it.
class Md5 {
 public:
  static constexpr size_t kBytes = MD5_DIGEST_LENGTH;
  using Value = std::array<uint8_t, kBytes>;

  Md5() noexcept;
  void update(std::string_view text) noexcept;
  Value finish() noexcept;

 private:
  MD5_CTX context_;
};

/// HMAC-SHA256 (RFC 2104) with the key's two blocks hashed once, so that more messages under the
/// same key cost less.
class HmacSha256 {
 public:
  /// @param key  At most 64 bytes.
  explicit HmacSha256(std::span<const uint8_t> key) noexcept;

  Sha256::Value of(std::span<const uint8_t> message) const noexcept;

 private:
  Sha256 inner_;
  Sha256 outer_;
};

}  // namespace sallyport
