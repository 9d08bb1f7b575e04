#include "dataplane/inspect/fragment_table.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <random>
#include <string>

using namespace sallyport;
using enum FragmentStep;

namespace {

constexpr uint16_t kHeaders = 34;

Fragment part(uint32_t from, uint32_t to, bool more = true, uint32_t id = 1) {
  Fragment out;
  out.key.id = id;
  out.l3_offset = 14;
  out.payload_offset = kHeaders;
  out.from = from;
  out.bytes = static_cast<uint16_t>(to - from);
  out.more = more;
  return out;
}
Fragment last(uint32_t from, uint32_t to) {
  return part(from, to, false);
}

struct Row {
  std::string what;
  std::vector<std::pair<Fragment, FragmentStep>> steps;
};

}  // namespace

TEST_CASE("what becomes of a datagram, fragment by fragment", "[fragment]") {
  Fragment other_headers = part(8, 16);
  other_headers.payload_offset = kHeaders + 4;
  const std::vector<Row> rows{
      {"in order", {{part(0, 8), kept}, {part(8, 16), kept}, {last(16, 19), complete}}},
      {"backwards", {{last(16, 19), kept}, {part(8, 16), kept}, {part(0, 8), complete}}},
      {"two", {{last(8, 9), kept}, {part(0, 8), complete}}},
      {"duplicates",
       {{part(0, 8), kept},
        {part(0, 8), duplicate},
        {last(8, 9), complete},
        {last(8, 9), duplicate}}},
      {"tail over head", {{part(0, 16), kept}, {part(8, 24), overlap}, {last(24, 25), overlap}}},
      {"head over tail", {{part(8, 24), kept}, {part(0, 16), overlap}}},
      {"inside", {{part(0, 24), kept}, {part(8, 16), overlap}}},
      {"around", {{part(8, 16), kept}, {part(0, 24), overlap}}},
      {"same start", {{part(0, 16), kept}, {part(0, 8), overlap}}},
      {"same end", {{part(0, 16), kept}, {part(8, 16), overlap}}},
      {"same start, longer", {{part(0, 8), kept}, {part(0, 16), overlap}}},
      {"last over another", {{part(0, 16), kept}, {last(8, 20), overlap}}},
      {"last inside another", {{part(0, 16), kept}, {last(8, 12), overlap}}},
      {"last before another", {{part(16, 24), kept}, {last(8, 16), overlap}}},
      {"two lasts", {{last(16, 20), kept}, {last(24, 28), overlap}}},
      {"two lasts, backwards", {{last(24, 28), kept}, {last(16, 20), overlap}}},
      {"a longer last", {{last(16, 20), kept}, {last(16, 21), overlap}}},
      {"behind the last", {{last(16, 20), kept}, {part(24, 32), overlap}}},
      {"right behind the last", {{last(16, 24), kept}, {part(24, 32), overlap}}},
      {"last, then not last", {{last(8, 16), kept}, {part(8, 16), overlap}}},
      {"not last, then last", {{part(8, 16), kept}, {last(8, 16), overlap}}},
      {"another header length", {{part(0, 8), kept}, {other_headers, overlap}}},
      {"once lost, lost", {{part(0, 16), kept}, {part(8, 16), overlap}, {part(0, 16), overlap}}},
      {"longest", {{last(96, 100), kept}, {part(0, 96), complete}}},
      {"too long", {{last(96, 101), too_long}, {part(0, 96), too_long}}},
      {"too long to come", {{part(0, 8), kept}, {part(96, 104), too_long}}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    FragmentTable table({.datagrams = 4, .max_datagram_bytes = 100});
    for (const auto& [fragment, step] : row.steps) {
      CAPTURE(fragment.from, fragment.bytes);
      CHECK(static_cast<int>(table.add(fragment, Direction::outbound, 5, 0).step) ==
            static_cast<int>(step));
    }
  }
}

TEST_CASE("what a datagram loses is said once", "[fragment]") {
  FragmentTable table({.datagrams = 4});
  table.add(part(0, 8), Direction::outbound, 5, 0);
  table.add(part(8, 16), Direction::outbound, 5, 0);
  CHECK(table.add(part(8, 24), Direction::outbound, 5, 0).lost == 2);
  CHECK(table.add(part(8, 24), Direction::outbound, 5, 0).lost == 0);
  CHECK(table.fragments() == 0);
  CHECK(table.size() == 1);  // what still comes of it must be known
  table.remove(table.oldest());
  CHECK(table.fragments() == 0);
  CHECK(table.size() == 0);
}

TEST_CASE("a datagram comes in 64 fragments at most", "[fragment]") {
  FragmentTable table({});
  for (uint32_t i = 0; i < 63; ++i) {
    CHECK(table.add(part(i * 8, i * 8 + 8), Direction::outbound, 5, 0).step == kept);
    CHECK(table.add(part(i * 8, i * 8 + 8, true, 2), Direction::outbound, 6, 0).step == kept);
  }
  CHECK(table.add(last(63 * 8, 64 * 8), Direction::outbound, 5, 0).step == complete);
  CHECK(table.add(part(63 * 8, 64 * 8, true, 2), Direction::outbound, 6, 0).step == kept);
  const auto added = table.add(part(64 * 8, 65 * 8, false, 2), Direction::outbound, 6, 0);
  CHECK(added.step == too_many);
  CHECK(added.lost == 64);
}

TEST_CASE("datagrams have their own time, the oldest first", "[fragment]") {
  FragmentTable table({.datagrams = 4, .timeout_ms = 100});
  for (uint32_t id = 0; id < 4; ++id) {
    CHECK(table.add(part(0, 8, true, id), Direction::outbound, id, id * 10).step == kept);
  }
  CHECK(table.add(part(0, 8, true, 9), Direction::outbound, 9, 30).step == table_full);
  CHECK(table.add(part(8, 16, true, 2), Direction::outbound, 2, 30).step == kept);
  table.remove(table.add(part(16, 24, true, 1), Direction::outbound, 1, 30).index);
  CHECK(table.expired(100) == FragmentTable::kNone);
  REQUIRE(table.expired(101) != FragmentTable::kNone);
  CHECK(table[table.expired(101)].key.id == 0);
  table.remove(table.expired(101));
  CHECK(table.expired(120) == FragmentTable::kNone);
  CHECK(table[table.expired(121)].key.id == 2);
  CHECK(table.add(part(0, 8, true, 9), Direction::outbound, 9, 121).step == kept);
}

TEST_CASE("keys in one bucket stay apart, and both directions", "[fragment]") {
  FragmentTable table({.datagrams = 4});
  CHECK(table.add(part(0, 8, true, 1), Direction::outbound, 0, 0).step == kept);
  CHECK(table.add(part(0, 8, true, 1), Direction::inbound, 0, 0).step == kept);
  CHECK(table.add(part(0, 8, true, 2), Direction::outbound, 0, 0).step == kept);
  const auto first = table.add(last(8, 9), Direction::outbound, 0, 0);
  CHECK(first.step == complete);
  CHECK(table[first.index].most_bytes == kHeaders - 14 + 8);
  table.remove(first.index);
  CHECK(table.add(last(8, 9), Direction::inbound, 0, 0).step == complete);
  CHECK(table.add(last(8, 9), Direction::outbound, 0, 0).step == kept);  // a new one
}

TEST_CASE("a datagram is complete when each byte is there exactly once", "[fragment]") {
  std::mt19937 engine(1);
  const auto random = [&engine] { return static_cast<uint32_t>(engine()); };
  int completed = 0;
  int lost = 0;
  for (int round = 0; round < 20'000; ++round) {
    constexpr uint32_t kUnits = 6;
    FragmentTable table({.datagrams = 4});
    std::vector<int> copies(kUnits, 0);
    uint32_t end = 0;
    for (int i = 0; i < 6; ++i) {
      const uint32_t from = random() % kUnits;
      const uint32_t to = from + 1 + random() % std::min(2U, kUnits - from);
      const bool more = random() % 4 != 0;
      const auto step = table.add(part(from * 8, to * 8, more), Direction::outbound, 0, 0).step;
      if (step == duplicate) continue;
      for (uint32_t unit = from; unit < to; ++unit) ++copies[unit];
      const bool twice = std::ranges::any_of(copies, [](int n) { return n > 1; });
      const bool two_ends = !more && end != 0;
      if (!more && end == 0) end = to;
      bool behind = false;
      for (uint32_t unit = end; end != 0 && unit < kUnits; ++unit) behind |= copies[unit] > 0;
      if (twice || two_ends || behind) {
        REQUIRE(step == overlap);
        ++lost;
        break;
      }
      const bool all = end != 0 && std::all_of(copies.begin(), copies.begin() + end,
                                               [](int n) { return n == 1; });
      REQUIRE(step == (all ? complete : kept));
      if (all) {
        ++completed;
        break;
      }
    }
  }
  CHECK(completed > 100);
  CHECK(lost > 1000);
}
