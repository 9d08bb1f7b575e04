#include "dataplane/inspect/crypto_stream.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <random>

#include "tests/support/bytes.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

// Position and value tell each other, so a byte in the wrong place shows.
Bytes stream(size_t size) {
  Bytes out(size);
  for (size_t i = 0; i < size; ++i) out[i] = static_cast<uint8_t>(i * 7 + i / 256);
  return out;
}

struct Stream {
  Bytes whole = stream(1000);
  Bytes buffer = Bytes(1000, 0xee);
  CryptoStream crypto;

  InspectFault add(size_t begin, size_t end) {
    return crypto.add(begin, std::span(whole).subspan(begin, end - begin), buffer);
  }
};

}  // namespace

TEST_CASE("a stream is whole when its ranges join", "[crypto_stream]") {
  Stream s;
  CHECK(s.crypto.contiguous_end(0) == 0);
  CHECK(s.crypto.end() == 0);
  CHECK(s.add(500, 1000) == InspectFault::none);
  CHECK(s.crypto.contiguous_end(0) == 0);
  CHECK(s.crypto.contiguous_end(500) == 1000);
  CHECK(s.crypto.contiguous_end(700) == 1000);
  CHECK(s.crypto.contiguous_end(1000) == 1000);
  CHECK(s.crypto.end() == 1000);
  CHECK(s.add(0, 100) == InspectFault::none);
  CHECK(s.add(200, 300) == InspectFault::none);
  CHECK(s.crypto.contiguous_end(0) == 100);
  CHECK(s.crypto.contiguous_end(100) == 100);
  CHECK(s.add(90, 510) == InspectFault::none);  // over both gaps and the range between
  CHECK(s.crypto.contiguous_end(0) == 1000);
  CHECK(s.buffer == s.whole);
}

TEST_CASE("each way that two ranges can lie", "[crypto_stream]") {
  // The first covers 40..60; the second every other range of 30..70.
  for (size_t begin = 30; begin < 70; ++begin) {
    for (size_t end = begin + 1; end <= 70; ++end) {
      CAPTURE(begin, end);
      Stream s;
      REQUIRE(s.add(40, 60) == InspectFault::none);
      REQUIRE(s.add(begin, end) == InspectFault::none);
      const bool joined = begin <= 60 && end >= 40;
      CHECK(s.crypto.end() == std::max<size_t>(60, end));
      CHECK(s.crypto.contiguous_end(static_cast<uint32_t>(begin)) ==
            (joined ? std::max<size_t>(60, end) : end));
      CHECK(s.crypto.contiguous_end(40) == (joined ? std::max<size_t>(60, end) : 60));
    }
  }
}

TEST_CASE("a byte that comes again differently is a conflict", "[crypto_stream]") {
  for (size_t at = 30; at < 70; ++at) {
    CAPTURE(at);
    Stream s;
    REQUIRE(s.add(35, 45) == InspectFault::none);
    REQUIRE(s.add(50, 60) == InspectFault::none);
    s.whole[at] ^= 0x20;
    const bool known = (at >= 35 && at < 45) || (at >= 50 && at < 60);
    CHECK(s.add(30, 70) == (known ? InspectFault::quic_crypto_conflict : InspectFault::none));
  }
}

TEST_CASE("a stream holds 64 ranges and what its buffer holds", "[crypto_stream]") {
  Stream s;
  for (size_t i = 0; i < kMaxCryptoRanges; ++i) {
    REQUIRE(s.add(10 * i + 1, 10 * i + 5) == InspectFault::none);
  }
  CHECK(s.add(990, 991) == InspectFault::quic_too_many_gaps);
  CHECK(s.add(7, 8) == InspectFault::quic_too_many_gaps);
  CHECK(s.add(0, 1) == InspectFault::none);   // touches one
  CHECK(s.add(5, 11) == InspectFault::none);  // joins two: room again
  CHECK(s.add(990, 991) == InspectFault::none);
  CHECK(s.add(993, 994) == InspectFault::quic_too_many_gaps);

  CryptoStream empty;
  Bytes buffer(10);
  CHECK(empty.add(0, stream(11), buffer) == InspectFault::tls_hello_too_long);
  CHECK(empty.add(10, stream(1), buffer) == InspectFault::tls_hello_too_long);
  CHECK(empty.add(uint64_t{1} << 62, stream(1), buffer) == InspectFault::tls_hello_too_long);
  CHECK(empty.add(UINT64_MAX, stream(2), buffer) == InspectFault::tls_hello_too_long);
  CHECK(empty.add(11, {}, buffer) == InspectFault::tls_hello_too_long);
  CHECK(empty.add(10, {}, buffer) == InspectFault::none);
  CHECK(empty.end() == 0);
  CHECK(empty.add(9, stream(1), buffer) == InspectFault::none);
  CHECK(empty.end() == 10);

  Bytes large(70000);
  CHECK(empty.add(65535, stream(1), large) == InspectFault::tls_hello_too_long);
  CHECK(empty.add(65534, stream(1), large) == InspectFault::none);
}

TEST_CASE("any order of any pieces gives the stream", "[crypto_stream]") {
  std::mt19937 random(4);  // NOLINT(cert-msc*): the same run each time
  for (int round = 0; round < 200; ++round) {
    Stream s;
    Bytes seen(1000);
    while (std::ranges::count(seen, 0) > 0) {
      const size_t begin = random() % 1000;
      const size_t end = std::min<size_t>(1000, begin + 20 + random() % 200);
      REQUIRE(s.add(begin, end) == InspectFault::none);
      std::fill(seen.begin() + static_cast<std::ptrdiff_t>(begin),
                seen.begin() + static_cast<std::ptrdiff_t>(end), uint8_t{1});
      const auto gap = std::ranges::find(seen, 0);
      REQUIRE(s.crypto.contiguous_end(0) == static_cast<size_t>(gap - seen.begin()));
    }
    REQUIRE(s.buffer == s.whole);
  }
}
