#include "policy/runtime/image.h"

#include <openssl/evp.h>

#include <array>
#include <cstring>
#include <memory>

#include "policy/runtime/image_codec.h"

namespace sallyport {
namespace {

/// The first 64 bytes of an image or a feed, little-endian. The digest covers `covered` and the
/// payload's own digest, so that no bit of the file is outside it.
struct Header {
  struct Covered {
    std::array<char, 8> magic{};
    uint32_t format = 0;
    uint32_t reserved = 0;
    uint64_t payload_bytes = 0;
    uint64_t reserved2 = 0;
  } covered;
  std::array<uint8_t, 32> digest{};
};
static_assert(sizeof(Header) == ImageHeader::kBytes);
static_assert(sizeof(Header::Covered) == 32);

using Digest = std::array<uint8_t, 32>;

Digest sha256(std::span<const uint8_t> first, std::span<const uint8_t> second = {}) {
  struct FreeContext {
    void operator()(EVP_MD_CTX* context) const noexcept { EVP_MD_CTX_free(context); }
  };
  Digest out{};
  const std::unique_ptr<EVP_MD_CTX, FreeContext> context(EVP_MD_CTX_new());
  const bool done = context && EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1 &&
                    EVP_DigestUpdate(context.get(), first.data(), first.size()) == 1 &&
                    EVP_DigestUpdate(context.get(), second.data(), second.size()) == 1 &&
                    EVP_DigestFinal_ex(context.get(), out.data(), nullptr) == 1;
  if (!done) throw std::bad_alloc();
  return out;
}

std::span<const uint8_t> bytes_of(const Header::Covered& covered) {
  return {reinterpret_cast<const uint8_t*>(&covered), sizeof covered};
}

uint64_t revision_of(const Digest& payload_digest) {
  uint64_t revision = 0;
  for (size_t i = 0; i < 6; ++i) revision = revision << 8 | payload_digest[i];
  return revision == 0 ? 1 : revision;  // 0 means "no policy".
}

}  // namespace

uint64_t payload_revision(std::span<const uint8_t> payload) {
  return revision_of(sha256(payload));
}

std::vector<uint8_t> seal(const SealKind& kind, std::span<const uint8_t> payload) {
  Header header;
  header.covered.magic = kind.magic;
  header.covered.format = kind.format;
  header.covered.payload_bytes = payload.size();
  header.digest = sha256(bytes_of(header.covered), sha256(payload));
  std::vector<uint8_t> image(sizeof header + payload.size());
  std::memcpy(image.data(), &header, sizeof header);
  if (!payload.empty()) std::memcpy(image.data() + sizeof header, payload.data(), payload.size());
  return image;
}

std::expected<OpenedImage, Refusal> open_sealed(const SealKind& kind,
                                                std::span<const uint8_t> image) {
  if (image.size() < sizeof(Header)) return std::unexpected(Refusal::too_short);
  if (image.size() > kind.max_bytes) return std::unexpected(Refusal::too_large);
  Header header;
  std::memcpy(&header, image.data(), sizeof header);
  if (header.covered.magic != kind.magic) return std::unexpected(Refusal::bad_magic);
  if (header.covered.format != kind.format) return std::unexpected(Refusal::unsupported_format);
  const auto payload = image.subspan(sizeof header);
  if (header.covered.payload_bytes != payload.size()) return std::unexpected(Refusal::bad_length);
  const Digest payload_digest = sha256(payload);
  if (header.digest != sha256(bytes_of(header.covered), payload_digest)) {
    return std::unexpected(Refusal::bad_digest);
  }
  return OpenedImage{payload, revision_of(payload_digest)};
}

std::array<char, 12> revision_digits(uint64_t revision) noexcept {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::array<char, 12> digits;
  for (size_t i = digits.size(); i-- > 0; revision >>= 4) digits[i] = kHex[revision & 0xf];
  return digits;
}

std::string revision_text(uint64_t revision) {
  const auto digits = revision_digits(revision);
  return {digits.begin(), digits.end()};
}

}  // namespace sallyport
