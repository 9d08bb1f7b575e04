#include "dataplane/io/flow_table.h"

#include <array>
#include <catch2/catch.hpp>
#include <map>
#include <random>
#include <vector>

#include "dataplane/io/flow_hash.h"

using namespace sallyport;

namespace {

FlowKey key_of(uint32_t n) {
  FlowKey key;
  key.inside_port = static_cast<uint16_t>(n);
  key.outside_port = static_cast<uint16_t>(n >> 16);
  key.ip_protocol = kIpProtocolTcp;
  return key;
}

/// Every flow that was put in is found, alone and in a burst, and no other.
void check_all(const FlowTable& table, const std::map<uint32_t, uint32_t>& expected, uint32_t keys,
               uint32_t (*hash_of)(uint32_t)) {
  std::vector<FlowKey> all;
  std::vector<uint32_t> hashes;
  for (uint32_t n = 0; n < keys; ++n) {
    all.push_back(key_of(n));
    hashes.push_back(hash_of(n));
  }
  std::vector<uint32_t> found(keys);
  table.find(all.data(), hashes, found.data());
  for (uint32_t n = 0; n < keys; ++n) {
    const auto at = expected.find(n);
    const uint32_t index = at == expected.end() ? FlowTable::kNone : at->second;
    REQUIRE(table.find(all[n], hashes[n]) == index);
    REQUIRE(found[n] == index);
  }
  REQUIRE(table.size() == expected.size());
}

/// Puts flows in and takes them out at random, against a map.
void compare(uint32_t (*hash_of)(uint32_t)) {
  constexpr uint32_t kCapacity = 37;
  constexpr uint32_t kKeys = 60;
  FlowTable table(kCapacity);
  std::map<uint32_t, uint32_t> expected;
  std::mt19937 random(1);
  for (int round = 0; round < 3000; ++round) {
    const auto n = static_cast<uint32_t>(random() % kKeys);
    if (const auto at = expected.find(n); at != expected.end()) {
      table.erase(at->second, hash_of(n));
      expected.erase(at);
    } else if (const uint32_t index = table.insert(key_of(n), hash_of(n));
               index != FlowTable::kNone) {
      REQUIRE(table.flow(index).key.inside_port == n);
      expected[n] = index;
    } else {
      REQUIRE(expected.size() == kCapacity);
    }
    check_all(table, expected, kKeys, hash_of);
  }
}

}  // namespace

TEST_CASE("the flow table finds what is in it, whatever the hashes", "[flow]") {
  SECTION("hashes as FlowHash makes them") {
    compare([](uint32_t n) { return FlowHash::bucket_part(FlowHash(1)(key_of(n))); });
  }
  SECTION("all the same") {
    compare([](uint32_t) { return 5u; });
  }
  SECTION("next to one another, round the end of the table") {
    compare([](uint32_t n) { return UINT32_MAX - 3 + n % 7; });
  }
  SECTION("the same place, another hash") {
    compare([](uint32_t n) { return n << 16 | 127; });
  }
}

TEST_CASE("a full flow table takes no flow until one has gone", "[flow]") {
  FlowTable table(2);
  const uint32_t first = table.insert(key_of(1), 1);
  REQUIRE(first != FlowTable::kNone);
  REQUIRE(table.insert(key_of(2), 2) != FlowTable::kNone);
  CHECK(table.insert(key_of(3), 3) == FlowTable::kNone);
  CHECK(table.size() == table.capacity());
  table.erase(first, 1);
  CHECK(table.flow(first).state == FlowState::free);
  CHECK(table.insert(key_of(3), 3) == first);
}
