// The buckets that times and sizes are counted in.
#include "policy/runtime/log_histogram.h"

#include <catch2/catch.hpp>
#include <random>
#include <vector>

using namespace sallyport;

TEST_CASE("buckets follow one another without a gap", "[histogram]") {
  for (size_t bucket = 0; bucket < kHistogramBuckets; ++bucket) {
    CAPTURE(bucket);
    CHECK(bucket_of(bucket_floor(bucket)) == bucket);
    CHECK(bucket_of(bucket_floor(bucket + 1) - 1) == bucket);
    CHECK(bucket_floor(bucket) < bucket_floor(bucket + 1));
  }
  CHECK(bucket_floor(kHistogramBuckets) == uint64_t{1} << kHistogramBits);
  CHECK(bucket_of(UINT64_MAX) == kHistogramBuckets - 1);
}

TEST_CASE("a bucket's middle is at most 2 % off any value in it", "[histogram]") {
  for (size_t bucket = 0; bucket < kHistogramBuckets; ++bucket) {
    const auto least = static_cast<double>(bucket_floor(bucket));
    const auto most = static_cast<double>(bucket_floor(bucket + 1) - 1);
    const double middle = (least + most) / 2;
    CAPTURE(bucket);
    CHECK(middle - least <= 0.02 * least);
    CHECK(most - middle <= 0.02 * most);
  }
}

// inspection.timeout_seconds, the longest that anything is held, may be an hour.
TEST_CASE("a value is read back to 2 %, from a nanosecond to more than an hour", "[histogram]") {
  std::mt19937_64 random(1);
  std::vector<uint64_t> counts(kHistogramBuckets);
  const auto read_back = [&](uint64_t value) {
    const size_t bucket = bucket_of(value);
    counts[bucket] = 1;
    const double read = histogram_quantile(counts, 0.99);
    counts[bucket] = 0;
    return read;
  };
  constexpr uint64_t kLongest = uint64_t{3'660} * 1'000'000'000;
  std::vector<uint64_t> values{1, 31, 32, kLongest, (uint64_t{1} << kHistogramBits) - 1};
  for (double value = 1; value < static_cast<double>(kLongest); value *= 1.003) {
    values.push_back(static_cast<uint64_t>(value));
  }
  for (int i = 0; i < 2000; ++i) values.push_back(1 + random() % kLongest);
  for (const uint64_t value : values) {
    CAPTURE(value);
    const double off = read_back(value) / static_cast<double>(value) - 1;
    if (off > 0.016 || off < -0.016) FAIL("off by " << off);
  }
}

TEST_CASE("quantiles", "[histogram]") {
  std::vector<uint64_t> counts(kHistogramBuckets);
  CHECK(histogram_quantile(counts, 0.5) == 0);
  counts[bucket_of(7)] = 1;
  CHECK(histogram_quantile(counts, 0) == 7);
  CHECK(histogram_quantile(counts, 1) == 7);
  counts[bucket_of(7)] = 98;
  counts[bucket_of(1000)] = 1;
  counts[bucket_of(1'000'000)] = 1;
  CHECK(histogram_quantile(counts, 0.5) == 7);
  CHECK(histogram_quantile(counts, 0.98) == 7);
  CHECK(histogram_quantile(counts, 0.99) == Approx(1000).epsilon(0.02));
  CHECK(histogram_quantile(counts, 1) == Approx(1'000'000).epsilon(0.02));
}
