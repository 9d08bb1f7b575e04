// A QUIC client says its hello again and again, and may begin anew: what then counts.
#include <catch2/catch.hpp>

#include "tests/pipeline/conversation.h"
#include "tests/support/dns_builder.h"
#include "tests/support/quic_builder.h"
#include "tests/support/quic_helper.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

const Bytes kMessage = hello().sni("good.test").message();
const Bytes kHello = initial(crypto_frame(0, kMessage)).pad_to(1200).packet();

/// The pipeline's clock begins at 22:13:20.
std::string policy(const std::string& terms) {
  return "apiVersion: sallyport/v1\nkind: EgressPolicy\nmetadata: {name: p}\nspec:\n  egress:\n"
         "    - {name: good, action: Allow, to: {domainNames: [good.test]}, " +
         terms + "}\n    - {name: other, action: Allow, to: {domainNames: [other.test]}}\n";
}

struct Client {
  Pipeline& pipeline;
  uint16_t port = 50000;

  void hear(const Bytes& datagram) const {
    pipeline.from_outside(udp("198.19.0.2", 443, "198.18.0.2", port)
                              .macs(kOutsideMac, kInsideMac)
                              .payload(datagram)
                              .frame());
  }

  /// @return how many datagrams left.
  size_t send(const Bytes& datagram) const {
    pipeline.from_inside(udp("198.18.0.2", port, "198.19.0.2", 443).payload(datagram).frame());
    pipeline.to_inside();
    return pipeline.to_outside().size();
  }
};

uint64_t denials(Pipeline& pipeline) {
  return pipeline.counter("sallyport_verdicts_total", "action=deny,mode=enforce,protocol=quic");
}

}  // namespace

TEST_CASE("a refused hello passes when its budget begins anew", "[quic]") {
  Pipeline pipeline(policy("budget: {bytesOut: 3000, window: 60s, scope: rule}"));
  CHECK(Client{pipeline, 50001}.send(kHello) == 1);
  CHECK(Client{pipeline, 50002}.send(kHello) == 1);
  const Client client{pipeline};
  const bool halves = GENERATE(false, true);
  CAPTURE(halves);
  const auto parts = crypto_frames(kMessage, {40});
  const Bytes first = initial(parts.at(0)).pad_to(1200).packet();
  const Bytes second = initial(parts.at(1)).number(1).pad_to(1200).packet();
  const auto say_hello = [&] {
    return halves ? client.send(first) + client.send(second) : client.send(kHello);
  };
  for (int i = 0; i < 39; ++i) {
    CHECK(say_hello() == 0);
    pipeline.sleep_ms(1000);
  }
  CHECK(denials(pipeline) == 1);
  pipeline.sleep_ms(1000);
  CHECK(say_hello() == (halves ? 2 : 1));
  CHECK(pipeline.packets_in_use() == 0);
}

TEST_CASE("a refused hello passes when its rule begins", "[quic]") {
  Pipeline pipeline(policy("notBefore: \"2023-11-14T22:13:25Z\""));
  const Client client{pipeline};
  for (int i = 0; i < 10; ++i) {
    CHECK(client.send(kHello) == 0);
    pipeline.sleep_ms(490);
  }
  CHECK(denials(pipeline) == 1);  // it is the same hello, and said so once
  pipeline.sleep_ms(100);
  CHECK(client.send(kHello) == 1);
  CHECK(client.send(kHello) == 1);
  CHECK(denials(pipeline) == 1);
}

TEST_CASE("a hello that no rule could have allowed is read once one could", "[quic]") {
  const auto only = [](const std::string& terms) {
    return "apiVersion: sallyport/v1\nkind: EgressPolicy\nmetadata: {name: p}\nspec:\n  egress:\n"
           "    - {name: good, action: Allow, to: {domainNames: [good.test]}, " +
           terms + "}\n";
  };
  const std::string later = only("notBefore: \"2023-11-14T22:13:25Z\"");
  const std::string tls = only("protocols: [{tls: {}}]");
  const std::string quic = only("protocols: [{quic: {}}]");
  // When its time comes, a policy is put in force anew.
  const auto [before, after] =
      GENERATE_COPY(table<std::string, std::string>({{later, later}, {tls, quic}}));
  CAPTURE(before);
  Pipeline pipeline(before);
  const Client client{pipeline};
  CHECK(client.send(kHello) == 0);
  pipeline.sleep_ms(6'000);
  pipeline.push(after);
  CHECK(client.send(kHello) == 1);
  const Bytes bad =
      initial(crypto_frame(0, hello().sni("bad.test").message())).pad_to(1200).packet();
  CHECK(Client{pipeline, 50001}.send(bad) == 0);
}

TEST_CASE("what waits for an attempt that was given up is no burden to the next", "[quic]") {
  Pipeline pipeline(policy("protocols: [{quic: {}}]"));
  const Client client{pipeline};
  const auto ping = [&](uint64_t number, const Bytes& id) {
    return client.send(initial(kPingFrame).number(number).to(id).pad_to(1200).packet());
  };
  const Bytes old_id = from_hex("0102030405060708");
  const Bytes id = from_hex("1112131415161718");
  for (uint64_t i = 0; i < 32; ++i) CHECK(ping(i, old_id) == 0);
  CHECK(pipeline.packets_in_use() == 32);
  pipeline.sleep_ms(9'000);

  SECTION("as many may wait again") {
    for (uint64_t i = 0; i < 31; ++i) CHECK(ping(i, id) == 0);
    CHECK(pipeline.drops("held_after_denial") == 32);
    CHECK(pipeline.packets_in_use() == 31);
    CHECK(client.send(initial(crypto_frame(0, kMessage)).number(31).to(id).pad_to(1200).packet()) ==
          32);
  }
  SECTION("and as long") {
    CHECK(ping(0, id) == 0);
    pipeline.sleep_ms(9'000);
    CHECK(client.send(initial(crypto_frame(0, kMessage)).number(1).to(id).pad_to(1200).packet()) ==
          2);
  }
  CHECK(pipeline.packets_in_use() == 0);
}

namespace {

Bytes hello_to(std::string_view name, uint8_t id) {
  return initial(crypto_frame(0, hello().sni(name).message()))
      .to(Bytes(8, id))
      .pad_to(1200)
      .packet();
}
const Bytes kHandshake = long_packet(2, {}, Bytes(100, 3));
const Bytes kData = Bytes{0x40} + Bytes(900, 0x5c);

/// Two names of two rules, of which the first has a budget, and a third that goes with the second.
constexpr std::string_view kTwoRules = R"(
apiVersion: sallyport/v1
kind: EgressPolicy
metadata: {name: p}
spec:
  egress:
    - {name: few, action: Allow, to: {domainNames: [few.test]}, protocols: [{quic: {}}],
       budget: {bytesOut: 4000B, window: 60s, scope: rule}}
    - {name: many, action: Allow, to: {domainNames: [many.test, more.test]}, protocols: [{quic: {}}]}
    - {name: dns, action: Allow, to: {domainNames: [query.test]}, protocols: [{dns: {}}]}
)";
// Its id looks like a long header.
Bytes long_query() {
  Bytes query = dns_query("query.test");
  query[0] = 0x80;
  return query;
}

}  // namespace

TEST_CASE("another connection on the same ports does not change what the first one may", "[quic]") {
  Pipeline pipeline{std::string(kTwoRules)};
  const Client client{pipeline};
  REQUIRE(client.send(hello_to("few.test", 1)) == 1);
  client.hear(kHandshake);

  SECTION("by another rule: its hello does not leave, and the first pays on") {
    const Bytes other = GENERATE(hello_to("many.test", 2), long_query());
    CHECK(client.send(other) == 0);
    CHECK(client.send(kData) == 1);
    CHECK(client.send(kData) == 1);
    CHECK(client.send(kData) == 0);  // the budget is spent
    CHECK(client.send(other) == 0);
    CHECK(client.send(kData) == 0);
  }
  SECTION("denied: its hello does not leave, and the first goes on") {
    const uint64_t before = denials(pipeline);
    CHECK(client.send(hello_to("denied.test", 2)) == 0);
    CHECK(denials(pipeline) == before + 1);
    CHECK(client.send(hello_to("denied.test", 2)) == 0);  // said once a second
    CHECK(denials(pipeline) == before + 1);
    CHECK(client.send(kData) == 1);
  }
  CHECK(pipeline.packets_in_use() == 0);
}

TEST_CASE("what a push denied stays denied, whoever joins it", "[quic]") {
  Pipeline pipeline{std::string(kTwoRules)};
  const Client client{pipeline};
  REQUIRE(client.send(hello_to("many.test", 1)) == 1);
  client.hear(kHandshake);
  const auto without = [](std::string_view name) {
    std::string policy(kTwoRules);
    return policy.replace(policy.find(name), name.size(), "none.test");
  };

  SECTION("alone") {
    pipeline.push(without("many.test"));
    CHECK(client.send(kData) == 0);
    CHECK(client.send(hello_to("more.test", 2)) == 0);
    CHECK(client.send(kData) == 0);
    pipeline.push(std::string(kTwoRules));
    CHECK(client.send(kData) == 1);
  }
  SECTION("of two by one rule, whichever the push denies") {
    CHECK(client.send(hello_to("more.test", 2)) == 1);
    CHECK(client.send(kData) == 1);
    const auto name = GENERATE("many.test", "more.test");
    CAPTURE(name);
    pipeline.push(without(name));
    CHECK(client.send(kData) == 0);
  }
}

TEST_CASE("a query for a name binds no address to it", "[quic][binding]") {
  Pipeline pipeline(R"(
apiVersion: sallyport/v1
kind: EgressPolicy
metadata: {name: p}
spec:
  egress:
    - {name: good, action: Allow, to: {domainNames: [good.test]}, protocols: [{quic: {}}],
       destinationBinding: enforce}
    - {name: ask, action: Allow, to: {domainNames: [asked.test]}, protocols: [{dns: {}}]}
)",
                    {.resolvers = {"198.19.0.53"}});
  const Client client{pipeline};
  const bool denied = GENERATE(true, false);
  CHECK(client.send(dns_query(denied ? "good.test" : "asked.test")) == (denied ? 0 : 1));
  CHECK(client.send(kHello) == 0);
}
