// The functions used here are deprecated in favour of EVP; digest.h says why they are used.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "dataplane/inspect/digest.h"

#include <algorithm>

namespace sallyport {

Sha256::Sha256() noexcept {
  SHA256_Init(&context_);
}

void Sha256::update(std::span<const uint8_t> bytes) noexcept {
  SHA256_Update(&context_, bytes.data(), bytes.size());
}

void Sha256::update(std::string_view text) noexcept {
  SHA256_Update(&context_, text.data(), text.size());
}

Sha256::Value Sha256::finish() noexcept {
  Value value;
  SHA256_Final(value.data(), &context_);
  return value;
}

Md5::Md5() noexcept {
  MD5_Init(&context_);
}

void Md5::update(std::string_view text) noexcept {
  MD5_Update(&context_, text.data(), text.size());
}

Md5::Value Md5::finish() noexcept {
  Value value;
  MD5_Final(value.data(), &context_);
  return value;
}

HmacSha256::HmacSha256(std::span<const uint8_t> key) noexcept {
  std::array<uint8_t, SHA256_CBLOCK> block{};
  std::copy_n(key.begin(), std::min(key.size(), block.size()), block.begin());
  for (uint8_t& byte : block) byte ^= 0x36;
  inner_.update(block);
  for (uint8_t& byte : block) byte ^= 0x36 ^ 0x5c;
  outer_.update(block);
}

Sha256::Value HmacSha256::of(std::span<const uint8_t> message) const noexcept {
  Sha256 inner = inner_;
  inner.update(message);
  Sha256 outer = outer_;
  outer.update(inner.finish());
  return outer.finish();
}

}  // namespace sallyport
