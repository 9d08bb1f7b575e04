#include "dataplane/inspect/http2_streams.h"

#include <catch2/catch.hpp>

using namespace sallyport;

namespace {

constexpr uint8_t kNone = Http2Streams::kNone;
constexpr uint8_t kLost = Http2Streams::kLost;

uint32_t id_of(size_t n) {
  return static_cast<uint32_t>(2 * n + 1);
}

/// Opens the next `count` streams from the `from`th on, all of `request`.
void open(Http2Streams& streams, size_t from, size_t count, uint8_t request) {
  streams.set_newest(request);
  for (size_t n = from; n < from + count; ++n) streams.open(id_of(n));
}

}  // namespace

TEST_CASE("a stream belongs to its request until it ends", "[http2]") {
  Http2Streams streams;
  open(streams, 0, 2, 4);
  open(streams, 2, 1, 7);
  streams.set_newest(9);
  CHECK(streams.request_of(id_of(0)) == 4);
  CHECK(streams.request_of(id_of(2)) == 7);
  CHECK(streams.request_of(id_of(3)) == kNone);
  streams.end(id_of(0));
  streams.end(id_of(0));
  CHECK(streams.request_of(id_of(0)) == kNone);
  CHECK(streams.request_of(id_of(1)) == 4);
  CHECK(streams.is_live(4));
  streams.end(id_of(1));
  CHECK_FALSE(streams.is_live(4));
  CHECK(streams.is_live(7));
  CHECK(streams.is_live(9));  // nothing newer was asked for
}

TEST_CASE("streams beyond the bound are lost, and their request stays open", "[http2]") {
  constexpr size_t kMost = Http2Streams::kMostStreams;
  Http2Streams streams;
  open(streams, 0, 1, 1);
  open(streams, 1, 1, 2);
  open(streams, 2, kMost - 2, 3);
  CHECK(streams.request_of(id_of(0)) == 1);
  open(streams, kMost, 1, 2);
  // The oldest, and then those of the same request before any other.
  CHECK(streams.request_of(id_of(0)) == kLost);
  CHECK(streams.has_lost(1));
  open(streams, kMost + 1, 1, 1);
  CHECK(streams.request_of(id_of(1)) == kLost);
  CHECK(streams.has_lost(2));
  open(streams, kMost + 2, 1, 3);
  CHECK_FALSE(streams.has_lost(3));
  for (size_t n = 0; n < kMost + 3; ++n) streams.end(id_of(n));
  CHECK(streams.is_live(1));
  CHECK(streams.is_live(2));
  streams.set_newest(0);
  CHECK_FALSE(streams.is_live(3));
}

TEST_CASE("two requests become one", "[http2]") {
  Http2Streams streams;
  const bool lost = GENERATE(false, true);
  open(streams, 0, lost ? Http2Streams::kMostStreams + 1 : 2, 5);
  const size_t last = lost ? Http2Streams::kMostStreams : 1;
  streams.end(id_of(last));
  open(streams, last + 1, 1, 6);
  streams.join(5, 6);
  streams.set_newest(0);
  CHECK(streams.request_of(id_of(lost ? 1 : 0)) == 6);
  CHECK(streams.has_lost(6) == lost);
  CHECK_FALSE(streams.is_live(5));
  for (size_t n = 0; n < last; ++n) streams.end(id_of(n));
  CHECK(streams.is_live(6));
  streams.end(id_of(last + 1));
  CHECK(streams.is_live(6) == lost);
}
