#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <vector>

#include "policy/runtime/identity_codec.h"
#include "policy/runtime/image.h"

namespace sallyport {

/// Counts up with any change to image.fbs or to what its fields mean. Older and newer images are
/// refused: an image is always recompiled from its sources, never migrated.
inline constexpr uint32_t kImageFormat = 2;

/// Limits on what an image may hold, shared by the compiler and the loader.
inline constexpr uint32_t kMaxRules = 1u << 20;
inline constexpr uint32_t kMaxClauses = 1u << 23;

/// What stands at the start of a file or message, and how large it may be.
struct SealKind {
  std::array<char, 8> magic;
  uint32_t format;
  size_t max_bytes;
};
inline constexpr SealKind kPolicySeal{
    {'S', 'P', 'P', 'O', 'L', 'I', 'C', 'Y'}, kImageFormat, kMaxImageBytes};
inline constexpr SealKind kIdentitySeal{
    {'S', 'P', 'I', 'D', 'F', 'E', 'E', 'D'}, kIdentityFormat, kMaxFeedBytes};

struct OpenedImage {
  std::span<const uint8_t> payload;
  uint64_t revision = 0;
};

/// Puts a header in front of `payload`.
std::vector<uint8_t> seal(const SealKind& kind, std::span<const uint8_t> payload);
inline std::vector<uint8_t> seal_image(std::span<const uint8_t> payload) {
  return seal(kPolicySeal, payload);
}

/// The revision that seal_image() and open_image() give this payload. Never 0.
uint64_t payload_revision(std::span<const uint8_t> payload);

/// Checks everything but the payload's content.
/// @return the payload (borrowed), or too_short, too_large, bad_magic, unsupported_format,
///         bad_length or bad_digest.
std::expected<OpenedImage, Refusal> open_sealed(const SealKind& kind,
                                                std::span<const uint8_t> image);
inline std::expected<OpenedImage, Refusal> open_image(std::span<const uint8_t> image) {
  return open_sealed(kPolicySeal, image);
}

}  // namespace sallyport
