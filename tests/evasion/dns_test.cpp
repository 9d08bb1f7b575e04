// Ways past the gateway in DNS queries.
#include "tests/evasion/evasion.h"
#include "tests/support/dns_builder.h"

using namespace sallyport;
using namespace sallyport::test;
using namespace std::string_literals;

namespace {

const std::string kAllowed{kAllowedName};
const std::string kDenied{kDeniedName};
const Bytes kGood = dns_query(kAllowed);
const Bytes kEvil = dns_query(kDenied);

/// What of some datagrams of one flow leaves, in order.
struct DatagramCase {
  std::string name;
  std::string server;
  std::vector<Bytes> datagrams;
  std::vector<Bytes> leaves;
  Right right = Right::allow;  ///< What the flow has come to by its last datagram.
  std::string why;
};

void play(const DatagramCase& row, std::string_view policy, uint16_t port) {
  CAPTURE(row.name, row.server, port);
  Pipeline pipeline(policy);
  for (const Bytes& datagram : row.datagrams) {
    pipeline.from_inside(udp("198.18.0.2", 5353, "198.19.0.53", port).payload(datagram).frame());
  }
  std::vector<Bytes> left;
  for (const Bytes& frame : pipeline.to_outside()) left.push_back(payload_of(frame));
  CHECK(left == row.leaves);
  CHECK(verdict(pipeline) == row.right);
  if (!row.why.empty()) CHECK(recorded_why(pipeline) == row.why);
}

Bytes question(const Bytes& name) {
  return dns_header({}) + dns_question(name);
}

}  // namespace

TEST_CASE("queries in datagrams", "[evasion]") {
  const Bytes two = dns_header({.questions = 2}) + dns_question(dns_name(kAllowed)) +
                    dns_question(dns_name(kDenied));
  // The name starts at 12: "www", and a pointer to the rest behind the question.
  const Bytes pointed = dns_header({}) + block(bytes_of("www"), 1) + dns_pointer(22) +
                        Bytes{0, 1, 0, 1} + dns_name("denied.test");
  // The zero that ends it is the second byte of the id.
  const Bytes open_ended = prefix_of(dns_name(kAllowed), kAllowed.size() + 1);
  const Bytes to_header = dns_header({.id = 0x1200}) + dns_question(open_ended + dns_pointer(1));
  const Bytes loop = question(dns_pointer(12));
  const Bytes label = block(bytes_of("www.denied.test"), 1) + dns_name("allowed.test");
  const auto denied = [](const std::string& name, const std::string& server, const Bytes& bytes) {
    return DatagramCase{name, server, {bytes}, {}, Right::deny};
  };
  const auto malformed = [&](const std::string& fault, const std::string& name,
                             const std::string& server, const Bytes& bytes) {
    DatagramCase row = denied(name, server, bytes);
    row.why = fault;
    return row;
  };
  const std::vector<DatagramCase> rows{
      {"an allowed name", "answers", {kGood}, {kGood}},
      {"an allowed name in mixed case",
       "answers",
       {dns_query("wWw.AlLoWeD.tEsT")},
       {dns_query("wWw.AlLoWeD.tEsT")}},
      denied("a denied name", "answers", kEvil),
      denied("a denied name in mixed case", "answers", dns_query("WwW.dEnIeD.TeSt")),
      denied("the bare name under a wildcard", "answers", dns_query("allowed.test")),
      denied("an allowed name in front of another", "answers", dns_query(kAllowed + ".evil.test")),
      {"an allowed query, then a denied one",
       "answers both",
       {kGood, kEvil, kGood},
       {kGood, kGood}},
      {"an allowed query, and a denied one last",
       "answers both",
       {kGood, kEvil},
       {kGood},
       Right::deny},
      {"a denied query, then an allowed one", "answers both", {kEvil, kGood}, {kGood}},
      malformed("dns_bad_header", "two questions", "the first, both, or an error", two),
      malformed("dns_bad_question", "a compressed question, to bytes behind it",
                "follows it, or an error", pointed),
      malformed("dns_bad_question", "a compressed question, into the header",
                "follows it, or an error", to_header),
      malformed("dns_bad_question", "a pointer to itself", "an error", loop),
      malformed("dns_bad_name", "a dot inside a label", "compares labels", question(label)),
      malformed("dns_bad_name", "NUL inside a label", "compares labels",
                question(block(bytes_of("www.denied.test\0x"s), 1) + dns_name("allowed.test"))),
      malformed("dns_bad_record", "a second message behind the first", "skips it, or an error",
                kGood + kEvil),
      malformed("dns_bad_header", "an answer in the query", "skips it, or an error",
                dns_header({.answers = 1}) + dns_question(dns_name(kAllowed)) +
                    dns_record(dns_name(kDenied), kDnsTxt, bytes_of("data"))),
      malformed("dns_bad_record", "data in an additional record", "skips it",
                dns_header({.additional = 1}) + dns_question(dns_name(kAllowed)) +
                    dns_record(dns_name(kDenied), kDnsTxt, bytes_of("data"))),
      malformed("dns_bad_header", "an UPDATE", "changes a zone",
                dns_header({.flags = 0x2800}) + dns_question(dns_name(kAllowed))),
      malformed("dns_bad_question", "an unknown class", "an error, or passes it on",
                dns_header({}) + dns_question(dns_name(kDenied), kDnsA, 77)),
      malformed(
          "dns_bad_question", "an unknown class, with EDNS", "an error, or passes it on",
          dns_header({.additional = 1}) + dns_question(dns_name(kDenied), kDnsA, 77) + dns_edns()),
      malformed("dns_bad_question", "type 0", "an error, or passes it on", dns_query(kDenied, 0)),
      malformed("dns_bad_header", "opcode STATUS", "an error",
                dns_query(kDenied, kDnsA, {.flags = 0x1000})),
      denied("data in a label like NetBIOS's, asked for SRV", "answers",
             dns_query(std::string(32, 'A') + ".denied.test", kDnsSrv)),
      denied("a response", "drops it", dns_query(kAllowed, kDnsA, {.flags = 0x8180})),
  };
  for (const uint16_t port : {uint16_t{53}, uint16_t{443}, uint16_t{5300}}) {
    for (const DatagramCase& row : rows) play(row, kEvasionPolicy, port);
  }
  for (const DatagramCase& row : rows) {
    // A policy of names that are denied must deny what asks for one, or is no plain question.
    const bool names_it = !row.why.empty() || row.name.find("denied name") != std::string::npos ||
                          row.name.find("NetBIOS") != std::string::npos;
    for (const uint16_t port : {uint16_t{53}, uint16_t{443}, uint16_t{5300}}) {
      if (names_it) play(row, kDenyListPolicy, port);
    }
  }
  for (const uint16_t port : {uint16_t{53}, uint16_t{443}}) {
    play({"what passes unnamed, then a denied name",
          "answers both",
          {bytes_of("junk"), kEvil, bytes_of("junk")},
          {bytes_of("junk"), bytes_of("junk")}},
         kDenyListPolicy, port);
    play(denied("a denied name under a policy of names that are denied", "answers", kEvil),
         kDenyListPolicy, port);
  }
}

TEST_CASE("queries in a stream", "[evasion]") {
  const Bytes good = dns_framed(kGood);
  const Bytes evil = dns_framed(kEvil);
  const auto denied = [](const std::string& name, const std::string& server, const Bytes& bytes,
                         const Bytes& leaves) {
    return StreamCase{name, server, {client(bytes)}, Right::deny, leaves};
  };
  const std::vector<StreamCase> rows{
      {"an allowed name", "answers", {client(good)}, Right::allow, {}},
      {"two allowed names in one segment", "answers both", {client(good + good)}, Right::allow, {}},
      denied("a denied name", "answers", evil, {}),
      denied("the second of two messages denied", "answers both", good + evil, good),
      denied("the first of two messages denied", "answers both", evil + good, {}),
      {"a second message behind the first answer",
       "answers both",
       {client(good), server(dns_framed(kGood)), client(evil)},
       Right::deny,
       good},
      denied("a length that takes in the next message", "an error, or reads both",
             block(kGood + evil, 2), {}),
      because("dns_bad_header", denied("a length that cuts the message", "an error, and reads on",
                                       block(prefix_of(kEvil, 20), 2) + evil, {})),
      because("dns_bad_header",
              denied("opcode STATUS in front", "an error, and reads on",
                     dns_framed(dns_query(kAllowed, kDnsA, {.flags = 0x1000})) + evil, {})),
      because("dns_bad_header",
              denied("a response in front", "skips it",
                     dns_framed(dns_query(kAllowed, kDnsA, {.flags = 0x8180})) + evil, {})),
      because("dns_bad_header",
              denied("a question for cookies in front", "answers both",
                     dns_framed(dns_header({.questions = 0, .additional = 1}) + dns_edns()) + evil,
                     {})),
      because(
          "dns_bad_question",
          denied("an unknown class in front", "an error, and reads on",
                 dns_framed(dns_header({}) + dns_question(dns_name(kAllowed), kDnsA, 77)) + evil,
                 {})),
      denied("a name like NetBIOS's, asked for SRV, in front", "answers both",
             dns_framed(dns_query(std::string(32, 'A') + ".denied.test", kDnsSrv)) + evil, {}),
      denied("an empty message in between", "skips it", good + Bytes{0, 0} + evil, good),
      denied("another protocol behind a query", "an error", good + bytes_of("SSH-2.0-x\r\n"), good),
      denied("a TLS hello behind a query", "an error", good + kAllowedHello, good),
  };
  play_all(rows, kEvasionPolicy, 53);
  play_all(rows, kEvasionPolicy, 443);
  // Told as DNS by the port alone: docs/evasion.md, "What remains".
  std::vector<StreamCase> by_port{
      denied("an empty message in front", "skips it", Bytes{0, 0} + evil, {}),
      denied("a length of 8 KB", "reads it", Bytes{0x20, 0} + Bytes(0x2000, 1) + evil, {}),
      denied("a line of text, to a server a length", "an error, and reads on",
             bytes_of("SSH-2.0-x\r\n") + evil, {}),
      denied("no question in front", "an error, and reads on",
             dns_framed(dns_header({.questions = 0}) + Bytes(9)) + evil, {}),
  };
  play_all(by_port, kEvasionPolicy, 53);
  for (StreamCase& row : by_port) row.nameless = true;
  play_all(by_port, kEvasionPolicy, 443);
}

// Neighbours are asked on these ports, by multicast. A server may listen on any.
TEST_CASE("a denied name asked on the ports of mDNS, LLMNR and NetBIOS", "[evasion]") {
  const Bytes query = from_hex("123401000001000000000000") + block(bytes_of("www"), 1) +
                      block(bytes_of("denied"), 1) + block(bytes_of("test"), 1) +
                      Bytes{0, 0, 1, 0, 1};
  for (const uint16_t port : {uint16_t{5353}, uint16_t{5355}, uint16_t{137}}) {
    const auto leaves = [&](const char* from, const char* to) {
      Pipeline pipeline(kDenyListPolicy);
      pipeline.from_inside(udp(from, 41000, to, port).payload(query).frame());
      return pipeline.to_outside().size() == 1;
    };
    CAPTURE(port);
    CHECK_FALSE(leaves("198.18.0.2", "198.19.0.2"));
    CHECK_FALSE(leaves("2001:db8::2", "2001:db8::53"));
    CHECK(leaves("198.18.0.2", "224.0.0.251"));
    CHECK(leaves("198.18.0.2", "255.255.255.255"));
    CHECK(leaves("169.254.3.4", "169.254.1.2"));
    CHECK(leaves("fe80::2", "ff02::fb"));
    CHECK(leaves("fe80::2", "fe80::1"));
  }
}
