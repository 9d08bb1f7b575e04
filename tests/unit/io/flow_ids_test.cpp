// Ids of flows: one flow each, over workers and restarts.
#include "dataplane/io/flow_ids.h"

#include <catch2/catch.hpp>
#include <random>
#include <set>

using namespace sallyport;

namespace {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kStart = 1'795'388'400 * kSecond;

}  // namespace

TEST_CASE("no two flows have the same id, whichever worker and run of the gateway", "[flow_ids]") {
  std::mt19937_64 random(1);
  std::set<uint64_t> seen;
  size_t given = 0;
  uint64_t now = kStart;
  for (int restart = 0; restart < 40; ++restart) {
    const uint64_t flows = random() % 3000;
    for (const unsigned worker : {0U, 1U, 30U, 31U, static_cast<unsigned>(kMaxCores) - 1}) {
      FlowIds ids(worker, now);
      for (uint64_t i = 0; i < flows; ++i) {
        const uint64_t id = ids.next();
        if (!seen.insert(id).second) FAIL("given twice: " << id);
        // As a double, and back.
        if (id == 0 || static_cast<uint64_t>(static_cast<double>(id)) != id) FAIL("rounded");
        if (id >= uint64_t{1} << 53) FAIL("too long: " << id);
        ++given;
      }
    }
    now += flows * FlowIds::kUnitNs + random() % kSecond + FlowIds::kUnitNs;
  }
  CHECK(seen.size() == given);
}

TEST_CASE("at every time there are ids, and they fit", "[flow_ids]") {
  for (const uint64_t start : {uint64_t{0}, kStart, 4 * kStart, UINT64_MAX}) {
    for (unsigned worker = 0; worker < kMaxCores; ++worker) {
      FlowIds ids(worker, start);
      for (int i = 0; i < 3; ++i) {
        const uint64_t id = ids.next();
        CAPTURE(start, worker, id);
        CHECK(id >> FlowIds::kCountBits == worker + 1);
        CHECK(id < uint64_t{1} << 53);
      }
    }
  }
}
