#include "dataplane/inspect/dns_query.h"

#include <catch2/catch.hpp>
#include <random>
#include <string>
#include <vector>

#include "dataplane/inspect/dns_stream.h"
#include "dataplane/inspect/fault_info.h"
#include "tests/support/dns_builder.h"

using namespace sallyport;
using namespace sallyport::test;
using namespace std::string_literals;

namespace {

std::string describe(const DnsQuery& query) {
  const std::string name(query.name.empty() ? "-" : query.name.view());
  return name + ' ' + std::to_string(query.type) + (query.edns ? " edns" : "");
}

constexpr uint16_t kOtherPort = 5300;

// "a.b 1 edns", "not_dns", or "fault dns_bad_name"; '-' for no name.
std::string answer(const Bytes& message, uint16_t port = kOtherPort) {
  DnsQuery query;
  const auto got = parse_dns_query(message, port, query);
  switch (got.status) {
    case DnsQueryAnswer::Status::not_dns:
      return "not_dns";
    case DnsQueryAnswer::Status::done:
      return describe(query);
    case DnsQueryAnswer::Status::fault:
      return "fault " + std::string(to_string(got.fault));
  }
  return "?";
}

struct Row {
  std::string what;
  Bytes message;
  std::string answer;
};
void check_rows(const std::vector<Row>& rows, uint16_t port) {
  for (const Row& row : rows) {
    INFO(row.what);
    CHECK(answer(row.message, port) == row.answer);
  }
}
void check_rows(const std::vector<Row>& rows) {
  check_rows(rows, kOtherPort);
  check_rows(rows, kDnsPort);
}

Bytes with(const DnsHeader& header, const Bytes& rest) {
  return dns_header(header) + rest;
}
Bytes ask(const Bytes& name, const DnsHeader& header = {}) {
  return dns_header(header) + dns_question(name);
}
Bytes edns_query(std::string_view name) {
  return dns_query(name, kDnsA, {.additional = 1}) + dns_edns();
}

constexpr auto kBadHeader = "fault dns_bad_header";
constexpr auto kBadQuestion = "fault dns_bad_question";
constexpr auto kBadName = "fault dns_bad_name";
constexpr auto kBadRecord = "fault dns_bad_record";

const Bytes kQuestion = dns_question(dns_name("a.b"));
Bytes odd_class(std::string_view name) {
  return dns_question(dns_name(name), kDnsA, 2);
}

/// @param ended     The client's FIN comes behind the pieces,
/// @param with_all  or with each of them, as when they were put in order behind it.
std::string run(const std::vector<Bytes>& pieces, bool ended = false, bool with_all = false,
                uint16_t port = kOtherPort) {
  DnsStream stream;
  Bytes window;
  std::string text;
  const auto add = [&](const std::string& part) { text += (text.empty() ? "" : " | ") + part; };
  const auto feed = [&](const Bytes& piece, bool last) {
    append(window, piece);
    for (;;) {
      DnsQuery query;
      const Bytes block(window);
      const DnsStep step = stream.next(block, last, port, query);
      if (step.status == DnsStep::Status::need_more) return true;
      if (step.status != DnsStep::Status::query) {
        add(step.status == DnsStep::Status::not_dns
                ? "not_dns"
                : "fault " + std::string(to_string(step.fault)));
        return false;
      }
      add(describe(query));
      stream.allow();
      window.erase(window.begin(),
                   window.begin() + static_cast<std::ptrdiff_t>(step.message_bytes));
    }
  };
  for (const Bytes& piece : pieces) {
    if (!feed(piece, with_all)) return text;
  }
  if (ended) feed({}, true);
  return text;
}

}  // namespace

TEST_CASE("a query names what it asks for", "[dns]") {
  const std::string label(63, 'x');
  const std::string longest = label + '.' + label + '.' + label + '.' + std::string(61, 'y');
  check_rows({
      {"plain", dns_query("api.example.com"), "api.example.com 1"},
      {"case folded", dns_query("aPi.eXaMpLe.CoM", kDnsAaaa), "api.example.com 28"},
      {"a service", dns_query("_443._https.a.b", kDnsHttps), "_443._https.a.b 65"},
      {"one label", dns_query("localhost"), "localhost 1"},
      {"the longest name", dns_query(longest), longest + " 1"},
      {"the root", dns_query("", 2), "- 2"},
      {"an address as name", dns_query("192.0.2.1"), "- 1"},
      {"EDNS", edns_query("a.b"), "a.b 1 edns"},
      {"a signature",
       dns_query("a.b", kDnsA, {.additional = 1}) +
           dns_record(dns_name("key"), kDnsTsig, Bytes(40)),
       "a.b 1"},
      {"EDNS and a signature",
       dns_query("a.b", kDnsA, {.additional = 2}) + dns_edns() +
           dns_record(dns_name("key"), kDnsTsig, Bytes(40)),
       "a.b 1 edns"},
      {"IXFR with its SOA",
       dns_query("a.b", kDnsIxfr, {.authorities = 1}) +
           dns_record(dns_pointer(12), kDnsSoa, Bytes(22)),
       "a.b 251"},
      {"every flag of a query", dns_query("a.b", kDnsA, {.flags = 0x0130}), "a.b 1"},
      {"no flag", dns_query("a.b", kDnsA, {.flags = 0}), "a.b 1"},
      {"class CHAOS", with({}, dns_question(dns_name("version.bind"), kDnsTxt, 3)),
       "version.bind 16"},
  });
  DnsQuery query;
  CHECK(parse_dns_query(dns_query("A.b", kDnsA, {.id = 7}), kDnsPort, query).status ==
        DnsQueryAnswer::Status::done);
  CHECK(query.id == 7);
  CHECK(query.query_class == kDnsIn);
  CHECK(query.text.text() == "A.b");
}

TEST_CASE("a query that no honest client sends is a fault", "[dns]") {
  const Bytes signature = dns_record(dns_name("key"), kDnsTsig, Bytes(40));
  CHECK(answer(dns_query("a.b", kDnsA, {.additional = 3}) + signature + signature + signature) ==
        "a.b 1");
  const Bytes update = dns_question(dns_name("a.b"), kDnsSoa);
  check_rows({
      {"two questions", with({.questions = 2}, kQuestion + kQuestion), kBadHeader},
      {"two announced", with({.questions = 2}, kQuestion), kBadHeader},
      {"an answer", with({.answers = 1}, kQuestion + dns_record(dns_pointer(12), kDnsA, Bytes(4))),
       kBadHeader},
      {"an authority",
       with({.authorities = 1}, kQuestion + dns_record(dns_pointer(12), kDnsSoa, Bytes(22))),
       kBadHeader},
      {"UPDATE", with({.flags = 0x2800}, update), kBadHeader},
      {"NOTIFY", with({.flags = 0x2000}, update), kBadHeader},
      {"STATUS", dns_query("a.b", kDnsA, {.flags = 0x1000}), kBadHeader},
      {"opcode DSO", dns_query("a.b", kDnsA, {.flags = 0x3000}), kBadHeader},
      {"type 0", dns_query("a.b", 0), kBadQuestion},
      {"an unknown class", with({}, odd_class("a.b")), kBadQuestion},
      {"an unknown class and EDNS", with({.additional = 1}, odd_class("a.b") + dns_edns()),
       kBadQuestion},
      {"an unknown class and a record announced", with({.additional = 9}, odd_class("a.b")),
       kBadQuestion},
      {"an unknown class and a byte", with({}, odd_class("a.b") + Bytes{0}), kBadQuestion},
      {"an unknown class of no host", with({}, odd_class("a b")), kBadQuestion},
      {"an unknown class of a compressed name",
       with({}, dns_question(Bytes{1, 'a'} + dns_pointer(12), kDnsA, 2)), kBadQuestion},
      {"two of an unknown class", with({.questions = 2}, odd_class("a.b")), kBadQuestion},
      {"mDNS's top bit of the class", with({}, dns_question(dns_name("a.b"), kDnsA, 0x8001)),
       kBadQuestion},
      {"a pointer for a name", ask(dns_pointer(12)), kBadQuestion},
      {"a pointer into the header", ask(dns_pointer(0)), kBadQuestion},
      {"a pointer behind a label", ask(Bytes{1, 'a'} + dns_pointer(12)), kBadQuestion},
      {"a pointer forward", ask(dns_pointer(0x3fff)), kBadQuestion},
      {"a space", dns_query("a b.c"), kBadName},
      {"a star", dns_query("*.a.b"), kBadName},
      {"NUL", dns_query("a\0b.c"s), kBadName},
      {"a byte over 127", dns_query("b\xc3\xbc.c"), kBadName},
      {"a slash", dns_query("0/25.2.0.192.in-addr.arpa"), kBadName},
      {"a dot inside a label", ask(Bytes{3, 'a', '.', 'b', 1, 'c', 0}), kBadName},
      {"a record of no use",
       dns_query("a.b", kDnsA, {.additional = 1}) + dns_record(dns_name("x"), kDnsTxt, Bytes(40)),
       kBadRecord},
      {"EDNS twice", dns_query("a.b", kDnsA, {.additional = 2}) + dns_edns() + dns_edns(),
       kBadRecord},
      {"EDNS with a name",
       dns_query("a.b", kDnsA, {.additional = 1}) + dns_record(dns_name("x"), kDnsOpt, {}),
       kBadRecord},
      {"an authority of IXFR that is none",
       dns_query("a.b", kDnsIxfr, {.authorities = 1}) +
           dns_record(dns_pointer(12), kDnsTxt, Bytes(9)),
       kBadRecord},
      {"four records",
       dns_query("a.b", kDnsA, {.additional = 4}) + signature + signature + signature + signature,
       kBadRecord},
      {"a record that is not there", dns_query("a.b", kDnsA, {.additional = 1}), kBadRecord},
      {"a record longer than the message",
       prefix_of(edns_query("a.b"), edns_query("a.b").size() - 1), kBadRecord},
      {"bytes behind", dns_query("a.b") + Bytes{0}, kBadRecord},
  });
  // Records still get the name.
  DnsQuery query;
  (void)parse_dns_query(dns_query("a b.\xffz"), kDnsPort, query);
  CHECK(query.text.text() == "a?b.?z");
  CHECK(query.name.empty());
}

TEST_CASE("what is no query of DNS is not DNS", "[dns]") {
  const std::string label(63, 'x');
  // RFC 9000 section 17.2.2 with an ID that starts like a DNS one, and the other way round.
  Bytes quic{0xc3, 0, 0, 0, 1, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0x44, 0xd0, 0};
  quic.resize(1200);
  check_rows({
      {"nothing", {}, "not_dns"},
      {"a response", dns_query("a.b", kDnsA, {.flags = 0x8180}), "not_dns"},
      {"no question", with({.questions = 0}, kQuestion), "not_dns"},
      {"17 questions", with({.questions = 17}, kQuestion), "not_dns"},
      {"a cut name", dns_header({}) + Bytes{9, 'a', 'b', 'c', 'd', 'e'}, "not_dns"},
      {"an unknown label type", ask(Bytes{0x41} + Bytes(65, 'a') + Bytes{0}), "not_dns"},
      {"a name over 255 bytes",
       dns_query(label + '.' + label + '.' + label + '.' + std::string(62, 'y')), "not_dns"},
      {"QUIC v1", quic, "not_dns"},
      {"zeros", Bytes(64, 0), "not_dns"},
      {"ones", Bytes(64, 1), "not_dns"},
      {"NTP", Bytes{0x23, 0, 6, 0xec} + Bytes(44, 0), "not_dns"},
      {"STUN", Bytes{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42} + Bytes(12, 7), "not_dns"},
      {"DTLS", Bytes{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 40} + Bytes(40, 1), "not_dns"},
      {"text", bytes_of("M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n\r\n"), "not_dns"},
  });
  // A query whose ID looks like a QUIC long header is a query.
  CHECK(answer(dns_query("a.b", kDnsA, {.id = 0xc300, .flags = 0})) == "a.b 1");
  for (const uint16_t port : std::vector<uint16_t>{5353, 5355, 137})
    CHECK(is_link_local_name_port(port));
  CHECK_FALSE(is_link_local_name_port(53));
}

// Their place on the wire tells them, not their bytes.
TEST_CASE("names of NetBIOS are names", "[dns]") {
  const std::string name = "ENEBEDEIFCEFCACACACACACACACACAAA";
  std::string lower(name);
  for (char& c : lower) c = static_cast<char>(c | 0x20);
  check_rows({
      {"a name", dns_query(name, 32, {.flags = 0x0110}), lower + " 32"},
      {"its status, or SRV", dns_query(name, 33, {.flags = 0}), lower + " 33"},
      {"with a scope", dns_query(name + ".a.b", 33), lower + ".a.b 33"},
  });
}

TEST_CASE("an odd question is DNS on its port, elsewhere if it looks like one", "[dns]") {
  const Bytes root = with({}, odd_class(""));
  const Bytes records = with({.answers = 3}, odd_class("a b"));
  const Bytes pointer =
      with({.authorities = 1}, dns_question(Bytes{1, 'a'} + dns_pointer(12), kDnsA, 2));
  // Old clients of NTP say 1 s of delay and dispersion, and nothing of the rest.
  const Bytes ntp = from_hex("e30004fa0001000000010000") + Bytes(28, 0) + Bytes(8, 0xd1);
  for (const Bytes& message : {root, records, pointer, ntp}) {
    CHECK(answer(message, kOtherPort) == "not_dns");
    CHECK(answer(message, kDnsPort) == kBadQuestion);
  }
  const Bytes no_opcode = dns_query("a.b", kDnsA, {.flags = 0x3800});
  CHECK(answer(no_opcode, kOtherPort) == "not_dns");
  CHECK(answer(no_opcode, kDnsPort) == kBadHeader);
}

TEST_CASE("random datagrams are hardly ever DNS", "[dns]") {
  std::mt19937 random(7);
  int taken = 0;
  for (int i = 0; i < 200'000; ++i) {
    Bytes bytes(20 + random() % 60);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
    bytes[2] &= 0x7f;                                                  // what half of them have,
    bytes[4] = 0, bytes[5] = static_cast<uint8_t>(1 + random() % 16);  // and one in 4,096
    taken += answer(bytes) != "not_dns" ? 1 : 0;
  }
  CHECK(taken <= 200);
}

TEST_CASE("no prefix of a query is one", "[dns]") {
  for (const Bytes& whole : {dns_query("api.example.com"), edns_query("a.b"),
                             dns_query("a.b", kDnsIxfr, {.authorities = 1}) +
                                 dns_record(dns_pointer(12), kDnsSoa, Bytes(22))}) {
    const size_t question = whole.size() == dns_query("api.example.com").size() ? whole.size() : 21;
    for (size_t size = 0; size < whole.size(); ++size) {
      CAPTURE(size);
      CHECK(answer(prefix_of(whole, size)) == (size < question ? "not_dns" : kBadRecord));
    }
  }
}

TEST_CASE("DNS over TCP is decided query by query", "[dns_stream]") {
  const Bytes one = dns_framed(dns_query("a.b"));
  const Bytes two = dns_framed(edns_query("c.d"));
  const auto announced = [](uint64_t length) {
    Bytes out;
    put16(out, length);
    return out;
  };
  CHECK(run({one + two + one}) == "a.b 1 | c.d 1 edns | a.b 1");
  CHECK(run({one}, true) == "a.b 1");
  CHECK(run({one + prefix_of(two, 1)}, false) == "a.b 1");
  CHECK(run({one + prefix_of(two, 1)}, true) == "a.b 1 | fault dns_bad_length");
  CHECK(run({one + prefix_of(two, two.size() - 1)}, true) == "a.b 1 | fault dns_bad_length");
  CHECK(run({prefix_of(one, one.size() - 1)}, true) == "fault dns_bad_length");
  CHECK(run({prefix_of(one, 13)}, true) == "not_dns");
  CHECK(run({}, true) == "not_dns");
  CHECK(run({announced(16)}) == "not_dns");
  CHECK(run({announced(4097)}) == "not_dns");
  CHECK(run({one + announced(16)}) == "a.b 1 | fault dns_bad_length");
  CHECK(run({one + announced(4097)}) == "a.b 1 | fault dns_bad_length");
  CHECK(run({dns_framed(dns_query("a b"))}) == kBadName);
  CHECK(run({dns_framed(dns_query("a.b") + Bytes{0})}) == kBadRecord);
  CHECK(run({one + dns_framed(dns_query("a.b", kDnsA, {.flags = 0x8000}))}) ==
        "a.b 1 | fault dns_bad_header");
  CHECK(run({one + dns_framed(Bytes(40, 1))}) == "a.b 1 | fault dns_bad_header");
  // Servers read on behind what they refuse.
  const Bytes cookie = dns_header({.questions = 0, .additional = 1}) + dns_edns();
  CHECK(run({dns_framed(dns_query("a.b", kDnsA, {.flags = 0x1000})) + one}) == kBadHeader);
  CHECK(run({dns_framed(dns_query("a.b", kDnsA, {.flags = 0x8180})) + one}) == kBadHeader);
  CHECK(run({dns_framed(dns_query("", kDnsA, {.flags = 0x1000})) + one}) == kBadHeader);
  CHECK(run({dns_framed(with({}, odd_class("a.b"))) + one}) == kBadQuestion);
  CHECK(run({dns_framed(cookie) + one}) == kBadHeader);
  CHECK(run({dns_framed(prefix_of(dns_query("abcde.f"), 20)) + one}) == kBadHeader);
  // Other protocols are told as soon as the bytes do.
  CHECK(run({bytes_of("GE")}) == "not_dns");
  CHECK(run({Bytes{22, 3}}) == "not_dns");
  CHECK(run({bytes_of("SS")}) == "not_dns");
  CHECK(run({announced(500) + Bytes(12, 0)}) == "not_dns");
  CHECK(run({announced(500) + Bytes(11, 0)}).empty());
  CHECK(run({announced(500) + Bytes(11, 0) + Bytes{1}}).empty());
  CHECK(run({announced(500) + Bytes(11, 0) + Bytes{1, 0, 0, 41}}) == kBadHeader);
  CHECK(run({announced(500) + Bytes(11, 0) + Bytes{1, 0, 0, 42}}) == "not_dns");
}

TEST_CASE("on port 53 a stream is DNS from its first byte", "[dns_stream]") {
  const auto at_53 = [](const Bytes& stream, bool ended = false) {
    return run({stream}, ended, false, kDnsPort);
  };
  CHECK(at_53(dns_framed(dns_query("a.b"))) == "a.b 1");
  CHECK(at_53(Bytes{0, 0}) == "fault dns_bad_length");
  CHECK(at_53(Bytes{0, 16}) == "fault dns_bad_length");
  CHECK(at_53(Bytes{0x10, 1}) == "fault dns_bad_length");
  CHECK(at_53(bytes_of("GE")) == "fault dns_bad_length");
  CHECK(at_53(Bytes{1, 0} + Bytes(12, 0)) == kBadHeader);
  CHECK(at_53(dns_framed(Bytes(40, 1))) == kBadHeader);
  CHECK(at_53(Bytes{0}).empty());
  CHECK(at_53(Bytes{0}, true) == "fault dns_bad_length");
  CHECK(at_53(prefix_of(dns_framed(dns_query("a.b")), 20), true) == "fault dns_bad_length");
}

TEST_CASE("every split of DNS over TCP gives the answers of the whole", "[dns_stream]") {
  const Bytes good = dns_framed(dns_query("a.b")) + dns_framed(edns_query("c.d"));
  for (const Bytes& whole : {good, good + dns_framed(dns_query("a b")), good + Bytes{0, 3},
                             dns_framed(Bytes(40, 1)), Bytes{1, 0} + Bytes(300, 9),
                             dns_framed(dns_header({.questions = 0, .additional = 1}) + dns_edns()),
                             dns_framed(dns_query("a.b", kDnsA, {.flags = 0x1000}))}) {
    const std::string expected = run({whole});
    INFO(expected);
    std::vector<Bytes> bytewise;
    for (size_t cut = 0; cut < whole.size(); ++cut) {
      CAPTURE(cut);
      const auto middle = whole.begin() + static_cast<std::ptrdiff_t>(cut);
      CHECK(run({{whole.begin(), middle}, {middle, whole.end()}}) == expected);
      CHECK(expected.starts_with(run({prefix_of(whole, cut)})));
      bytewise.push_back({whole[cut]});
    }
    CHECK(run(bytewise) == expected);
  }
}

TEST_CASE("the client's end cuts no query of DNS over TCP short", "[dns_stream]") {
  const Bytes first = dns_framed(dns_query("a.b"));
  const Bytes second = dns_framed(edns_query("c.d"));
  const Bytes third = dns_framed(dns_query("e.f", kDnsIxfr, {.authorities = 1}) +
                                 dns_record(dns_pointer(12), kDnsSoa, Bytes(22)));
  const Bytes whole = first + second + third;
  for (size_t cut = 0; cut <= whole.size(); ++cut) {
    CAPTURE(cut);
    const size_t header = 2 + 12;
    std::string expected = cut < header ? "not_dns" : "fault dns_bad_length";
    size_t at = first.size();
    if (cut >= at) expected = "a.b 1";
    if (cut >= at + second.size()) {
      at += second.size();
      expected += " | c.d 1 edns";
    }
    if (cut == whole.size()) {
      at = cut;
      expected += " | e.f 251";
    }
    if (cut > at) expected += " | fault dns_bad_length";
    CHECK(run({prefix_of(whole, cut)}, true) == expected);
    CHECK(run({prefix_of(whole, cut)}, true, true) == expected);
  }
}
