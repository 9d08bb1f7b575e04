// Held segments against a plain model: a map from stream position to byte.
#include "dataplane/inspect/segments.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <list>
#include <map>
#include <random>

#include "tests/support/bytes.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

/// A pool, a list and the bytes its segments borrow, with sequence numbers counted from `base`.
struct Held {
  explicit Held(uint32_t first = 1000, uint32_t capacity = 64) : base(first), pool(capacity) {}

  InsertResult put(uint32_t at, Bytes bytes) {
    const Bytes& kept = storage.emplace_back(std::move(bytes));
    return insert(pool, list, segment(at, kept));
  }
  InsertResult put(uint32_t at, std::string_view text) { return put(at, bytes_of(text)); }
  Segment segment(uint32_t at, const Bytes& bytes) const {
    return {.data = bytes.data(),
            .sequence = base + at,
            .bytes = static_cast<uint32_t>(bytes.size()),
            .packet = const_cast<Bytes*>(&bytes)};
  }
  uint32_t ready(uint32_t from = 0) const { return contiguous_bytes(pool, list, base + from); }
  std::string first(uint32_t count) {
    const auto view = prefix(pool, list, base, count, scratch);
    return {view.begin(), view.end()};
  }
  // "3:abc 7:d": what is held, in order.
  std::string text() const {
    std::string out;
    for (uint32_t i = list.head; i != kNoSegment; i = pool[i].next) {
      const Segment& one = pool[i];
      out += (out.empty() ? "" : " ") + std::to_string(one.sequence - base) + ":" +
             std::string(one.data, one.data + one.bytes);
    }
    return out;
  }

  uint32_t base;
  SegmentPool pool;
  SegmentList list;
  std::list<Bytes> storage;
  Bytes scratch = Bytes(1 << 16);
};

constexpr auto kInserted = InsertResult::inserted;
constexpr auto kDuplicate = InsertResult::duplicate;
constexpr auto kConflict = InsertResult::conflict;

}  // namespace

TEST_CASE("a segment goes to its place, and says what it adds", "[segments]") {
  struct Row {
    std::vector<std::pair<uint32_t, std::string>> before;
    uint32_t at;
    std::string bytes;
    InsertResult result;
    std::string after;
    uint32_t ready;
  };
  const auto row = GENERATE(values<Row>({
      {{}, 0, "abc", kInserted, "0:abc", 3},
      {{}, 2, "c", kInserted, "2:c", 0},
      {{{3, "de"}}, 0, "abc", kInserted, "0:abc 3:de", 5},
      {{{0, "abc"}}, 3, "de", kInserted, "0:abc 3:de", 5},
      {{{0, "abc"}}, 4, "e", kInserted, "0:abc 4:e", 3},
      {{{0, "a"}, {4, "e"}}, 2, "c", kInserted, "0:a 2:c 4:e", 1},
      {{{0, "abc"}}, 0, "abc", kDuplicate, "0:abc", 3},
      {{{0, "abc"}}, 1, "b", kDuplicate, "0:abc", 3},
      {{{0, "abc"}}, 0, "ab", kDuplicate, "0:abc", 3},
      {{{0, "abc"}}, 1, "bc", kDuplicate, "0:abc", 3},
      {{{0, "abc"}, {3, "de"}}, 1, "bcd", kDuplicate, "0:abc 3:de", 5},
      {{{0, "ab"}, {3, "d"}}, 0, "abcd", kInserted, "0:ab 0:abcd 3:d", 4},
      {{{1, "b"}}, 0, "abc", kInserted, "0:abc 1:b", 3},
      {{{0, "abc"}}, 2, "cd", kInserted, "0:abc 2:cd", 4},
      {{{2, "cd"}}, 0, "abc", kInserted, "0:abc 2:cd", 4},
      {{{0, "abc"}}, 0, "abX", kConflict, "0:abc", 3},
      {{{0, "abc"}}, 2, "Xd", kConflict, "0:abc", 3},
      {{{2, "cd"}}, 0, "abX", kConflict, "2:cd", 0},
      {{{1, "b"}}, 0, "aXc", kConflict, "1:b", 0},
      {{{0, "a"}, {4, "e"}}, 2, "cdX", kConflict, "0:a 4:e", 1},
      {{{0, "abc"}}, 3, "", kInserted, "0:abc 3:", 3},
      {{{3, ""}}, 0, "abc", kInserted, "0:abc 3:", 3},
      {{}, 5, "", kInserted, "5:", 0},
  }));
  for (const uint32_t base : {1000u, UINT32_MAX, UINT32_MAX - 2, uint32_t{1} << 31}) {
    CAPTURE(base, row.at, row.bytes, row.after);
    Held held(base);
    for (const auto& [at, bytes] : row.before) REQUIRE(held.put(at, bytes) == kInserted);
    const uint32_t in_use = held.pool.in_use();
    CHECK(held.put(row.at, row.bytes) == row.result);
    CHECK(held.text() == row.after);
    CHECK(held.ready() == row.ready);
    CHECK(held.pool.in_use() == in_use + (row.result == kInserted));
    CHECK(held.list.count == held.pool.in_use());
  }
}

TEST_CASE("a full pool refuses, and takes again what was given back", "[segments]") {
  Held held(0, 3);
  CHECK(held.put(0, "a") == kInserted);
  CHECK(held.put(2, "c") == kInserted);
  CHECK(held.put(4, "e") == kInserted);
  CHECK(held.put(6, "g") == InsertResult::pool_full);
  CHECK(held.put(0, "a") == kDuplicate);  // needs no segment
  CHECK(held.put(0, "X") == kConflict);
  CHECK(held.text() == "0:a 2:c 4:e");
  CHECK(held.list.bytes == 3);
  const Segment first = pop_front(held.pool, held.list);
  CHECK(first.sequence == 0);
  CHECK(*static_cast<Bytes*>(first.packet) == bytes_of("a"));
  CHECK(held.put(6, "g") == kInserted);
  CHECK(held.text() == "2:c 4:e 6:g");
  while (!held.list.empty()) pop_front(held.pool, held.list);
  CHECK(held.list.bytes == 0);
  CHECK(held.list.count == 0);
  CHECK(held.pool.in_use() == 0);
  CHECK(SegmentPool(0).acquire() == kNoSegment);
}

TEST_CASE("a prefix in one segment is not copied, and never more than asked", "[segments]") {
  Held held;
  held.put(0, "abcdef");
  CHECK(prefix(held.pool, held.list, held.base, 6, {}).data() == held.storage.front().data());
  CHECK(held.first(4) == "abcd");
  CHECK(held.first(0).empty());
  held.put(6, "ghi");
  CHECK(held.first(8) == "abcdefgh");
  CHECK(held.first(9) == "abcdefghi");
  CHECK(prefix(held.pool, held.list, held.base, 7, held.scratch).data() == held.scratch.data());
}

TEST_CASE("a byte that differs anywhere in the overlap is a conflict", "[segments]") {
  const Bytes stream = bytes_of("0123456789");
  for (uint32_t at = 0; at < 10; ++at) {
    for (uint32_t size = 1; at + size <= 10; ++size) {
      for (uint32_t wrong = at; wrong < at + size; ++wrong) {
        Held held(UINT32_MAX - 5);
        REQUIRE(held.put(2, "234") == kInserted);
        REQUIRE(held.put(6, "67") == kInserted);
        Bytes bytes(stream.begin() + at, stream.begin() + at + size);
        const bool same_differs = conflicts(held.pool, held.list, held.segment(at, bytes));
        CHECK_FALSE(same_differs);
        bytes[wrong - at] ^= 0x20;
        const bool is_held = (wrong >= 2 && wrong < 5) || wrong == 6 || wrong == 7;
        CHECK(conflicts(held.pool, held.list, held.segment(at, bytes)) == is_held);
        CHECK((held.put(at, bytes) == kConflict) == is_held);
      }
    }
  }
}

TEST_CASE("random segments agree with a map of bytes", "[segments][property]") {
  std::mt19937 random(20240601);
  const auto below = [&random](uint32_t n) { return static_cast<uint32_t>(random() % n); };
  for (int round = 0; round < 3000; ++round) {
    // Half of the streams cross 2^32, or 2^31, in their middle.
    const uint32_t turn = below(2) == 0 ? 0 : uint32_t{1} << 31;
    Held held(below(2) == 0 ? turn - below(60) : static_cast<uint32_t>(random()));
    Bytes stream(60);
    for (uint8_t& byte : stream) byte = static_cast<uint8_t>(below(3));  // differences are rare
    std::map<uint32_t, uint8_t> model;
    uint32_t model_bytes = 0;
    for (int step = 0; step < 24; ++step) {
      const uint32_t at = below(60);
      const uint32_t size = 1 + below(std::min(60 - at, 12u));
      Bytes bytes(stream.begin() + at, stream.begin() + at + size);
      if (below(6) == 0) bytes[below(size)] ^= 1;

      InsertResult expected = kDuplicate;
      for (uint32_t i = 0; i < size; ++i) {
        if (!model.contains(at + i) && expected == kDuplicate) expected = kInserted;
        if (model.contains(at + i) && model[at + i] != bytes[i]) expected = kConflict;
      }
      CAPTURE(round, step, at, size, held.base, held.text());
      REQUIRE(conflicts(held.pool, held.list, held.segment(at, bytes)) == (expected == kConflict));
      const InsertResult result = held.put(at, bytes);
      // Coverage by several overlapping segments may be kept again; it is never lost.
      REQUIRE((result == expected || (expected == kDuplicate && result == kInserted)));
      if (result == kInserted) {
        for (uint32_t i = 0; i < size; ++i) model[at + i] = bytes[i];
        model_bytes += size;
      }

      uint32_t ready = 0;
      std::string joined;
      while (model.contains(ready)) joined += static_cast<char>(model[ready++]);
      REQUIRE(held.ready() == ready);
      REQUIRE(held.first(ready) == joined);
      const uint32_t part = below(ready + 1);
      REQUIRE(held.first(part) == joined.substr(0, part));
      REQUIRE(held.list.bytes == model_bytes);
      REQUIRE(held.list.count == held.pool.in_use());
    }
    uint32_t last = held.base;
    while (!held.list.empty()) {
      const Segment segment = pop_front(held.pool, held.list);
      REQUIRE(sequence_distance(last, segment.sequence) >= 0);  // in order
      last = segment.sequence;
    }
    REQUIRE(held.pool.in_use() == 0);
  }
}
