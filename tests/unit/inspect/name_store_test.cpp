#include "dataplane/inspect/name_store.h"

#include <catch2/catch.hpp>
#include <map>
#include <random>
#include <string>

using namespace sallyport;

namespace {

std::string loaded(const NameStore& store, uint32_t handle) {
  HostName out;
  CHECK(out.assign("left.over") == HostNameFault::none);
  store.load(handle, out);
  return std::string(out.view());
}

// A host name of exactly `size` bytes, 1 to 253.
std::string name_of(size_t size, char letter) {
  std::string out(size, letter);
  for (size_t at = 50; at + 1 < size; at += 51) out[at] = '.';
  return out;
}

}  // namespace

TEST_CASE("a name of every length comes back as it was", "[names]") {
  NameStore store(8);
  for (size_t size = 1; size <= kMaxHostNameBytes; ++size) {
    CAPTURE(size);
    const std::string name = name_of(size, 'a');
    const uint32_t handle = store.store(name);
    REQUIRE(handle != NameStore::kNone);
    CHECK(store.blocks_in_use() == (size + 59) / 60);
    CHECK(loaded(store, handle) == name);
    store.release(handle);
    CHECK(store.blocks_in_use() == 0);
  }
}

TEST_CASE("no name is kNone, both ways", "[names]") {
  NameStore store(2);
  CHECK(store.store("") == NameStore::kNone);
  CHECK(loaded(store, NameStore::kNone).empty());
  store.release(NameStore::kNone);
  CHECK(store.blocks_in_use() == 0);
  CHECK(NameStore(0).store("a") == NameStore::kNone);
}

TEST_CASE("a store is full when a name's last block would not fit", "[names]") {
  NameStore store(3);
  CHECK(store.store(name_of(181, 'a')) == NameStore::kNone);
  CHECK(store.blocks_in_use() == 0);
  const uint32_t two = store.store(name_of(120, 'b'));
  CHECK(store.store(name_of(61, 'c')) == NameStore::kNone);
  const uint32_t one = store.store(name_of(60, 'c'));
  CHECK(store.blocks_in_use() == 3);
  CHECK(store.store("d") == NameStore::kNone);
  CHECK(loaded(store, two) == name_of(120, 'b'));
  CHECK(loaded(store, one) == name_of(60, 'c'));
  store.release(two);
  CHECK(store.blocks_in_use() == 1);
  const uint32_t again = store.store(name_of(61, 'e'));
  CHECK(loaded(store, again) == name_of(61, 'e'));
  CHECK(loaded(store, one) == name_of(60, 'c'));
}

TEST_CASE("a shorter name in used blocks shows nothing of the longer one", "[names]") {
  NameStore store(4);
  for (const size_t size : {size_t{240}, size_t{59}, size_t{60}, size_t{61}, size_t{1}}) {
    const uint32_t handle = store.store(name_of(size, 'z'));
    CHECK(loaded(store, handle) == name_of(size, 'z'));
    store.release(handle);
  }
}

TEST_CASE("random names come and go as in a map", "[names][property]") {
  std::mt19937 random(11);
  for (int round = 0; round < 20; ++round) {
    const auto capacity = static_cast<uint32_t>(1 + random() % 64);
    NameStore store(capacity);
    std::map<uint32_t, std::string> model;
    size_t blocks = 0;
    for (int step = 0; step < 2000; ++step) {
      if (random() % 2 == 0 || model.empty()) {
        const std::string name =
            name_of(1 + random() % kMaxHostNameBytes, static_cast<char>('a' + random() % 26));
        const size_t needs = (name.size() + 59) / 60;
        const uint32_t handle = store.store(name);
        REQUIRE((handle != NameStore::kNone) == (blocks + needs <= capacity));
        if (handle == NameStore::kNone) continue;
        REQUIRE(model.emplace(handle, name).second);
        blocks += needs;
      } else {
        auto victim = std::next(model.begin(), static_cast<int>(random() % model.size()));
        blocks -= (victim->second.size() + 59) / 60;
        store.release(victim->first);
        model.erase(victim);
      }
      REQUIRE(store.blocks_in_use() == blocks);
      for (const auto& [handle, name] : model) REQUIRE(loaded(store, handle) == name);
    }
  }
}
