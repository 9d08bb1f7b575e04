#include "dataplane/inspect/identify.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "tests/support/client_hello_builder.h"
#include "tests/support/identify_helper.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

std::vector<Bytes> streams() {
  const Bytes post_quantum = browser_hello("cdn.example.net", kPostQuantumKeyShare).message();
  return {
      hello().sni("api.example.com").record(),
      browser_hello("www.example.org").record() + Bytes{20, 3, 3, 0, 1, 1},
      tls_record(post_quantum),
      tls_records(post_quantum, 700),
      tls_records(hello().sni("a.b").message(), 1),
      hello().sni("a b").record(),
      hello().sni("a.b").sni("c.d").record(),
      tls_record({2, 0, 0, 1, 0}),
      tls_records(hello().sni("a.b").message(), 40) + Bytes{21, 3, 1, 0, 2},
      tls_record({1, 0, 0, 90, 3, 3, 1}) + tls_record({}, 22),
      tls_record(hello().sni("a.b").message() + Bytes{1, 0, 0}),
      {22, 3, 1, 0, 0, 0, 0, 0},
      {0x80, 0x2e, 0x01, 0x03, 0x01},
      bytes_of("GET /models/x HTTP/1.1\r\nHost: hub.example\r\nAccept: */*\r\n\r\nrest"),
      bytes_of("CONNECT {\"lang\":\"go\"}\r\nPING\r\n"),
      bytes_of("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
      bytes_of("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"),
      bytes_of("EHLO there\r\nMAIL FROM"),
      {},
  };
}

}  // namespace

TEST_CASE("a post-quantum hello is as long as real ones", "[identify]") {
  const auto size = browser_hello("cdn.example.net", kPostQuantumKeyShare).record().size();
  CHECK(size > 1650);
  CHECK(size < 1850);
}

TEST_CASE("every split of a stream gives the answer of the whole", "[identify]") {
  for (const Bytes& whole : streams()) {
    const std::string expected = answer(whole);
    INFO(expected);
    bool final_before = false;
    size_t needed = 0;
    for (size_t size = 0; size <= whole.size(); ++size) {
      const Identified got = identify_bytes(prefix_of(whole, size));
      const bool is_final = got.status != Identified::Status::need_more;
      CAPTURE(size, describe(got));
      // Once final, the same for every longer prefix; and never final before the length asked for.
      if (is_final) {
        REQUIRE(describe(got) == expected);
        REQUIRE(size >= needed);
      } else {
        REQUIRE_FALSE(final_before);
        REQUIRE(got.need_bytes > size);
        needed = std::max<size_t>(needed, got.need_bytes);
      }
      final_before = is_final;
    }
  }
}

TEST_CASE("a caller that waits for need_bytes misses nothing", "[identify]") {
  for (const Bytes& whole : streams()) {
    size_t size = 0;
    Identified got = identify_bytes({});
    while (got.status == Identified::Status::need_more && got.need_bytes <= whole.size()) {
      size = got.need_bytes;
      got = identify_bytes(prefix_of(whole, size));
    }
    CHECK(describe(got) == answer(whole));
  }
}

TEST_CASE("waiting for need_bytes costs few calls on a long hello", "[identify]") {
  const Bytes whole = tls_record(browser_hello("a.b", kPostQuantumKeyShare).message());
  size_t calls = 0;
  size_t size = 0;
  for (Identified got; got.status == Identified::Status::need_more; size = got.need_bytes) {
    got = identify_bytes(prefix_of(whole, size));
    ++calls;
  }
  CHECK(calls <= 11);  // byte by byte through both headers, then once
}

TEST_CASE("an end makes every answer final", "[identify]") {
  for (const Bytes& whole : streams()) {
    for (size_t size = 0; size <= whole.size(); ++size) {
      CAPTURE(size);
      const Bytes prefix = prefix_of(whole, size);
      const std::string open = answer(prefix);
      const std::string ended = answer(prefix, true);
      CHECK(ended != "need_more");
      if (open != "need_more") CHECK(ended == open);
    }
  }
}

TEST_CASE("nothing of an earlier call shows in a later one", "[identify]") {
  IdentifyScratch scratch{};
  Identified out;
  identify(hello().sni("a.b").record(), false, scratch, out);
  REQUIRE(describe(out) == "tls a.b");
  identify({}, false, scratch, out);
  CHECK(out.app_known == Known::unknown);
  CHECK(out.name.empty());
  identify(hello().sni("a.b").sni("a.b").record(), false, scratch, out);
  CHECK(out.name.empty());
  CHECK(out.name_known == Known::unknown);
}
