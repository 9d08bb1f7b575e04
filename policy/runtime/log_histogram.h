#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

namespace sallyport {

/// The buckets of every histogram in the stats segment: log-linear, 32 to each power of two, so
/// that a bucket's middle is at most 1.6 % off any value in it. Values under 32 have a bucket each;
/// those of 2^42 (73 minutes in nanoseconds: more than anything may be held) and more share the
/// last.
inline constexpr unsigned kBucketBits = 5;
inline constexpr uint64_t kBucketsEach = uint64_t{1} << kBucketBits;
inline constexpr unsigned kHistogramBits = 42;
inline constexpr size_t kHistogramBuckets = (kHistogramBits - kBucketBits + 1) * kBucketsEach;
/// Of one histogram in a core's block: the sum of all values, and the counts.
inline constexpr size_t kHistogramSlots = 1 + kHistogramBuckets;

constexpr size_t bucket_of(uint64_t value) noexcept {
  constexpr uint64_t kMost = (uint64_t{1} << kHistogramBits) - 1;
  value = std::min(value, kMost);
  if (value < kBucketsEach) return value;
  const auto shift = static_cast<unsigned>(std::bit_width(value)) - 1 - kBucketBits;
  return (shift << kBucketBits) + (value >> shift);
}

/// The least value of a bucket.
constexpr uint64_t bucket_floor(size_t bucket) noexcept {
  if (bucket < 2 * kBucketsEach) return bucket;
  const size_t shift = (bucket >> kBucketBits) - 1;
  return (kBucketsEach + (bucket & (kBucketsEach - 1))) << shift;
}

/// The value below which a share of `quantile`, 0 to 1, of all values lie: a bucket's middle.
/// @param counts  kHistogramBuckets of them.
/// @return 0 when nothing was counted.
constexpr double histogram_quantile(std::span<const uint64_t> counts, double quantile) noexcept {
  uint64_t total = 0;
  for (const uint64_t count : counts) total += count;
  if (total == 0) return 0;
  // The first value that so many others are not above.
  const double exact = quantile * static_cast<double>(total);
  auto rank = static_cast<uint64_t>(exact);
  if (static_cast<double>(rank) < exact) ++rank;
  rank = std::clamp<uint64_t>(rank, 1, total);
  uint64_t seen = 0;
  size_t bucket = 0;
  while ((seen += counts[bucket]) < rank) ++bucket;
  const auto least = static_cast<double>(bucket_floor(bucket));
  const auto next = static_cast<double>(bucket_floor(bucket + 1));
  return least + (next - least - 1) / 2;
}

}  // namespace sallyport
