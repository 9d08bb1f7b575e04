// One connection attempt: from Initials to its ClientHello.
#include <openssl/crypto.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "dataplane/inspect/fingerprint.h"
#include "tests/support/quic_helper.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

const Bytes kMessage = browser_hello("cdn.example.net").message();
const Bytes kLong = browser_hello("cdn.example.net", kPostQuantumKeyShare).message();

Bytes joined(const std::vector<Bytes>& parts) {
  Bytes out;
  for (const Bytes& part : parts) append(out, part);
  return out;
}

/// Each of `frames` in an Initial of its own.
std::vector<Bytes> one_each(const std::vector<Bytes>& frames) {
  std::vector<Bytes> out;
  for (const Bytes& frame : frames) {
    out.push_back(initial(frame).number(out.size()).pad_to(1200).packet());
  }
  return out;
}

Bytes part(const Bytes& whole, size_t begin, size_t end) {
  return crypto_frame(begin, {whole.begin() + static_cast<std::ptrdiff_t>(begin),
                              whole.begin() + static_cast<std::ptrdiff_t>(end)});
}

std::string answer(const Bytes& datagram) {
  return QuicFlow().step(datagram);
}

}  // namespace

TEST_CASE("an Initial with a whole hello gives its name", "[quic]") {
  for (const uint32_t version : {kQuicV1, kQuicV2, kQuicDraft29}) {
    CAPTURE(version);
    QuicFlow flow;
    const Bytes datagram = hello_initial(kMessage).version(version).packet();
    CHECK(flow.step(datagram) == "hello cdn.example.net");
    CHECK(flow.out().version == version);
    CHECK(flow.out().hello.alpn_count == 2);
    CHECK(flow.out().hello.encrypted_hello);
    CHECK(make_ja4(flow.out().hello, HelloTransport::quic).view().substr(0, 10) == "q13d1615h2");
    CHECK(flow.step(datagram) == "nothing_new");
  }
}

TEST_CASE("what a hello may lie among", "[quic]") {
  const std::vector<Bytes> cut = crypto_frames(kMessage, {100, 240});
  const std::string name = "hello cdn.example.net";
  CHECK(answer(hello_initial(hello().message()).packet()) == "hello -");
  CHECK(answer(hello_initial(kMessage).token(Bytes(60, 7)).from(Bytes(20, 1)).packet()) == name);
  CHECK(answer(hello_initial(kMessage).to({}).packet()) == name);
  CHECK(answer(hello_initial(kMessage).to(Bytes(20, 3)).number(0x1234567, 4).packet()) == name);
  CHECK(answer(hello_initial(kMessage).number(200, 1).packet()) == name);
  CHECK(answer(hello_initial(kMessage).flip_first_byte(0x40).packet()) == name);
  CHECK(answer(initial(cut[2] + kPingFrame + Bytes(7) + cut[0] + ack_frame(1) + cut[1]).packet()) ==
        name);
  CHECK(answer(initial(cut[0] + cut[0] + cut[2] + cut[2] + cut[1]).packet()) == name);
  CHECK(answer(initial(part(kMessage, 0, 150) + part(kMessage, 100, kMessage.size())).packet()) ==
        name);
  CHECK(answer(initial(crypto_frame(0, {}) + whole_frame(kMessage)).packet()) == name);
}

TEST_CASE("every split of a hello over two Initials, in both orders", "[quic]") {
  for (size_t cut = 1; cut < kMessage.size(); ++cut) {
    CAPTURE(cut);
    const auto datagrams = one_each(crypto_frames(kMessage, {cut}));
    QuicFlow straight;
    CHECK(straight.step(datagrams[0]) == "need_more");
    CHECK(straight.step(datagrams[1]) == "hello cdn.example.net");
    QuicFlow turned;
    CHECK(turned.step(datagrams[1]) == "need_more");
    CHECK(turned.step(datagrams[1]) == "need_more");
    CHECK(turned.step(datagrams[0]) == "hello cdn.example.net");
  }
}

TEST_CASE("a hello in shuffled pieces of any size", "[quic]") {
  std::mt19937 random(9);  // NOLINT(cert-msc*): the same run each time
  for (int round = 0; round < 40; ++round) {
    std::vector<size_t> cuts;
    for (int i = 0; i < 40; ++i) cuts.push_back(1 + random() % (kLong.size() - 1));
    std::ranges::sort(cuts);
    const auto same = std::ranges::unique(cuts);
    cuts.erase(same.begin(), same.end());
    auto frames = crypto_frames(kLong, cuts);
    std::ranges::shuffle(frames, random);
    // Over three datagrams, as browsers do.
    const auto third = static_cast<std::ptrdiff_t>(frames.size() / 3);
    QuicFlow flow;
    CHECK(flow.step(initial(joined({frames.begin(), frames.begin() + third})).packet()) ==
          "need_more");
    CHECK(
        flow.step(initial(joined({frames.begin() + third, frames.begin() + 2 * third})).packet()) ==
        "need_more");
    CHECK(flow.step(initial(joined({frames.begin() + 2 * third, frames.end()})).packet()) ==
          "hello cdn.example.net");
  }
}

TEST_CASE("byte by byte, backwards, a long hello has too many gaps only when spread", "[quic]") {
  std::vector<size_t> cuts;
  for (size_t i = 1; i < kMessage.size(); ++i) cuts.push_back(i);
  auto frames = crypto_frames(kMessage, cuts);
  std::ranges::reverse(frames);
  CHECK(answer(initial(joined(frames)).packet()) == "hello cdn.example.net");
  Bytes every_second;
  for (size_t i = 0; i < 130; i += 2) append(every_second, frames[i]);
  CHECK(answer(initial(every_second).packet()) == "fault quic_too_many_gaps");
}

TEST_CASE("coalesced packets are all read", "[quic]") {
  const Bytes id = from_hex("8394c8f03e515708");
  const auto frames = crypto_frames(kMessage, {200});
  const Bytes one = initial(frames[0]).packet();
  const Bytes two = initial(frames[1]).number(1).packet();
  const std::string name = "hello cdn.example.net";
  CHECK(answer(one + two) == name);
  CHECK(answer(two + one) == name);
  CHECK(answer(one + long_packet(1, id, Bytes(100, 9)) + two) == name);
  CHECK(answer(long_packet(2, id, Bytes(50, 9)) + one + two) == name);
  CHECK(answer(one + two + Bytes{0x40, 1, 2, 3}) == name);
  CHECK(answer(one + two + Bytes(300)) == name);             // padding behind the packets
  CHECK(answer(one + two + Bytes{0xc0, 1, 2}) == name);      // junk behind the packets
  CHECK(answer(one + Bytes{0x40, 1} + two) == "need_more");  // a short header has no end
  CHECK(answer(one + initial(frames[1]).to({1, 2, 3}).packet()) ==
        "unreadable quic_mixed_connections");
  CHECK(answer(one + initial(frames[1]).version(kQuicV2).packet()) ==
        "unreadable quic_mixed_connections");
  CHECK(answer(one + two + initial(kPingFrame).bad_tag().pad_to(60).packet()) ==
        "unreadable quic_bad_packet");
  Bytes many;
  for (size_t i = 0; i < kMaxQuicPackets; ++i) append(many, long_packet(1, id, Bytes(20)));
  CHECK(answer(many) == "need_more");
  CHECK(answer(many + two) == "unreadable quic_too_many_packets");
}

TEST_CASE("bytes that come again differently are a fault", "[quic]") {
  Bytes other = kMessage;
  other[200] ^= 1;
  QuicFlow pending;
  CHECK(pending.step(initial(part(kMessage, 100, 300)).packet()) == "need_more");
  CHECK(pending.step(initial(part(other, 150, 250)).packet()) == "fault quic_crypto_conflict");
  QuicFlow decided;
  CHECK(decided.step(hello_initial(kMessage).packet()) == "hello cdn.example.net");
  CHECK(decided.step(hello_initial(other).packet()) == "fault quic_crypto_conflict");
  CHECK(decided.step(initial(part(other, 200, 201)).packet()) == "fault quic_crypto_conflict");
  CHECK(decided.step(initial(part(kMessage, 200, 201)).packet()) == "nothing_new");
  CHECK(answer(initial(part(kMessage, 0, 300) + part(other, 0, 300)).packet()) ==
        "fault quic_crypto_conflict");
}

TEST_CASE("what an Initial may not hold", "[quic]") {
  const Bytes message = hello().sni("a.b").message();
  struct Row {
    std::string what;
    Bytes datagram;
    std::string answer;
  };
  const std::vector<Row> rows = {
      {"a STREAM frame", initial(whole_frame(message) + Bytes{8, 0, 1}).packet(),
       "fault quic_bad_frame"},
      {"reserved bits", hello_initial(message).flip_first_byte(0x04).packet(),
       "fault quic_bad_header"},
      {"the other reserved bit", hello_initial(message).flip_first_byte(0x08).packet(),
       "fault quic_bad_header"},
      {"a ServerHello", hello_initial({2, 0, 0, 1, 0}).packet(), "fault tls_not_client_hello"},
      {"its first byte alone", initial(whole_frame({2})).packet(), "fault tls_not_client_hello"},
      {"bytes behind the hello", hello_initial(message + Bytes{1}).packet(),
       "fault tls_trailing_bytes"},
      {"two hellos at once", hello_initial(message + message).packet(), "fault tls_trailing_bytes"},
      {"bytes behind the hello, out of order",
       initial(crypto_frame(message.size() + 9, {1}) + whole_frame(message)).packet(),
       "fault tls_trailing_bytes"},
      {"a hello that is too long", hello_initial({1, 0, 0x1f, 0xfd}).packet(),
       "fault tls_hello_too_long"},
      {"a hello of what is held", hello_initial({1, 0, 0x1f, 0xfc}).packet(), "need_more"},
      {"bytes past what is held", initial(crypto_frame(8191, {1, 2})).packet(),
       "fault tls_hello_too_long"},
      {"a bad hello", hello_initial(hello().sni("a b").message()).packet(),
       "fault tls_bad_server_name"},
      {"a bad extension behind a name",
       hello_initial(hello().sni("a.b").alpn({""}).message()).packet(), "fault tls_bad_extension"},
      {"a bad tag", hello_initial(message).bad_tag().packet(), "unreadable quic_bad_packet"},
      {"a server's keys", hello_initial(message).as_server().packet(),
       "unreadable quic_bad_packet"},
      {"a length past its end", prefix_of(hello_initial(message).packet(), 1199),
       "unreadable quic_bad_header"},
      {"a Retry", unnumbered_packet(0xf0, 1, {1}, {2}, Bytes(20)), "unreadable quic_bad_header"},
      {"a reserved version", unnumbered_packet(0xc0, 0x0a1a2a3a, {1}, {2}, Bytes(1200)),
       "unreadable quic_unknown_version"},
      {"version zero", unnumbered_packet(0xc0, 0, {1}, {2}, Bytes(8)), "not_quic"},
      {"a DNS query on port 443",
       from_hex("c30001000001000000000000076578616d706c6503636f6d0000010001"), "not_quic"},
      {"a short header", {0x40, 1, 2, 3}, "not_quic"},
      {"nothing", {}, "not_quic"},
      {"0-RTT before its Initial", long_packet(1, {1, 2}, Bytes(50)), "need_more"},
      {"no CRYPTO yet", initial(kPingFrame).pad_to(1200).packet(), "need_more"},
  };
  for (const Row& row : rows) {
    INFO(row.what);
    QuicFlow flow;
    CHECK(flow.step(row.datagram) == row.answer);
    if (row.answer.starts_with("fault")) CHECK(flow.out().name.empty());
  }
}

TEST_CASE("no prefix of a hello is one", "[quic]") {
  for (size_t size = 1; size < kMessage.size(); ++size) {
    CAPTURE(size);
    CHECK(answer(initial(part(kMessage, 0, size)).packet()) == "need_more");
  }
  const Bytes datagram = hello_initial(kMessage).packet();
  for (size_t size = 0; size < datagram.size(); ++size) {
    CAPTURE(size);
    CHECK(answer(prefix_of(datagram, size)) ==
          (size < 5 ? "not_quic" : "unreadable quic_bad_header"));
  }
}

TEST_CASE("what is held may be small", "[quic]") {
  CHECK(QuicFlow(kMessage.size()).step(hello_initial(kMessage).packet()) ==
        "hello cdn.example.net");
  CHECK(QuicFlow(kMessage.size() - 1).step(hello_initial(kMessage).packet()) ==
        "fault tls_hello_too_long");
  CHECK(QuicFlow(0).step(hello_initial(kMessage).packet()) == "fault tls_hello_too_long");
  CHECK(QuicFlow(1 << 17).step(hello_initial(kMessage).packet()) == "hello cdn.example.net");
}
