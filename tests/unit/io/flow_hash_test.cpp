#include "dataplane/io/flow_hash.h"

#include <array>
#include <catch2/catch.hpp>
#include <cstring>
#include <random>
#include <set>

using namespace sallyport;

namespace {

FlowKey key_of(const std::array<uint64_t, 5>& words) {
  FlowKey key;
  std::memcpy(static_cast<void*>(&key), words.data(), sizeof key);
  return key;
}

}  // namespace

TEST_CASE("flows spread over buckets and owners", "[hash]") {
  const FlowHash hash(GENERATE(uint64_t{0}, uint64_t{1}, uint64_t{0x123456789abcdef}));
  std::set<uint32_t> buckets;
  std::array<int, 4> owners{};
  for (uint64_t port = 0; port < 10'000; ++port) {
    // IPv4: the first word of both addresses is zero.
    const uint64_t value = hash(key_of({0, 0x0200120affff0000, 0, 0x09007100cbffff00, port}));
    buckets.insert(FlowHash::bucket_part(value) % 65'536);
    ++owners[FlowHash::owner_part(value) >> 30];
  }
  CHECK(buckets.size() > 9'000);  // 9,270 for an ideal hash
  for (const int flows : owners) CHECK((flows > 2'300 && flows < 2'700));
}

TEST_CASE("no word that an attacker chooses wipes out the others", "[hash]") {
  std::mt19937_64 random(1);
  const FlowHash hash(random());
  // Words that would cancel a constant known from the source, and some that are merely odd.
  for (const uint64_t chosen :
       {uint64_t{0}, ~uint64_t{0}, uint64_t{0x243f6a8885a308d3}, uint64_t{0x13198a2e03707345},
        uint64_t{0xa4093822299f31d1}, uint64_t{0x9e3779b97f4a7c15}}) {
    for (size_t at = 0; at < 5; ++at) {
      std::set<uint64_t> seen;
      for (int i = 0; i < 1000; ++i) {
        std::array<uint64_t, 5> words{random(), random(), random(), random(), random()};
        words[at] = chosen;
        seen.insert(hash(key_of(words)));
      }
      CAPTURE(chosen, at);
      CHECK(seen.size() == 1000);
    }
  }
}

TEST_CASE("another seed gives another hash", "[hash]") {
  const FlowKey key = key_of({1, 2, 3, 4, 5});
  CHECK(FlowHash(1)(key) != FlowHash(2)(key));
  CHECK(FlowHash(1)(key) == FlowHash(1)(key));
}
