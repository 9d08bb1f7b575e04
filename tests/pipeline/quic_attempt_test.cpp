// A QUIC client says its hello again and again, and may begin anew: what then counts.
#include <catch2/catch.hpp>

#include "tests/pipeline/conversation.h"
#include "tests/support/quic_builder.h"

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
