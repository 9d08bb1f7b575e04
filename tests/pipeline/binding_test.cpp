// Flows whose address must be one that a trusted resolver gave for their name.
#include <catch2/catch.hpp>

#include "tests/pipeline/conversation.h"
#include "tests/support/dns_builder.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

constexpr std::string_view kBinding = R"(
apiVersion: sallyport/v1
kind: EgressPolicy
metadata: {name: p}
spec:
  egress:
    - {name: resolve, action: Allow, to: {cidrs: [198.19.0.53/32, 198.19.0.54/32]}, protocols: [{dns: {}}]}
    - {name: plain-dns, action: Allow, to: {cidrs: [198.19.0.55/32]}, protocols: [{udp: {}}]}
    - {name: good, action: Allow, to: {domainNames: [good.test]}, protocols: [{tls: {}}],
       destinationBinding: enforce}
    - {name: tried, action: Allow, to: {domainNames: [tried.test]}, protocols: [{tls: {}}],
       destinationBinding: audit}
    - {name: pages, action: Allow, to: {domainNames: [page.test, more.test]}, protocols: [{http: {}}],
       destinationBinding: enforce}
)";
const std::string kResolver = "198.19.0.53";

Bytes ipv4(uint8_t last) {
  return {198, 19, 0, last};
}

constexpr uint16_t kId = 0x1234;

/// One answer to a query for `name`: these records behind the question.
Bytes answer(std::string_view name, const std::vector<Bytes>& records, uint16_t type = kDnsA,
             uint16_t id = kId) {
  Bytes out =
      dns_header({.id = id, .flags = 0x8180, .answers = static_cast<uint16_t>(records.size())}) +
      dns_question(dns_name(name), type);
  for (const Bytes& record : records) append(out, record);
  return out;
}
Bytes address_of(std::string_view name, uint8_t last, uint32_t ttl = 60, uint16_t id = kId) {
  return answer(name, {dns_record(dns_name(name), kDnsA, ipv4(last), ttl)}, kDnsA, id);
}
Bytes query_for(std::string_view name, uint16_t type = kDnsA, uint16_t id = kId) {
  return dns_header({.id = id}) + dns_question(dns_name(name), type);
}

struct Binding {
  Pipeline pipeline{kBinding, {.workers = 1, .resolvers = {kResolver, "198.19.0.55"}}};

  void ask(const Bytes& query, const std::string& resolver = kResolver, uint16_t port = 5300) {
    pipeline.from_inside(udp("198.18.0.2", port, resolver, 53).payload(query).frame());
  }
  void tell(const Bytes& message, const std::string& resolver = kResolver, uint16_t port = 5300) {
    pipeline.from_outside(udp(resolver, 53, "198.18.0.2", port).payload(message).frame());
  }
  void resolve(std::string_view name, const Bytes& message, const std::string& resolver = kResolver,
               uint16_t type = kDnsA) {
    ask(query_for(name, type), resolver);
    tell(message, resolver);
    pipeline.to_outside();
    pipeline.to_inside();
    pipeline.events();
  }
  /// Whether a TLS flow with that name to 198.19.0.<last> passes; the event of its verdict.
  bool passes(std::string_view name, uint8_t last) {
    Conversation flow{.pipeline = pipeline};
    flow.client_port = ++port_;
    flow.server = "198.19.0." + std::to_string(last);
    flow.open();
    const Bytes bytes = hello().sni(name).record();
    flow.send(bytes);
    const bool passed = pipeline.payload_to_outside() == bytes;
    pipeline.to_inside();
    verdict = pipeline.events().back();
    return passed;
  }

  FlowEvent verdict{};

 private:
  uint16_t port_ = 40000;
};

}  // namespace

TEST_CASE("a name may only be used with an address that was given for it", "[binding]") {
  Binding node;
  CHECK_FALSE(node.passes("good.test", 2));
  CHECK(node.verdict.reason == FlowReason::destination_binding);
  node.resolve("good.test", address_of("good.test", 2));
  CHECK(node.passes("good.test", 2));
  CHECK_FALSE(node.passes("good.test", 3));  // the name on another server
  CHECK(node.verdict.reason == FlowReason::destination_binding);
  CHECK(node.pipeline.counter("sallyport_drops_total", "reason=denied") == 0);
}

TEST_CASE("only what a trusted resolver says counts", "[binding]") {
  Binding node;
  SECTION("another resolver, though queries to it are allowed") {
    node.resolve("good.test", address_of("good.test", 2), "198.19.0.54");
    CHECK_FALSE(node.passes("good.test", 2));
  }
  SECTION("nobody asked it") {
    node.pipeline.from_outside(
        udp(kResolver, 53, "198.18.0.2", 5301).payload(address_of("good.test", 2)).frame());
    CHECK_FALSE(node.passes("good.test", 2));
  }
  SECTION("an answer sent by the client") {
    node.pipeline.from_inside(
        udp("198.18.0.2", 5300, kResolver, 53).payload(address_of("good.test", 2)).frame());
    CHECK_FALSE(node.passes("good.test", 2));
  }
  SECTION("a wrong checksum, which the client will not take either") {
    Bytes frame =
        udp(kResolver, 53, "198.18.0.2", 5300).payload(address_of("good.test", 2)).frame();
    frame.back() ^= 1;
    node.pipeline.from_inside(
        udp("198.18.0.2", 5300, kResolver, 53).payload(dns_query("good.test")).frame());
    node.pipeline.from_outside(frame);
    CHECK_FALSE(node.passes("good.test", 2));
  }
  SECTION("an answer to another question") {
    node.resolve("good.test",
                 answer("evil.test", {dns_record(dns_name("good.test"), kDnsA, ipv4(2))}));
    CHECK_FALSE(node.passes("good.test", 2));
  }
  SECTION("a resolver whose flow is allowed by its address alone is heard as well") {
    node.resolve("good.test", address_of("good.test", 2), "198.19.0.55");
    CHECK(node.passes("good.test", 2));
  }
}

TEST_CASE("over UDP only an answer to what was asked counts, and once", "[binding]") {
  Binding node;
  const auto unasked = [&] { return node.pipeline.bindings_unasked(); };
  node.ask(query_for("good.test"));

  SECTION("not under another id, nor of another name or type; the honest one does") {
    node.tell(address_of("good.test", 3, 60, kId + 1));
    node.tell(address_of("page.test", 3));
    node.tell(answer("good.test", {dns_record(dns_name("good.test"), kDnsA, ipv4(3))}, kDnsAaaa));
    CHECK(unasked() == 3);
    node.tell(address_of("good.test", 2));
    CHECK(unasked() == 3);
    CHECK(node.passes("good.test", 2));
    CHECK_FALSE(node.passes("good.test", 3));
  }
  SECTION("nor on another flow") {
    node.ask(query_for("page.test"), kResolver, 5301);
    node.tell(address_of("good.test", 3), kResolver, 5301);
    CHECK(unasked() == 1);
    CHECK_FALSE(node.passes("good.test", 3));
  }
  SECTION("nor a second time") {
    node.tell(address_of("good.test", 2));
    node.tell(address_of("good.test", 3));
    CHECK(unasked() == 1);
    CHECK_FALSE(node.passes("good.test", 3));
  }
  SECTION("nor when nobody waits for it any more") {
    node.pipeline.sleep_ms(9'000);
    node.ask(query_for("page.test"));
    node.pipeline.sleep_ms(2'000);
    node.tell(address_of("good.test", 2));
    node.tell(address_of("page.test", 2));
    CHECK(unasked() == 1);
    CHECK_FALSE(node.passes("good.test", 2));
  }
  SECTION("a query that was denied has not left") {
    node.pipeline.push(std::string(kBinding) + R"(
---
apiVersion: sallyport/v1
kind: EgressPolicy
metadata: {name: no}
spec:
  tier: Admin
  egress: [{name: no, action: Deny, to: {domainNames: [page.test]}, protocols: [{dns: {}}]}]
)");
    node.ask(query_for("page.test"));
    node.tell(address_of("page.test", 2));
    CHECK(unasked() == 1);
  }
  SECTION("several questions at a time, of one socket") {
    const IpAddress address = parse_ip_address("2001:db8::2").value();
    const Bytes v6(address.bytes.begin(), address.bytes.end());
    node.ask(query_for("good.test", kDnsAaaa, kId + 1));
    node.tell(
        answer("good.test", {dns_record(dns_name("good.test"), kDnsAaaa, v6)}, kDnsAaaa, kId + 1));
    node.tell(address_of("good.test", 2));
    CHECK(unasked() == 0);
    CHECK(node.passes("good.test", 2));
  }
  SECTION("a question that is repeated") {
    node.pipeline.sleep_ms(9'000);
    node.ask(query_for("good.test"));
    node.pipeline.sleep_ms(5'000);
    node.tell(address_of("good.test", 2));
    CHECK(node.passes("good.test", 2));
  }
  SECTION("whatever the case of its letters") {
    node.tell(address_of("gOOd.TEST", 2));
    CHECK(node.passes("good.test", 2));
  }
}

TEST_CASE("who owns a zone cannot fill the table with it", "[binding]") {
  Binding node;
  node.resolve("good.test", address_of("good.test", 2));
  for (uint32_t i = 0; i < 4000; ++i) {
    const std::string name = std::to_string(i) + ".evil.test";
    node.resolve(name, address_of(name, 9, 86'400));
  }
  CHECK(node.passes("good.test", 2));
  CHECK(node.pipeline.bindings_crowded_out() > 1000);
  node.resolve("page.test", address_of("page.test", 2, 5));
  node.resolve("tried.test", address_of("tried.test", 2, 5));
  CHECK(node.passes("tried.test", 2));
  CHECK_FALSE(node.verdict.would_deny);
}

TEST_CASE("addresses behind aliases count for the name asked for", "[binding]") {
  Binding node;
  SECTION("a chain of CNAMEs") {
    node.resolve(
        "good.test",
        answer("good.test", {dns_record(dns_name("good.test"), kDnsCname, dns_name("a.cdn.test")),
                             dns_record(dns_name("a.cdn.test"), kDnsCname, dns_name("b.cdn.test")),
                             dns_record(dns_name("b.cdn.test"), kDnsA, ipv4(2)),
                             dns_record(dns_name("b.cdn.test"), kDnsA, ipv4(3))}));
    CHECK(node.passes("good.test", 2));
    CHECK(node.passes("good.test", 3));
    CHECK_FALSE(node.passes("good.test", 4));
  }
  SECTION("hints of an HTTPS record") {
    // Priority 1, the name itself, ipv4hint (4) of one address (RFC 9460 section 7.3).
    const Bytes record = Bytes{0, 1, 0, 0, 4, 0, 4} + ipv4(2);
    node.resolve(
        "good.test",
        answer("good.test", {dns_record(dns_name("good.test"), kDnsHttps, record)}, kDnsHttps),
        kResolver, kDnsHttps);
    CHECK(node.passes("good.test", 2));
  }
  SECTION("the target of an HTTPS record, looked up by itself") {
    const Bytes record = Bytes{0, 0} + dns_name("cdn.test");  // AliasMode
    node.resolve(
        "good.test",
        answer("good.test", {dns_record(dns_name("good.test"), kDnsHttps, record)}, kDnsHttps),
        kResolver, kDnsHttps);
    CHECK_FALSE(node.passes("good.test", 2));
    node.resolve("cdn.test", address_of("cdn.test", 2));
    CHECK(node.passes("good.test", 2));
  }
  SECTION("each of two targets") {
    const auto record = [](uint8_t priority, std::string_view target) {
      return dns_record(dns_name("good.test"), kDnsHttps, Bytes{0, priority} + dns_name(target));
    };
    node.resolve("good.test",
                 answer("good.test", {record(1, "a.cdn.test"), record(2, "b.cdn.test")}, kDnsHttps),
                 kResolver, kDnsHttps);
    node.resolve("a.cdn.test", address_of("a.cdn.test", 2));
    node.resolve("b.cdn.test", address_of("b.cdn.test", 3));
    CHECK(node.passes("good.test", 2));
    CHECK(node.passes("good.test", 3));
    CHECK_FALSE(node.passes("a.cdn.test", 2));
  }
}

TEST_CASE("a TTL ends what may be begun, not what is going on", "[binding]") {
  Binding node;
  node.resolve("good.test", address_of("good.test", 2, 5));
  const Conversation flow{.pipeline = node.pipeline};
  flow.open();
  const Bytes bytes = hello().sni("good.test").record();
  flow.send(bytes);
  CHECK(node.pipeline.payload_to_outside() == bytes);
  node.pipeline.sleep_ms(30'000);
  CHECK_FALSE(node.passes("good.test", 2));

  node.pipeline.from_inside(flow.out(bytes.size()).payload(app_data("more")).frame());
  CHECK(node.pipeline.payload_to_outside() == app_data("more"));
  node.pipeline.push(kBinding);  // decided anew, by what was kept
  node.pipeline.from_inside(
      flow.out(bytes.size() + app_data("more").size()).payload(app_data("yet more")).frame());
  CHECK(node.pipeline.payload_to_outside() == app_data("yet more"));
}

TEST_CASE("a connection that was bound stays so for its name", "[binding]") {
  Binding node;
  node.resolve("page.test", address_of("page.test", 2, 5));
  const Conversation flow{.pipeline = node.pipeline};
  flow.open();
  const Bytes page = request("page.test");
  flow.send(page);
  CHECK(node.pipeline.payload_to_outside() == page);
  node.pipeline.sleep_ms(30'000);
  node.pipeline.from_inside(flow.out(page.size()).payload(page).frame());
  CHECK(node.pipeline.payload_to_outside() == page);
  SECTION("not for another") {
    node.pipeline.from_inside(flow.out(2 * page.size()).payload(request("more.test")).frame());
    CHECK(node.pipeline.payload_to_outside().empty());
  }
  SECTION("nor on another connection") {
    const Conversation other{.pipeline = node.pipeline, .client_port = 40001};
    other.open();
    other.send(page);
    CHECK(node.pipeline.payload_to_outside().empty());
  }
}

TEST_CASE("audit lets it pass, and says what enforce would do", "[binding]") {
  Binding node;
  CHECK(node.passes("tried.test", 2));
  CHECK(node.verdict.would_deny);
  CHECK(node.verdict.reason == FlowReason::destination_binding);
  node.resolve("tried.test", address_of("tried.test", 2));
  CHECK(node.passes("tried.test", 2));
  CHECK_FALSE(node.verdict.would_deny);
  const auto tls = [&](const std::string& labels) {
    return node.pipeline.counter("sallyport_verdicts_total", labels + ",protocol=tls");
  };
  CHECK(tls("action=deny,mode=audit") == 1);
  CHECK(tls("action=allow,mode=enforce") == 1);
}

TEST_CASE("without a trusted resolver nothing is bound", "[binding]") {
  Pipeline pipeline(kBinding);
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  flow.send(hello().sni("good.test").record());
  CHECK(pipeline.payload_to_outside().empty());
  CHECK(pipeline.events().back().reason == FlowReason::destination_binding);
}

TEST_CASE("answers over TCP count, however they are cut", "[binding]") {
  Binding node;
  Conversation dns{
      .pipeline = node.pipeline, .client_port = 5300, .server = kResolver, .server_port = 53};
  dns.open();
  const Bytes query = dns_framed(dns_query("good.test"));
  dns.send(query);
  REQUIRE(node.pipeline.payload_to_outside() == query);
  const Bytes stream =
      dns_framed(answer("other.test", {})) + dns_framed(address_of("good.test", 2));
  const auto say = [&](size_t from, size_t to) {
    node.pipeline.from_outside(
        dns.in(from)
            .ack(dns.client_first + static_cast<uint32_t>(query.size()))
            .payload(Bytes(stream.begin() + static_cast<std::ptrdiff_t>(from),
                           stream.begin() + static_cast<std::ptrdiff_t>(to)))
            .frame());
  };
  SECTION("at every place") {
    const size_t step = GENERATE(1u, 2u, 7u, 30u, 1000u);
    for (size_t at = 0; at < stream.size(); at += step) say(at, std::min(stream.size(), at + step));
    CHECK(node.passes("good.test", 2));
  }
  SECTION("behind a gap nothing is believed: where messages start is not known") {
    say(0, 5);
    say(6, stream.size());
    CHECK_FALSE(node.passes("good.test", 2));
  }
}
