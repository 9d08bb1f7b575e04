// What it costs to find the flows of a burst: the keys are in random order, so that a table larger
// than the caches is seen as traffic would see it. Time is for a whole burst of 32.
#include <benchmark/benchmark.h>

#include <array>
#include <random>
#include <vector>

#include "dataplane/io/burst.h"
#include "dataplane/io/flow_hash.h"
#include "dataplane/io/flow_table.h"

namespace {

using namespace sallyport;

FlowKey key_of(uint32_t n) {
  FlowKey key;
  const std::array<uint8_t, 4> inside{10, 1, 2, 3};
  const std::array<uint8_t, 4> outside{203, 0, static_cast<uint8_t>(n >> 24),
                                       static_cast<uint8_t>(n >> 16)};
  key.inside = IpAddress::v4(inside.data());
  key.outside = IpAddress::v4(outside.data());
  key.inside_port = static_cast<uint16_t>(n);
  key.outside_port = 443;
  key.ip_protocol = kIpProtocolTcp;
  return key;
}

const FlowHash kHash(1);

uint32_t bucket_of(const FlowKey& key) {
  return FlowHash::bucket_part(kHash(key));
}

uint32_t insert(FlowTable& table, const FlowKey& key) {
  return table.insert(key, bucket_of(key));
}

/// `count` flows, and as many keys in random order that are in the table (hit) or are not.
struct Case {
  FlowTable table;
  std::vector<FlowKey> keys;

  Case(uint32_t count, bool hit) : table(count) {
    for (uint32_t n = 0; n < count; ++n) insert(table, key_of(n));
    std::mt19937 random(1);
    for (uint32_t n = 0; n < count; ++n) {
      keys.push_back(key_of(static_cast<uint32_t>(random() % count) + (hit ? 0 : count)));
    }
  }
};

void find_burst(benchmark::State& state, bool hit) {
  const Case with(static_cast<uint32_t>(state.range(0)), hit);
  std::array<FlowKey, kBurst> burst;
  std::array<uint32_t, kBurst> hashes;
  std::array<uint32_t, kBurst> found;
  size_t at = 0;
  for (auto _ : state) {
    // Hashed here, as classify() does: it belongs to the cost of a look-up.
    for (size_t i = 0; i < kBurst; ++i) {
      burst[i] = with.keys[at];
      hashes[i] = bucket_of(burst[i]);
      if (++at == with.keys.size()) at = 0;
    }
    with.table.find(burst.data(), hashes, found.data());
    benchmark::DoNotOptimize(found);
  }
  for (const uint32_t index : found) {
    if ((index != FlowTable::kNone) != hit) state.SkipWithError("found what is not there, or not");
  }
  state.SetItemsProcessed(state.iterations() * kBurst);
}

void find_hit(benchmark::State& state) {
  find_burst(state, true);
}

void find_miss(benchmark::State& state) {
  find_burst(state, false);
}

// A flow's whole life in the table: what a SYN and its end cost.
void insert_and_erase(benchmark::State& state) {
  const auto count = static_cast<uint32_t>(state.range(0));
  FlowTable table(count);
  for (uint32_t n = 0; n + 1 < count; ++n) insert(table, key_of(n));
  uint32_t n = count;
  for (auto _ : state) {
    const FlowKey key = key_of(n++);
    table.erase(insert(table, key), bucket_of(key));
  }
}

BENCHMARK(find_hit)->Arg(1000)->Arg(65536)->Arg(1'000'000);
BENCHMARK(find_miss)->Arg(1000)->Arg(65536)->Arg(1'000'000);
BENCHMARK(insert_and_erase)->Arg(1000)->Arg(65536)->Arg(1'000'000);

}  // namespace

BENCHMARK_MAIN();
