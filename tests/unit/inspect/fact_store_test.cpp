#include "dataplane/inspect/fact_store.h"

#include <catch2/catch.hpp>
#include <map>
#include <random>

#include "tests/support/bytes.h"

using namespace sallyport;
using test::Bytes;

namespace {

constexpr size_t kBlock = 58;  // bytes of one block, as its size of 64 leaves them

Bytes loaded(const FactStore& store, uint32_t handle) {
  static Bytes out(kMaxKeptBytes);
  const auto got = store.load(handle, out);
  return Bytes(got.begin(), got.end());
}

Bytes bytes_of_size(size_t size, uint8_t first) {
  Bytes out(size);
  for (size_t i = 0; i < size; ++i) out[i] = static_cast<uint8_t>(first + i);
  return out;
}

size_t blocks_of(size_t size) {
  return (size + kBlock - 1) / kBlock;
}

}  // namespace

TEST_CASE("what is stored comes back, whatever its length", "[facts]") {
  FactStore store(40);
  for (size_t size = 1; size <= kShortFactsBytes; ++size) {
    CAPTURE(size);
    const Bytes bytes = bytes_of_size(size, 7);
    const uint32_t handle = store.store(bytes);
    REQUIRE(handle != FactStore::kNone);
    CHECK(store.blocks_in_use() == blocks_of(size));
    CHECK(loaded(store, handle) == bytes);
    CHECK(store.holds(handle, bytes));
    Bytes other = bytes;
    other[size * 7 / 11] ^= 1;
    CHECK_FALSE(store.holds(handle, other));
    CHECK_FALSE(store.holds(handle, bytes_of_size(size + 1, 7)));
    CHECK_FALSE(store.holds(handle, bytes_of_size(size - 1, 7)));
    CHECK_FALSE(store.holds(FactStore::kNone, bytes));
    store.release(handle);
    CHECK(store.blocks_in_use() == 0);
  }
}

TEST_CASE("long contents come back, and take half of the store at most", "[facts]") {
  FactStore store(2 * 1130);  // of which 1130 blocks hold the longest
  const Bytes longest = bytes_of_size(kMaxKeptBytes, 3);
  const uint32_t handle = store.store(longest);
  REQUIRE(handle != FactStore::kNone);
  CHECK(store.blocks_in_use() == 1130);
  CHECK(loaded(store, handle) == longest);
  CHECK(store.store(Bytes(kShortFactsBytes + 1)) == FactStore::kNone);
  std::vector<uint32_t> others;
  for (size_t room = 1130 / blocks_of(kShortFactsBytes); room > 0; --room) {
    others.push_back(store.store(Bytes(kShortFactsBytes)));
    REQUIRE(others.back() != FactStore::kNone);
  }
  store.release(handle);
  CHECK(store.store(longest) == FactStore::kNone);
  for (const uint32_t other : others) store.release(other);
  CHECK(store.blocks_in_use() == 0);
  CHECK(loaded(store, store.store(longest)) == longest);
}

TEST_CASE("nothing is kNone, both ways, and too much is not kept", "[facts]") {
  FactStore store(4000);
  CHECK(store.store({}) == FactStore::kNone);
  CHECK(store.store(Bytes(kMaxKeptBytes + 1)) == FactStore::kNone);
  CHECK(loaded(store, FactStore::kNone).empty());
  store.release(FactStore::kNone);
  CHECK(store.blocks_in_use() == 0);
  CHECK(FactStore(0).store(Bytes(1)) == FactStore::kNone);
}

TEST_CASE("a store is full when the last block would not fit", "[facts]") {
  FactStore store(3);
  CHECK(store.store(Bytes(3 * kBlock + 1)) == FactStore::kNone);
  CHECK(store.blocks_in_use() == 0);
  const uint32_t two = store.store(bytes_of_size(2 * kBlock, 1));
  CHECK(store.store(Bytes(kBlock + 1)) == FactStore::kNone);
  const uint32_t one = store.store(bytes_of_size(kBlock, 9));
  CHECK(store.store(Bytes(1)) == FactStore::kNone);
  CHECK(loaded(store, two) == bytes_of_size(2 * kBlock, 1));
  store.release(two);
  CHECK(loaded(store, one) == bytes_of_size(kBlock, 9));
  CHECK(store.blocks_in_use() == 1);
}

TEST_CASE("random contents come and go as in a map", "[facts][property]") {
  std::mt19937 random(11);
  for (int round = 0; round < 20; ++round) {
    const auto capacity = static_cast<uint32_t>(1 + random() % 64);
    FactStore store(capacity);
    std::map<uint32_t, Bytes> model;
    size_t blocks = 0;
    for (int step = 0; step < 1000; ++step) {
      if (random() % 2 == 0 || model.empty()) {
        const Bytes bytes = bytes_of_size(1 + random() % 600, static_cast<uint8_t>(random()));
        const uint32_t handle = store.store(bytes);
        REQUIRE((handle != FactStore::kNone) == (blocks + blocks_of(bytes.size()) <= capacity));
        if (handle == FactStore::kNone) continue;
        REQUIRE(model.emplace(handle, bytes).second);
        blocks += blocks_of(bytes.size());
      } else {
        auto victim = std::next(model.begin(), static_cast<int>(random() % model.size()));
        blocks -= blocks_of(victim->second.size());
        store.release(victim->first);
        model.erase(victim);
      }
      REQUIRE(store.blocks_in_use() == blocks);
      for (const auto& [handle, bytes] : model) REQUIRE(loaded(store, handle) == bytes);
    }
  }
}
