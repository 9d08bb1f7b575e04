#include "dataplane/inspect/fingerprint.h"

#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/inspect/tls_client_hello.h"
#include "tests/support/client_hello_builder.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

/// A hello and the bytes it borrows.
struct Parsed {
  explicit Parsed(const HelloBuilder& builder) : body(builder.body()) {
    REQUIRE(parse_client_hello(body, hello, name) == InspectFault::none);
  }
  Parsed(const Parsed&) = delete;
  Parsed& operator=(const Parsed&) = delete;
  ~Parsed() = default;

  Bytes body;
  ClientHello hello;
  HostName name;
};

std::string ja3(const HelloBuilder& builder) {
  return std::string(make_ja3(Parsed(builder).hello).view());
}
std::string ja4(const HelloBuilder& builder, HelloTransport transport = HelloTransport::tcp) {
  return std::string(make_ja4(Parsed(builder).hello, transport).view());
}
/// The readable part.
std::string ja4_a(const HelloBuilder& builder) {
  return ja4(builder).substr(0, 10);
}

// The hello of FoxIO's published example, in another order.
HelloBuilder published() {
  HelloBuilder out =
      hello().suites({0x1a1a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9,
                      0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035});
  out.extension(0x3a3a, {}).sni("a.example").extension(0x17, {}).extension(0xff01, {0});
  out.groups({0x4a4a, 29, 23, 24}).extension(0x0b, {1, 0}).extension(0x23, {});
  out.alpn({"h2", "http/1.1"}).extension(5, {1, 0, 0, 0, 0});
  out.signatures({0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601});
  out.extension(0x12, {}).extension(0x33, {0, 0}).extension(0x2d, {1, 1});
  out.versions({0x5a5a, 0x0304, 0x0303}).extension(0x1b, {2, 0, 2}).extension(0x4469, {});
  return out.extension(0xdada, {0}).extension(0x15, Bytes(8));
}

}  // namespace

TEST_CASE("JA4 gives the value published for a hello", "[fingerprint]") {
  CHECK(ja4(published()) == "t13d1516h2_8daaf6152771_e5627efa2ab1");
  CHECK(ja4(published(), HelloTransport::quic) == "q13d1516h2_8daaf6152771_e5627efa2ab1");
}

TEST_CASE("JA3 gives the values published for two hellos", "[fingerprint]") {
  // 769,47-53-5-10-49161-49162-49171-49172-50-56-19-4,0-10-11,23-24-25,0
  CHECK(ja3(hello()
                .legacy_version(769)
                .suites({47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4})
                .sni("a.b")
                .groups({23, 24, 25})
                .extension(11, {1, 0})) == "ada70206e40642a3e4461f35503241d5");
  // 769,4-5-10-9-100-98-3-6-19-18-99,,,
  CHECK(ja3(hello().legacy_version(769).suites({4, 5, 10, 9, 100, 98, 3, 6, 19, 18, 99})) ==
        "de350869b8c85de67a350c8d186f11e6");
}

TEST_CASE("GREASE changes no fingerprint", "[fingerprint]") {
  const auto plain = [] { return hello().suites({0x1301}).extension(5, {}).sni("a.b"); };
  const auto greased = hello()
                           .suites({0x0a0a, 0x1301, 0xfafa})
                           .extension(0x2a2a, {})
                           .extension(5, {})
                           .extension(0x8a8a, {1})
                           .sni("a.b");
  CHECK(ja3(greased) == ja3(plain()));
  CHECK(ja4(greased) == ja4(plain()));
  CHECK(ja4(plain().groups({0x1a1a, 29})) == ja4(plain().groups({29})));
  CHECK(ja3(plain().groups({0x1a1a, 29})) == ja3(plain().groups({29})));
  CHECK(ja4(plain().signatures({0x1a1a, 0x0403})) == ja4(plain().signatures({0x0403})));
  // Alike in one byte only, or in both low nibbles with different high ones: real values.
  CHECK_FALSE(is_grease(0x0a1a));
  CHECK_FALSE(is_grease(0x1a0b));
  CHECK_FALSE(is_grease(0x1b1b));
  CHECK(is_grease(0xfafa));
}

TEST_CASE("a JA4 with nothing to hash shows zeros", "[fingerprint]") {
  CHECK(ja4(hello().suites({})) == "t12i000000_000000000000_000000000000");
  CHECK(ja4(hello().suites({}).sni("a.b").alpn({"h2"})) == "t12d0002h2_000000000000_000000000000");
  // Without signature algorithms no '_' is hashed: SHA-256 of "0005".
  CHECK(ja4(hello().suites({}).extension(5, {})) == "t12i000100_000000000000_1ed8eb363bcd");
}

TEST_CASE("the readable part of a JA4", "[fingerprint]") {
  struct Row {
    std::string what;
    HelloBuilder hello;
    std::string part;
  };
  HelloBuilder many = hello().suites(std::vector<uint16_t>(120, 0x1301));
  for (uint16_t i = 0; i < 60; ++i) many.extension(static_cast<uint16_t>(100 + i), {});
  const std::vector<Row> rows = {
      {"counts stop at 99", many, "t12i996000"},
      {"SSL 3.0", hello().legacy_version(0x0300), "ts3i010000"},
      {"SSL 2.0", hello().legacy_version(0x0002), "ts2i010000"},
      {"TLS 1.0", hello().legacy_version(0x0301), "t10i010000"},
      {"TLS 1.1", hello().legacy_version(0x0302), "t11i010000"},
      {"an unheard-of version", hello().legacy_version(0x0505), "t00i010000"},
      {"the newest version offered", hello().versions({0x0303, 0x0304, 0x0302}), "t13i010100"},
      {"only GREASE versions", hello().versions({0x0a0a}), "t12i010100"},
      {"a server name that is an address", hello().sni("192.0.2.1"), "t12d010100"},
      {"ALPN of one byte", hello().alpn({"h"}), "t12i0101hh"},
      {"only the first ALPN", hello().alpn({"http/1.1", "h2"}), "t12i0101h1"},
      {"ALPN that ends unprintable", hello().alpn({"h\x01"}), "t12i010161"},
      {"ALPN that starts unprintable", hello().alpn({"\xabh"}), "t12i0101a8"},
      {"GREASE as ALPN", hello().alpn({"\x1a\x1a", "h2"}), "t12i01011a"},
      {"punctuation in ALPN", hello().alpn({"a-"}), "t12i01016d"},
  };
  for (const Row& row : rows) {
    INFO(row.what);
    CHECK(ja4_a(row.hello) == row.part);
  }
}

TEST_CASE("the order of suites and extensions changes a JA3, not a JA4", "[fingerprint]") {
  const auto one = hello().suites({0x1301, 0x1302}).extension(5, {}).extension(18, {});
  const auto other = hello().suites({0x1302, 0x1301}).extension(18, {}).extension(5, {});
  CHECK(ja4(one) == ja4(other));
  CHECK(ja3(one) != ja3(other));
  // Signature algorithms keep their order.
  CHECK(ja4(hello().signatures({0x0403, 0x0804})) != ja4(hello().signatures({0x0804, 0x0403})));
}

TEST_CASE("a cache changes no fingerprint", "[fingerprint]") {
  const auto cache = std::make_unique<FingerprintCache>();
  // More hellos than it has places, the long ones beyond what it takes, and all of them twice.
  for (int round = 0; round < 2; ++round) {
    for (uint16_t i = 1; i < 400; ++i) {
      CAPTURE(round, i);
      const Parsed one(hello().suites(std::vector<uint16_t>(i, 0x1301)).groups({i, 29}));
      CHECK(make_ja3(one.hello, *cache).view() == make_ja3(one.hello).view());
      CHECK(make_ja4(one.hello, HelloTransport::tcp, *cache).view() ==
            make_ja4(one.hello, HelloTransport::tcp).view());
    }
  }
}

TEST_CASE("what a cache holds is not made again", "[fingerprint]") {
  const auto cache = std::make_unique<FingerprintCache>();
  int made = 0;
  const auto make = [&] {
    ++made;
    FingerprintCache::Hex hex;
    hex.fill(static_cast<char>('a' + made));
    return hex;
  };
  CHECK(cache->find_or_make('s', "0005,000a", make)[0] == 'b');
  CHECK(cache->find_or_make('s', "0005,000a", make)[0] == 'b');
  CHECK(cache->find_or_make('m', "0005,000a", make)[0] == 'c');
  CHECK(cache->find_or_make('m', "0005,000b", make)[0] == 'd');
  CHECK(cache->find_or_make('m', "0005,000", make)[0] == 'e');
  CHECK(cache->find_or_make('m', "", make)[0] == 'f');
  CHECK(cache->find_or_make('m', "0005,000b", make)[0] == 'd');
}

TEST_CASE("fingerprints hold for the longest lists", "[fingerprint]") {
  HelloBuilder longest = hello().suites(std::vector<uint16_t>(kMaxHelloCiphers, 0xc0ff));
  for (uint16_t i = 0; i < kMaxHelloExtensions - 1; ++i) longest.extension(1000 + i, {});
  longest.groups(std::vector<uint16_t>(5000, 60000));
  CHECK(ja4(longest) == "t12i996400_7201c3993bac_615fcf78b05c");
  CHECK(ja3(longest) == "85bf4cc6b0e25f82ad80a972eb220762");
}

TEST_CASE("hellos that differ in anything a fingerprint is made of are told apart",
          "[fingerprint]") {
  const auto known = std::make_unique<HelloFingerprints>();
  const auto base = [] { return browser_hello("a.test"); };
  const std::vector<HelloBuilder> hellos{
      base(),
      browser_hello("another.test"),
      base().suites({0x1301}),
      base().extension(4711, {}),
      hello().legacy_version(0x0302),
      hello().versions({0x0304}),
      hello().groups({29}),
      hello().signatures({0x0403}),
      hello(),
      hello().sni("a.test"),
      hello().alpn({"h2"}),
      hello().alpn({"http/1.1", "h2"}),
      hello().alpn({"h2", "http/1.1"}),
      hello().suites(std::vector<uint16_t>(300, 0x1301)),  // too long to be kept
  };
  for (int round = 0; round < 2; ++round) {
    for (const HelloBuilder& builder : hellos) {
      const Parsed one(builder);
      for (const HelloTransport transport : {HelloTransport::tcp, HelloTransport::quic}) {
        const auto& got = known->of(one.hello, transport);
        CHECK(got.ja3.view() == make_ja3(one.hello).view());
        CHECK(got.ja4.view() == make_ja4(one.hello, transport).view());
      }
    }
  }
}
