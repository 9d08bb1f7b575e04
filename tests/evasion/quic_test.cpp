// Ways past the gateway in how a QUIC client sends its hello. What each datagram says by itself:
// tests/unit/inspect.
#include "tests/evasion/evasion.h"
#include "tests/support/quic_helper.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

using Datagrams = std::vector<Bytes>;

const std::string kAllowed{kAllowedName};
const std::string kDenied{kDeniedName};
const Bytes kFirstId = from_hex("8394c8f03e515708");
const Bytes kSecondId = from_hex("0011223344556677");
const Bytes kThirdId = from_hex("7766554433221100");
const Bytes kGood = hello().sni(kAllowed).message();
const Bytes kEvil = hello().sni("wwwx.denied.test").message();
const Bytes kOther = hello().sni("wwx.allowed.test").message();
const Bytes kShort = Bytes{0x40} + Bytes(60, 0x5c);

Bytes part(const Bytes& message, size_t from, size_t to) {
  return {message.begin() + static_cast<std::ptrdiff_t>(from),
          message.begin() + static_cast<std::ptrdiff_t>(to)};
}
Bytes frame(const Bytes& message, size_t from, size_t to) {
  return crypto_frame(from, part(message, from, to));
}
Bytes padded(const Bytes& frames, uint64_t number = 0) {
  return initial(frames).number(number).pad_to(1200).packet();
}

/// Where the datagrams that leave are those of `leaves`, by their places.
struct QuicCase {
  std::string name;
  std::string server;
  Datagrams datagrams;
  std::vector<size_t> leaves;
  Bytes answer;               ///< Of the server, behind the first datagram.
  Right right = Right::deny;  ///< What the flow has come to in the end.
  std::string why;            ///< The fault or reason that docs/evasion.md names.
};

void play(const QuicCase& row, std::string_view policy, uint16_t port = 443) {
  CAPTURE(row.name, row.server);
  Pipeline pipeline(policy);
  bool first = true;
  for (const Bytes& datagram : row.datagrams) {
    pipeline.from_inside(udp("198.18.0.2", 50000, "198.19.0.2", port).payload(datagram).frame());
    if (first && !row.answer.empty()) {
      pipeline.from_outside(udp("198.19.0.2", port, "198.18.0.2", 50000)
                                .macs(kOutsideMac, kInsideMac)
                                .payload(row.answer)
                                .frame());
    }
    first = false;
  }
  Datagrams left;
  for (const Bytes& out : pipeline.to_outside()) left.push_back(payload_of(out));
  Datagrams wanted;
  for (const size_t i : row.leaves) wanted.push_back(row.datagrams[i]);
  CHECK(left == wanted);
  CHECK(verdict(pipeline) == row.right);
  if (!row.why.empty()) CHECK(recorded_why(pipeline) == row.why);
}

}  // namespace

TEST_CASE("a hello in any frames and Initials", "[evasion]") {
  for (const bool allowed : {true, false}) {
    const Bytes& hello = allowed ? kGood : kEvil;
    const size_t size = hello.size();
    const size_t name =
        static_cast<size_t>(std::ranges::mismatch(kGood, kEvil).in1 - kGood.begin());
    const size_t third = size / 3;
    const auto row = [&](const std::string& what, const Datagrams& datagrams) {
      std::vector<size_t> leaves;
      for (size_t i = 0; allowed && i < datagrams.size(); ++i) leaves.push_back(i);
      play({what + (allowed ? ", allowed" : ", denied"),
            "joins the frames",
            datagrams,
            leaves,
            {},
            allowed ? Right::allow : Right::deny},
           kEvasionPolicy);
    };
    row("one frame", {padded(frame(hello, 0, size))});
    row("frames shuffled", {padded(frame(hello, 2 * third, size) + frame(hello, 0, third) +
                                   frame(hello, third, 2 * third))});
    row("split inside the name",
        {padded(frame(hello, 0, name + 2)), padded(frame(hello, name + 2, size), 1)});
    row("split inside the name, the end first",
        {padded(frame(hello, name + 2, size)), padded(frame(hello, 0, name + 2), 1)});
    row("three Initials",
        {padded(frame(hello, 0, third)), padded(frame(hello, third, 2 * third), 1),
         padded(frame(hello, 2 * third, size), 2)});
    row("three Initials backwards",
        {padded(frame(hello, 2 * third, size)), padded(frame(hello, third, 2 * third), 1),
         padded(frame(hello, 0, third), 2)});
    row("two Initials in one datagram",
        {initial(frame(hello, 0, third)).pad_to(300).packet() +
         initial(frame(hello, third, size)).number(1).pad_to(900).packet()});
    row("PING, ACK and PADDING between",
        {padded(kPingFrame + frame(hello, 0, third) + Bytes(9) + ack_frame(3) + kPingFrame +
                frame(hello, third, size))});
    row("an Initial without a hello first", {padded(kPingFrame), padded(frame(hello, 0, size), 1)});
    row("pieces that overlap and agree",
        {padded(frame(hello, 0, 2 * third)), padded(frame(hello, third, size), 1)});
    Bytes bytes;
    for (size_t i = 0; i < size; ++i) append(bytes, frame(hello, i, i + 1));
    row("a byte in each frame", {padded(bytes)});
    row("0-RTT in the same datagram", {initial(frame(hello, 0, size)).pad_to(1000).packet() +
                                       long_packet(1, kFirstId, Bytes(200, 7))});
    row("0-RTT in front of it", {long_packet(1, kFirstId, Bytes(200, 7)) +
                                 initial(frame(hello, 0, size)).pad_to(1000).packet()});
    row("version 2", {initial(frame(hello, 0, size)).version(0x6b3343cf).pad_to(1200).packet()});
    row("a packet number of one byte",
        {initial(frame(hello, 0, size)).number(3, 1).pad_to(1200).packet()});
  }
}

TEST_CASE("datagrams that name two hosts", "[evasion]") {
  const Bytes good = padded(whole_frame(kGood));
  const Bytes evil = padded(whole_frame(kEvil));
  const auto under = [](const Bytes& id, const Bytes& message) {
    return initial(whole_frame(message)).to(id).pad_to(1200).packet();
  };
  const Bytes retry = unnumbered_packet(0xf0, 1, {}, kSecondId, Bytes(40, 1));
  const Bytes negotiation = unnumbered_packet(0x80, 0, {}, kFirstId, from_hex("6b3343cf"));
  const Bytes in_version_2 = initial(whole_frame(kGood)).version(0x6b3343cf).pad_to(1200).packet();
  const Bytes from_version_2 = unnumbered_packet(0x80, 0, {}, kFirstId, from_hex("00000001"));
  const Bytes handshake = long_packet(2, {}, Bytes(100, 3));
  const std::vector<QuicCase> rows{
      {"conflicting overlap, allowed first",
       "either",
       {padded(frame(kGood, 0, 60)), padded(frame(kEvil, 20, kEvil.size()), 1)},
       {},
       {},
       Right::deny,
       "quic_crypto_conflict"},
      {"conflicting overlap, denied first",
       "either",
       {padded(frame(kEvil, 0, 60)), padded(frame(kGood, 20, kGood.size()), 1)},
       {},
       {},
       Right::deny,
       "quic_crypto_conflict"},
      {"conflicting overlap in one Initial",
       "either",
       {padded(whole_frame(kGood) + whole_frame(kEvil))},
       {},
       {},
       Right::deny,
       "quic_crypto_conflict"},
      {"the same place again behind an allowed hello",
       "drops it, or an error",
       {good, padded(whole_frame(kEvil), 1)},
       {0},
       {},
       Right::deny,
       "quic_crypto_conflict"},
      {"a decoy, then another connection id",
       "serves both",
       {good, under(kSecondId, kEvil)},
       {0},
       {}},
      {"a decoy that is no Initial of theirs, then a denied one",
       "drops it, serves the second",
       {initial(whole_frame(kGood)).bad_tag().pad_to(1200).packet(), evil},
       {},
       {}},
      {"a decoy with the server's keys",
       "drops it, serves the second",
       {initial(whole_frame(kGood)).as_server().pad_to(1200).packet(), evil},
       {},
       {}},
      {"a denied Initial, then an allowed one",
       "serves the second",
       {evil, under(kSecondId, kGood)},
       {1},
       {},
       Right::allow},
      {"a second hello behind the first",
       "an error",
       {good, padded(crypto_frame(kGood.size(), kEvil), 1)},
       {0},
       {}},
      {"a second hello in the same Initial",
       "an error",
       {padded(crypto_frame(0, kGood + kEvil))},
       {},
       {},
       Right::deny,
       "tls_trailing_bytes"},
      {"another name after Retry",
       "serves it",
       {good, initial(whole_frame(kEvil))
                  .to(kSecondId)
                  .token(Bytes(30, 2))
                  .number(1)
                  .pad_to(1200)
                  .packet()},
       {0},
       retry,
       Right::allow},
      {"the same name after Retry",
       "serves it",
       {good, initial(whole_frame(kGood))
                  .to(kSecondId)
                  .token(Bytes(30, 2))
                  .number(1)
                  .pad_to(1200)
                  .packet()},
       {0, 1},
       retry,
       Right::allow},
      {"another name after version negotiation",
       "serves it",
       {good, initial(whole_frame(kEvil)).version(0x6b3343cf).to(kSecondId).pad_to(1200).packet()},
       {0},
       negotiation,
       Right::allow},
      {"the same name after version negotiation",
       "serves it",
       {good, initial(whole_frame(kGood)).version(0x6b3343cf).to(kSecondId).pad_to(1200).packet()},
       {0, 1},
       negotiation,
       Right::allow},
      {"another name after version negotiation, back in version 1",
       "serves it",
       {in_version_2, under(kSecondId, kEvil)},
       {0},
       from_version_2,
       Right::allow},
      {"the same name after version negotiation, back in version 1",
       "serves it",
       {in_version_2, under(kSecondId, kGood)},
       {0, 1},
       from_version_2,
       Right::allow},
      {"a denied name, and an allowed one after version negotiation",
       "serves the second",
       {evil, initial(whole_frame(kGood)).version(0x6b3343cf).to(kSecondId).pad_to(1200).packet()},
       {1},
       negotiation,
       Right::allow},
      {"another name in version 2 under the same id",
       "serves it",
       {good, initial(whole_frame(kEvil)).version(0x6b3343cf).pad_to(1200).packet()},
       {0},
       {}},
      {"an unknown version",
       "may know it",
       {initial(whole_frame(kGood)).version(0x1a2a3a4a).pad_to(1200).packet()},
       {},
       {},
       Right::none,
       "quic_unknown_version"},
      {"an unknown version behind an allowed hello",
       "may know it",
       {good, long_packet(1, kFirstId, Bytes(200, 7), 0x1a2a3a4a)},
       {0},
       {},
       Right::allow,
       "quic_unknown_version"},
      {"another connection behind the first in one datagram",
       "may serve both",
       {initial(whole_frame(kGood)).pad_to(400).packet() +
        initial(whole_frame(kEvil)).to(kSecondId).pad_to(800).packet()},
       {},
       {},
       Right::none,
       "quic_mixed_connections"},
      {"a denied Initial once the server has taken a hello",
       "serves it",
       {good, under(kSecondId, kEvil)},
       {0},
       handshake,
       Right::allow},
      {"early data in front of a denied Initial, once the server has answered another",
       "keeps it for the Initial",
       {good, long_packet(1, kSecondId, Bytes(200, 7)), under(kSecondId, kEvil)},
       {0},
       handshake,
       Right::allow},
      {"early data of the connection that the server has answered",
       "takes it",
       {good, long_packet(1, kFirstId, Bytes(200, 7))},
       {0, 1},
       handshake,
       Right::allow},
      {"a version of no RFC",
       "may know it",
       {initial(whole_frame(kGood)).version(0x709a50c4).pad_to(1200).packet()},
       {},
       {},
       Right::none,
       "quic_unknown_version"},
      {"a datagram too short for an Initial",
       "drops it",
       {initial(whole_frame(kGood)).packet(),
        long_packet(1, kFirstId, Bytes(200, 7)) + initial(whole_frame(kGood)).packet()},
       {},
       {},
       Right::none,
       "quic_short_datagram"},
      {"one such in front of a denied Initial",
       "drops it, serves the second",
       {good, initial(whole_frame(kGood)).to(kSecondId).packet(), under(kSecondId, kEvil)},
       {0},
       {}},
      {"short acknowledgements behind a hello, and a short hello among them",
       "drops them, or takes what they acknowledge",
       {good, initial(ack_frame(0)).to({1, 2}).keys_of(kFirstId).number(1).packet(),
        initial(ack_frame(0)).to({1, 2}).keys_of(kFirstId).number(2).packet() +
            long_packet(2, {1, 2}, Bytes(60, 3)),
        initial(kPingFrame).to(kSecondId).packet(),
        initial(ack_frame(0) + whole_frame(kGood)).to({1, 2}).keys_of(kFirstId).packet()},
       {0, 1, 2},
       {},
       Right::allow,
       "quic_short_datagram"},
      {"back to an attempt given up, with a hello of two other halves",
       "joins the halves that reach it",
       {padded(frame(kGood, 0, 60)), padded(frame(kGood, 60, kGood.size()), 1),
        under(kSecondId, kGood), padded(frame(kOther, 0, 60), 2),
        padded(frame(kOther, 60, kOther.size()), 3)},
       {0, 1, 2},
       {},
       Right::allow,
       "quic_old_attempt"},
      {"back to it from another version",
       "joins the halves that reach it",
       {padded(whole_frame(kGood)),
        initial(whole_frame(kGood)).version(0x6b3343cf).pad_to(1200).packet(),
        padded(whole_frame(kOther), 2)},
       {0, 1},
       {},
       Right::allow,
       "quic_old_attempt"},
      {"back to it past a denied attempt",
       "joins the halves that reach it",
       {padded(whole_frame(kGood)), under(kSecondId, kEvil), under(kThirdId, kGood),
        padded(whole_frame(kOther), 2)},
       {0, 2},
       {},
       Right::allow,
       "quic_old_attempt"},
      {"0-RTT alone",
       "waits for its hello",
       {long_packet(1, kFirstId, Bytes(200, 7))},
       {},
       {},
       Right::none},
      {"a short header alone", "drops it", {kShort}, {}, {}},
      {"junk, then a denied Initial", "serves it", {bytes_of("junk"), evil}, {}, {}},
      {"an encrypted hello",
       "serves the inner name",
       {padded(whole_frame(hello().sni(kAllowed).extension(0xfe0d, Bytes(90, 1)).message()))},
       {},
       {}},
      {"no name", "its default host", {padded(whole_frame(hello().message()))}, {}, {}},
  };
  for (const QuicCase& row : rows) play(row, kEvasionPolicy);
}

TEST_CASE("other datagrams in front of a denied one", "[evasion]") {
  const Bytes evil = padded(whole_frame(hello().sni(kDenied).message()));
  const Bytes other = padded(whole_frame(hello().sni("other.test").message()));
  const Bytes query = from_hex("123401000001000000000000") + from_hex("016101620000010001");
  const std::vector<QuicCase> rows{
      {"junk, then a denied Initial", "serves it", {bytes_of("junk"), evil}, {0}, {}},
      {"a query, then a denied Initial", "serves it", {query, evil}, {0}, {}},
      {"a short header, then a denied Initial", "serves it", {kShort, evil}, {0}, {}},
      {"an empty datagram, then a denied Initial", "serves it", {Bytes{}, evil}, {0}, {}},
      {"an unknown version",
       "may know it",
       {initial(whole_frame(kEvil)).version(0xff020000).pad_to(1200).packet()},
       {},
       {},
       Right::none},
      {"an Initial of another name, then a denied one",
       "serves both",
       {other,
        initial(whole_frame(hello().sni(kDenied).message())).to(kSecondId).pad_to(1200).packet()},
       {0},
       {}},
  };
  for (const QuicCase& row : rows) play(row, kDenyListPolicy);
}

// A resolver drops the Initial that it cannot read, and answers the query.
TEST_CASE("a query behind an allowed Initial", "[evasion]") {
  const Bytes good = padded(whole_frame(kGood));
  for (const uint8_t id : {uint8_t{0x12}, uint8_t{0x92}}) {
    const Bytes header{id, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0};
    const Bytes query = header + block(bytes_of("www"), 1) + block(bytes_of("denied"), 1) +
                        block(bytes_of("test"), 1) + Bytes{0, 0, 1, 0, 1};
    play({"a denied query", "answers it", {good, query}, {0}, {}}, kEvasionPolicy, 53);
  }
  play({"a short header", "takes it", {good, kShort}, {0, 1}, {}, Right::allow}, kEvasionPolicy);
}

// Only what the server has taken whole need not be compared: another attempt's answer says nothing
// of this one.
TEST_CASE("a hello again as another, once the server has answered", "[evasion]") {
  const auto under = [](const Bytes& id, const Bytes& message, uint64_t number) {
    return initial(whole_frame(message)).to(id).number(number).pad_to(1200).packet();
  };
  const auto answer = [](const Bytes& first_id, const Bytes& server_id) {
    return initial(ack_frame(0)).to({}).keys_of(first_id).from(server_id).as_server().packet();
  };
  const Bytes handshake = long_packet(2, {}, Bytes(100, 3));
  struct Row {
    std::string name;
    std::vector<Bytes> answers;  ///< Behind the second attempt's hello.
    bool taken;
  };
  const std::vector<Row> rows{
      {"a late Handshake of the first attempt", {handshake}, false},
      {"the same behind its Initial", {answer(kFirstId, {1, 2}) + handshake}, false},
      {"an Initial of this attempt, a Handshake of the other",
       {answer(kSecondId, {1, 2}), handshake},
       false},
      {"an Initial of this attempt alone", {answer(kSecondId, {})}, false},
      {"an Initial and a Handshake of this attempt", {answer(kSecondId, {}) + handshake}, true},
  };
  for (const Row& row : rows) {
    CAPTURE(row.name);
    Pipeline pipeline(kEvasionPolicy);
    const auto client = [&](const Bytes& datagram) {
      pipeline.from_inside(udp("198.18.0.2", 50000, "198.19.0.2", 443).payload(datagram).frame());
      return pipeline.to_outside().size();
    };
    CHECK(client(under(kFirstId, kGood, 0)) == 1);
    CHECK(client(under(kSecondId, kGood, 0)) == 1);
    for (const Bytes& datagram : row.answers) {
      pipeline.from_outside(udp("198.19.0.2", 443, "198.18.0.2", 50000)
                                .macs(kOutsideMac, kInsideMac)
                                .payload(datagram)
                                .frame());
    }
    CHECK(client(under(kSecondId, kGood, 1)) == 1);
    CHECK(client(under(kSecondId, kOther, 2)) == (row.taken ? 1 : 0));
  }
}

TEST_CASE("many attempts from one port", "[evasion]") {
  for (const bool answered : {false, true}) {
    CAPTURE(answered);
    Pipeline pipeline(kEvasionPolicy);
    size_t left = 0;
    for (uint8_t i = 0; i < 20; ++i) {
      const Bytes id(8, i);
      const Bytes hello = initial(whole_frame(kGood)).to(id).pad_to(1200).packet();
      pipeline.from_inside(udp("198.18.0.2", 50000, "198.19.0.2", 443).payload(hello).frame());
      left += pipeline.to_outside().size();
      const Bytes server = initial(ack_frame(0)).to({}).keys_of(id).as_server().packet();
      if (!answered) continue;
      pipeline.from_outside(udp("198.19.0.2", 443, "198.18.0.2", 50000)
                                .macs(kOutsideMac, kInsideMac)
                                .payload(server + long_packet(2, {}, Bytes(100, 3)))
                                .frame());
    }
    CHECK(left == (answered ? 20 : kMaxOldAttempts + 1));
    CHECK(pipeline.drops("undecodable_quic") == 20 - left);
  }
}

TEST_CASE("a refused attempt is read again under another policy", "[evasion]") {
  Pipeline pipeline(kEvasionPolicy);
  const auto client = [&](const Bytes& datagram) {
    pipeline.from_inside(udp("198.18.0.2", 50000, "198.19.0.2", 443).payload(datagram).frame());
    return pipeline.to_outside().size();
  };
  const Bytes hello = padded(whole_frame(kEvil));
  CHECK(client(hello) == 0);
  CHECK(client(hello) == 0);
  pipeline.push(kAllowAll);
  CHECK(client(hello) == 1);
  pipeline.push(kDenyListPolicy);
  CHECK(client(hello) == 0);
  pipeline.push(kAllowAll);
  CHECK(client(padded(whole_frame(kEvil), 1)) == 1);
}
