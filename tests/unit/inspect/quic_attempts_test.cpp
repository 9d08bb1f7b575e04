// A flow with more than one hello: Retry, other versions, HelloRetryRequest, decoys.
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "tests/support/quic_helper.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

const Bytes kFirstId = from_hex("8394c8f03e515708");
const Bytes kServerId = {0xf0, 0x67, 0xa5, 0x50, 0x2a};
const Bytes kRetryId = {0x11, 0x22, 0x33, 0x44, 0x55, 0x66};

Bytes named(std::string_view name) {
  return browser_hello(name).message();
}
const Bytes kGood = named("good.example");
const Bytes kEvil = named("evil.example");

/// The bytes of `message` from `begin` on, at `begin` + `shift` of the stream.
Bytes rest_of(const Bytes& message, size_t begin, size_t shift = 0) {
  return crypto_frame(begin + shift,
                      {message.begin() + static_cast<std::ptrdiff_t>(begin), message.end()});
}
Bytes start_of(const Bytes& message, size_t end) {
  return crypto_frame(0, prefix_of(message, end));
}

}  // namespace

TEST_CASE("a server's connection id keeps the keys of the first", "[quic]") {
  QuicFlow flow;
  CHECK(flow.step(initial(start_of(kGood, 200)).packet()) == "need_more");
  CHECK(
      flow.step(initial(rest_of(kGood, 200)).to(kServerId).keys_of(kFirstId).number(1).packet()) ==
      "hello good.example");
  CHECK(flow.step(initial(ack_frame(0)).to(kServerId).keys_of(kFirstId).number(2).packet()) ==
        "nothing_new");
  // An old one, late.
  CHECK(flow.step(initial(start_of(kGood, 200)).packet()) == "nothing_new");
}

TEST_CASE("packet numbers go on from those seen", "[quic]") {
  QuicFlow flow;
  CHECK(flow.step(hello_initial(kGood).number(0x1ff, 2).packet()) == "hello good.example");
  CHECK(flow.step(initial(kPingFrame).number(0x200, 1).pad_to(60).packet()) == "nothing_new");
  // One that is late does not turn them back.
  CHECK(flow.step(initial(kPingFrame).number(2, 4).pad_to(60).packet()) == "nothing_new");
  CHECK(flow.step(initial(kPingFrame).number(0x201, 1).pad_to(60).packet()) == "nothing_new");
}

TEST_CASE("after a Retry the hello is decided again", "[quic]") {
  QuicFlow flow;
  CHECK(flow.step(hello_initial(kGood).packet()) == "hello good.example");
  CHECK(flow.server(unnumbered_packet(0xf0, 1, {}, kRetryId, Bytes(30))) == QuicAnswer::retry);
  CHECK(flow.step(hello_initial(kGood).to(kRetryId).token(Bytes(40, 1)).number(1).packet()) ==
        "new hello good.example");
  CHECK(flow.step(
            initial(kPingFrame).to(kServerId).keys_of(kRetryId).number(2).pad_to(60).packet()) ==
        "nothing_new");
  // The keys of before are gone: what they protect is read by nobody.
  CHECK(flow.step(
            initial(kPingFrame).to(kServerId).keys_of(kFirstId).number(3).pad_to(60).packet()) ==
        "unreadable quic_bad_packet");
}

TEST_CASE("version negotiation starts anew, with the same id or another", "[quic]") {
  for (const Bytes& id : {kFirstId, kRetryId}) {
    QuicFlow flow;
    CHECK(flow.step(hello_initial(kGood).packet()) == "hello good.example");
    CHECK(flow.server(unnumbered_packet(0xca, 0, {}, kFirstId, {0x6b, 0x33, 0x43, 0xcf})) ==
          QuicAnswer::version_negotiation);
    CHECK(flow.step(hello_initial(kEvil).to(id).version(kQuicV2).packet()) ==
          "new hello evil.example");
    CHECK(flow.tracker().version == kQuicV2);
  }
}

TEST_CASE("a version that the server chose goes on with the first id's keys", "[quic]") {
  // RFC 9368 section 4.1: the id is the server's, the salt the new version's.
  QuicFlow flow;
  CHECK(flow.step(hello_initial(kGood).packet()) == "hello good.example");
  const auto next = [&](Bytes frames) {
    return initial(std::move(frames)).version(kQuicV2).to(kServerId).keys_of(kFirstId).number(1);
  };
  CHECK(flow.step(next(ack_frame(0)).pad_to(60).packet()) == "nothing_new");
  CHECK(flow.tracker().version == kQuicV2);
  CHECK(flow.step(next(whole_frame(kEvil)).packet()) == "fault quic_crypto_conflict");
}

TEST_CASE("an unknown version first hides nothing", "[quic]") {
  QuicFlow flow;
  CHECK(flow.step(unnumbered_packet(0xc0, 0x1a2a3a4a, kFirstId, {1}, Bytes(1200))) ==
        "unreadable quic_unknown_version");
  CHECK(flow.step(hello_initial(kEvil).packet()) == "hello evil.example");
  CHECK(flow.step(unnumbered_packet(0xc0, 0x1a2a3a4a, kFirstId, {1}, Bytes(1200))) ==
        "unreadable quic_unknown_version");
  CHECK(flow.step(unnumbered_packet(0xc0, 0x12345678, kFirstId, {1}, Bytes(1200))) ==
        "unreadable quic_bad_header");
  CHECK(flow.step({0x40, 1, 2}) == "nothing_new");
}

TEST_CASE("a second hello follows the first in the stream", "[quic]") {
  QuicFlow flow;
  CHECK(flow.step(hello_initial(kGood).packet()) == "hello good.example");
  const auto later = [&](const Bytes& frames, uint64_t number) {
    return initial(frames).to(kServerId).keys_of(kFirstId).number(number).packet();
  };
  CHECK(flow.step(later(rest_of(kEvil, 100, kGood.size()), 1)) == "need_more");
  CHECK(flow.step({0x40, 1, 2}) == "need_more");
  CHECK(flow.step(later(crypto_frame(kGood.size(), prefix_of(kEvil, 100)), 2)) ==
        "hello evil.example");
  CHECK(flow.tracker().hellos == 2);
  CHECK(flow.step(later(crypto_frame(kGood.size() + kEvil.size(), {20, 0}), 3)) ==
        "fault tls_not_client_hello");
}

TEST_CASE("a decoy first Initial hides no later one", "[quic]") {
  SECTION("another hello under the same id") {
    QuicFlow flow;
    CHECK(flow.step(hello_initial(kGood).packet()) == "hello good.example");
    CHECK(flow.step(hello_initial(kEvil).number(1).packet()) == "fault quic_crypto_conflict");
  }
  SECTION("another hello under another id") {
    QuicFlow flow;
    CHECK(flow.step(hello_initial(kGood).packet()) == "hello good.example");
    CHECK(flow.step(hello_initial(kEvil).to(kRetryId).packet()) == "new hello evil.example");
    CHECK(flow.step(hello_initial(kGood).packet()) == "unreadable quic_old_attempt");
    CHECK(flow.step(hello_initial(kEvil).to(kRetryId).number(1).packet()) == "nothing_new");
  }
  SECTION("half a hello before, under the other id") {
    QuicFlow flow;
    CHECK(flow.step(initial(start_of(kEvil, 250)).packet()) == "need_more");
    CHECK(flow.step(hello_initial(kGood).to(kRetryId).packet()) == "new hello good.example");
    CHECK(flow.step(initial(rest_of(kEvil, 250)).packet()) == "new need_more");
  }
  SECTION("one that nobody can open") {
    QuicFlow flow;
    CHECK(flow.step(hello_initial(kGood).bad_tag().packet()) == "unreadable quic_bad_packet");
    CHECK(flow.step(hello_initial(kEvil).packet()) == "hello evil.example");
    CHECK(flow.step(hello_initial(kGood).bad_tag().packet()) == "unreadable quic_bad_packet");
    CHECK(flow.step({0x40, 1, 2}) == "nothing_new");
  }
  SECTION("in the same datagram") {
    QuicFlow flow;
    CHECK(flow.step(hello_initial(kGood).packet() + hello_initial(kEvil).to(kRetryId).packet()) ==
          "unreadable quic_mixed_connections");
  }
}

TEST_CASE("once the server has the hello, its bytes are not compared", "[quic]") {
  QuicFlow flow;
  const Bytes answer =
      initial(ack_frame(0)).to({1}).keys_of(kFirstId).as_server().pad_to(80).packet();
  CHECK(flow.server(answer + long_packet(2, {}, Bytes(60))) == QuicAnswer::nothing);
  CHECK_FALSE(flow.tracker().server_took_hello);  // there is none yet
  CHECK(flow.step(hello_initial(kGood).packet()) == "hello good.example");
  CHECK(flow.server(answer) == QuicAnswer::nothing);
  CHECK(flow.server(long_packet(2, {1}, Bytes(60))) == QuicAnswer::nothing);  // of any attempt
  CHECK_FALSE(flow.tracker().server_took_hello);
  CHECK(flow.server(answer + long_packet(2, {1}, Bytes(60))) == QuicAnswer::handshake);
  REQUIRE(flow.tracker().server_took_hello);
  CHECK(flow.step(hello_initial(kGood).packet()) == "nothing_new");

  // Its memory may be let go: nothing is read from it or written to it.
  QuicTracker tracker = flow.tracker();
  QuicStep out;
  const auto scratch = std::make_unique<QuicScratch>();
  quic_step(hello_initial(kGood).packet(), tracker, {}, *scratch, out);
  CHECK(out.status == QuicStep::Status::nothing_new);
  quic_step(initial(rest_of(kGood, 300)).packet(), tracker, {}, *scratch, out);
  CHECK(out.status == QuicStep::Status::nothing_new);

  // Another attempt starts from nothing.
  CHECK(flow.step(hello_initial(kEvil).to(kRetryId).packet()) == "new hello evil.example");
  CHECK_FALSE(flow.tracker().server_took_hello);
}

TEST_CASE("a server's short headers and junk say nothing", "[quic]") {
  QuicFlow flow;
  CHECK(flow.server({}) == QuicAnswer::nothing);
  CHECK(flow.server({0x40, 1, 2}) == QuicAnswer::nothing);
  CHECK(flow.server(Bytes(50, 0xc0)) == QuicAnswer::nothing);
  CHECK(flow.server({0xe0, 0, 0, 0, 1, 9}) == QuicAnswer::nothing);
}

TEST_CASE("a datagram that may start QUIC is told on any flow", "[quic]") {
  CHECK(may_start_quic(hello_initial(kGood).packet()));
  CHECK(may_start_quic(unnumbered_packet(0xc0, 0x1a2a3a4a, kFirstId, {1}, Bytes(1200))));
  CHECK(may_start_quic(prefix_of(hello_initial(kGood).packet(), 100)));
  CHECK_FALSE(may_start_quic(unnumbered_packet(0xc0, 0, kFirstId, {1}, Bytes(1200))));
  CHECK_FALSE(may_start_quic({}));
  CHECK_FALSE(may_start_quic(Bytes{0x40, 0, 0, 0, 1, 0, 0}));
  CHECK_FALSE(may_start_quic(unnumbered_packet(0xc0, 0x12345678, kFirstId, {1}, Bytes(1200))));
}
