#pragma once

#include <cstdint>
#include <expected>
#include <span>
#include <vector>

#include "policy/runtime/image.h"

namespace sallyport {

/// Counts up with any change to image.fbs or to what its fields mean. Older and newer images are
/// refused: an image is always recompiled from its sources, never migrated.
inline constexpr uint32_t kImageFormat = 2;

/// Limits on what an image may hold, shared by the compiler and the loader.
inline constexpr uint32_t kMaxRules = 1u << 20;
inline constexpr uint32_t kMaxClauses = 1u << 23;

struct OpenedImage {
  std::span<const uint8_t> payload;
  uint64_t revision = 0;
};

/// Puts a header in front of `payload`.
std::vector<uint8_t> seal_image(std::span<const uint8_t> payload);

/// The revision that seal_image() and open_image() give this payload. Never 0.
uint64_t payload_revision(std::span<const uint8_t> payload);

/// Checks everything but the payload's content.
/// @return the payload (borrowed), or too_short, too_large, bad_magic, unsupported_format,
///         bad_length or bad_digest.
std::expected<OpenedImage, Refusal> open_image(std::span<const uint8_t> image);

}  // namespace sallyport
