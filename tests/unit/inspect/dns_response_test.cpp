#include "dataplane/inspect/dns_response.h"

#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/dns_builder.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

// "a.b: 192.0.2.1/300 >target/60 alpn=h2 ech cut_off", or the status.
std::string answer(const Bytes& message) {
  static const auto got = std::make_unique<DnsResponse>();
  const auto status = parse_dns_response(message, *got);
  if (status != DnsResponseStatus::done) {
    CHECK(got->addresses().empty());
    CHECK(got->targets().empty());
    CHECK(got->alpns().empty());
  }
  switch (status) {
    case DnsResponseStatus::not_response:
      return "not_response";
    case DnsResponseStatus::failed:
      return "failed";
    case DnsResponseStatus::malformed:
      return "malformed";
    case DnsResponseStatus::done:
      break;
  }
  std::string text = std::string(got->name.view()) + ":";
  for (const auto& one : got->addresses()) {
    text += " " + to_string(one.address) + "/" + std::to_string(one.ttl_seconds);
  }
  for (const auto& one : got->targets()) {
    text += " >" + std::string(one.name.view()) + "/" + std::to_string(one.ttl_seconds);
  }
  for (const auto one : got->alpns()) text += " alpn=" + std::string(one);
  if (got->ech) text += " ech";
  if (got->cut_off) text += " cut_off";
  return text;
}

Bytes respond(const std::vector<Bytes>& records, uint16_t flags = 0x8180,
              const Bytes& question = dns_question(dns_name("www.a.b"))) {
  Bytes out = dns_header({.flags = flags, .answers = static_cast<uint16_t>(records.size())});
  append(out, question);
  for (const Bytes& one : records) append(out, one);
  return out;
}

struct Row {
  std::string what;
  Bytes message;
  std::string answer;
};
void check_rows(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    INFO(row.what);
    CHECK(answer(row.message) == row.answer);
  }
}

const Bytes kWww = dns_pointer(12);  // the question's name
const Bytes kV4{192, 0, 2, 1};
const Bytes kV6 = Bytes{0x20, 1, 0xd, 0xb8} + Bytes(11, 0) + Bytes{1};

Bytes parameter(uint16_t key, const Bytes& value) {
  Bytes out;
  put16(out, key);
  return out + block(value, 2);
}
Bytes service(uint16_t priority, const Bytes& target, const std::vector<Bytes>& parameters = {}) {
  Bytes out;
  put16(out, priority);
  append(out, target);
  for (const Bytes& one : parameters) append(out, one);
  return out;
}
Bytes alpn(std::string_view id) {
  return block(bytes_of(id), 1);
}

std::vector<Bytes> good_messages() {
  return {
      respond({dns_record(kWww, kDnsA, kV4), dns_record(kWww, kDnsAaaa, kV6, 60)}),
      respond({dns_record(kWww, kDnsCname, Bytes{3, 'c', 'd', 'n'} + dns_pointer(16), 20),
               dns_record(dns_name("cdn.a.b"), kDnsA, kV4)}),
      respond({dns_record(kWww, kDnsHttps,
                          service(1, dns_name(""),
                                  {parameter(1, alpn("h3") + alpn("h2")), parameter(4, kV4 + kV4),
                                   parameter(5, kV4), parameter(6, kV6)}))}),
  };
}

}  // namespace

TEST_CASE("a response gives the addresses of the name asked for", "[dns_response]") {
  const auto cname = [](const Bytes& owner, const Bytes& target, uint32_t ttl = 300) {
    return dns_record(owner, kDnsCname, target, ttl);
  };
  const Bytes a = dns_name("a.b");
  check_rows({
      {"one address", respond({dns_record(kWww, kDnsA, kV4)}), "www.a.b: 192.0.2.1/300"},
      {"two families", good_messages()[0], "www.a.b: 192.0.2.1/300 2001:db8::1/60"},
      {"case folded", respond({dns_record(dns_name("WWW.A.b"), kDnsA, kV4)}),
       "www.a.b: 192.0.2.1/300"},
      {"no answer", respond({}), "www.a.b:"},
      {"a CNAME, the least TTL", good_messages()[1], "www.a.b: 192.0.2.1/20"},
      {"two CNAMEs",
       respond(
           {cname(kWww, dns_name("x.c")), cname(dns_name("x.c"), a, 7), dns_record(a, kDnsA, kV4)}),
       "www.a.b: 192.0.2.1/7"},
      {"another name's address", respond({dns_record(a, kDnsA, kV4)}), "www.a.b:"},
      {"the old name's address behind a CNAME",
       respond({cname(kWww, a), dns_record(kWww, kDnsA, kV4)}), "www.a.b:"},
      {"an address in front of its CNAME", respond({dns_record(a, kDnsA, kV4), cname(kWww, a)}),
       "www.a.b:"},
      {"a CNAME to no host name",
       respond({cname(kWww, dns_name("a b")), dns_record(dns_name("a b"), kDnsA, kV4),
                dns_record(dns_name(""), kDnsA, kV4)}),
       "www.a.b:"},
      {"a loop of CNAMEs", respond({cname(kWww, a), cname(a, kWww), dns_record(kWww, kDnsA, kV4)}),
       "www.a.b: 192.0.2.1/300"},
      {"a TTL over 2^31", respond({dns_record(kWww, kDnsA, kV4, 0x80000001)}),
       "www.a.b: 192.0.2.1/0"},
      {"other types", respond({dns_record(kWww, kDnsTxt, Bytes(9)), dns_record(kWww, kDnsA, kV4)}),
       "www.a.b: 192.0.2.1/300"},
      {"bytes behind", respond({dns_record(kWww, kDnsA, kV4)}) + Bytes(20, 0xff),
       "www.a.b: 192.0.2.1/300"},
      {"truncated by flag", respond({dns_record(kWww, kDnsA, kV4)}, 0x8380),
       "www.a.b: 192.0.2.1/300"},
  });
}

TEST_CASE("HTTPS and SVCB records give hints, protocols and other names", "[dns_response]") {
  const Bytes self = dns_name("");
  const auto https = [](const Bytes& data) { return respond({dns_record(kWww, kDnsHttps, data)}); };
  check_rows({
      {"all of it", good_messages()[2],
       "www.a.b: 192.0.2.1/300 192.0.2.1/300 2001:db8::1/300 alpn=h3 alpn=h2 ech"},
      {"SVCB", respond({dns_record(kWww, kDnsSvcb, service(1, self, {parameter(1, alpn("dot"))}))}),
       "www.a.b: alpn=dot"},
      {"an alias", https(service(0, dns_name("cdn.c.d"))), "www.a.b: >cdn.c.d/300"},
      {"a service elsewhere", https(service(1, dns_name("s.c.d"), {parameter(4, kV4)})),
       "www.a.b: 192.0.2.1/300 >s.c.d/300"},
      {"its own name", https(service(1, dns_name("www.a.b"))), "www.a.b:"},
      {"behind a CNAME",
       respond({dns_record(kWww, kDnsCname, dns_name("a.b"), 9),
                dns_record(dns_name("a.b"), kDnsHttps, service(1, self, {parameter(4, kV4)}))}),
       "www.a.b: 192.0.2.1/9"},
      {"unknown parameters",
       https(service(1, self,
                     {parameter(0, {0, 1}), parameter(3, {1, 187}), parameter(700, Bytes(3))})),
       "www.a.b:"},
      {"no target", https({0, 1}), "malformed"},
      {"a cut target", https(service(1, {3, 'a'})), "malformed"},
      {"a compressed target", https(service(1, kWww)), "malformed"},
      {"parameters out of order",
       https(service(1, self, {parameter(4, kV4), parameter(1, alpn("h2"))})), "malformed"},
      {"a parameter twice", https(service(1, self, {parameter(4, kV4), parameter(4, kV4)})),
       "malformed"},
      {"a hint of 5 bytes", https(service(1, self, {parameter(4, kV4 + Bytes{1})})), "malformed"},
      {"an empty hint", https(service(1, self, {parameter(6, {})})), "malformed"},
      {"an empty protocol", https(service(1, self, {parameter(1, {0})})), "malformed"},
      {"no protocol", https(service(1, self, {parameter(1, {})})), "malformed"},
      {"a cut parameter", https(service(1, self, {Bytes{0, 4, 0, 9, 1}})), "malformed"},
  });
}

TEST_CASE("what tells nothing is not believed", "[dns_response]") {
  const Bytes a = dns_record(kWww, kDnsA, kV4);
  const Bytes good = respond({a});
  const auto at_name = [](uint16_t offset) {  // a record whose owner starts with a pointer
    return respond({dns_record(dns_pointer(offset), kDnsA, kV4)});
  };
  const uint16_t record = static_cast<uint16_t>(respond({}).size());
  check_rows({
      {"a query", respond({a}, 0x0100), "not_response"},
      {"another opcode", respond({a}, 0xa800), "not_response"},
      {"two questions", dns_header({.flags = 0x8180, .questions = 2}), "not_response"},
      {"no question", dns_header({.flags = 0x8180, .questions = 0}), "not_response"},
      {"a question about the root", respond({}, 0x8180, dns_question(dns_name(""))),
       "not_response"},
      {"a question about no host", respond({}, 0x8180, dns_question(dns_name("a b"))),
       "not_response"},
      {"class CHAOS", respond({}, 0x8180, dns_question(dns_name("a.b"), kDnsTxt, 3)),
       "not_response"},
      {"NXDOMAIN", respond({}, 0x8183), "failed"},
      {"SERVFAIL with an address", respond({a}, 0x8182), "failed"},
      {"a pointer to itself", at_name(record), "malformed"},
      {"a pointer forward", at_name(static_cast<uint16_t>(record + 2)), "malformed"},
      {"a pointer into the header", at_name(4), "malformed"},
      {"a pointer past the end", at_name(0x3fff), "malformed"},
      {"two pointers in a circle",
       respond({dns_record(kWww, kDnsTxt, dns_pointer(static_cast<uint16_t>(record + 12))),
                dns_record(dns_pointer(static_cast<uint16_t>(record + 12)), kDnsA, kV4)}),
       "malformed"},
      {"an address of 3 bytes", respond({dns_record(kWww, kDnsA, Bytes(3))}), "malformed"},
      {"two addresses in one", respond({dns_record(kWww, kDnsA, kV4 + kV4)}), "malformed"},
      {"an AAAA of 4 bytes", respond({dns_record(kWww, kDnsAaaa, kV4)}), "malformed"},
      {"a CNAME with bytes behind", respond({dns_record(kWww, kDnsCname, kWww + Bytes{0})}),
       "malformed"},
      {"a good record, then a bad one", respond({a, dns_record(kWww, kDnsA, Bytes(3))}),
       "malformed"},
      {"fewer records than announced",
       dns_header({.flags = 0x8180, .answers = 2}) + dns_question(dns_name("www.a.b")) + a,
       "malformed"},
  });
}

TEST_CASE("lists have bounds, and what they leave out is told", "[dns_response]") {
  const auto https = [](const std::vector<Bytes>& parameters) {
    return dns_record(kWww, kDnsHttps, service(1, dns_name(""), parameters));
  };
  const auto cut_off = [](const Bytes& message) { return answer(message).ends_with(" cut_off"); };
  const Bytes a = dns_record(kWww, kDnsA, kV4);
  const Bytes alias = dns_record(kWww, kDnsHttps, service(0, dns_name("c.d")));
  CHECK_FALSE(cut_off(respond(std::vector(kMaxDnsAddresses, a))));
  CHECK(cut_off(respond(std::vector(kMaxDnsAddresses + 1, a))));
  CHECK_FALSE(cut_off(respond(std::vector(kMaxDnsTargets, alias))));
  CHECK(cut_off(respond(std::vector(kMaxDnsTargets + 1, alias))));
  Bytes ids;
  for (size_t i = 0; i < kMaxDnsAlpns; ++i) append(ids, alpn("h2"));
  CHECK_FALSE(cut_off(respond({https({parameter(1, ids)})})));
  CHECK(cut_off(respond({https({parameter(1, ids + alpn("h2"))})})));
}

TEST_CASE("no prefix of a response tells anything", "[dns_response]") {
  for (const Bytes& whole : good_messages()) {
    CHECK(answer(whole).starts_with("www.a.b: "));
    for (size_t size = 0; size < whole.size(); ++size) {
      CAPTURE(size);
      const std::string got = answer(prefix_of(whole, size));
      CHECK((got == "not_response" || got == "malformed"));
    }
  }
}
