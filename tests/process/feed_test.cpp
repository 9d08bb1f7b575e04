// Identity feeds given to the real data plane: all or nothing, each refusal by its name, and in any
// order with policies.
#include <catch2/catch.hpp>

#include "policy/compile/compile.h"
#include "policy/runtime/identity_codec.h"
#include "policy/runtime/image_codec.h"
#include "tests/process/gateway_process.h"
#include "tests/support/packet_builder.h"
#include "tests/support/pcap.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

std::vector<uint8_t> feed(const char* job) {
  const Identity identity{.address = parse_ip_address("198.18.0.2").value(),
                          .labels = {{"job", job}}};
  return encode_identities(make_identity_feed({&identity, 1})).value();
}
uint64_t feed_revision(const char* job) {
  return decode_identities(feed(job))->revision;
}

/// Allows DNS for sources with that job.
std::vector<uint8_t> image_for(const std::string& job, const std::string& policy) {
  const std::vector<SourceFile> sources{
      {"p.yaml",
       "apiVersion: sallyport/v1\nkind: EgressPolicy\nmetadata: {name: " + policy +
           "}\nspec:\n  subject: {labels: {job: " + job +
           "}}\n  egress:\n    - {name: dns, action: Allow, protocols: [{udp: {ports: [53]}}]}\n"}};
  return compile_policy(sources).value().image;
}

/// A running data plane with a policy and a feed in force.
struct Fixture {
  Fixture() {
    gateway.start();
    client = std::make_unique<ControlClient>(gateway.socket);
    REQUIRE(client->push(image_allowing("good.test")).refusal == Refusal::none);
    REQUIRE(give(good).identities.revision == feed_revision("train"));
  }
  PushReply give(std::span<const uint8_t> bytes) const {
    return client->push(bytes, FrameType::push_identities);
  }
  // Refused as `expected`, and what was in force still is.
  void check_refused(const PushReply& reply, Refusal expected) const {
    CHECK(to_string(reply.refusal) == to_string(expected));
    CHECK(reply.identities.revision == feed_revision("train"));
    CHECK(reply.identities.addresses == 1);
    CHECK(reply.cores[0].generation == 2);
  }

  GatewayProcess gateway;
  std::vector<uint8_t> good = feed("train");
  std::unique_ptr<ControlClient> client;
};

}  // namespace

TEST_CASE("policy and feed come in any order and stay with one another", "[process]") {
  GatewayProcess gateway;
  gateway.start();
  ControlClient client(gateway.socket);
  CHECK(client.query().identities.revision == 0);

  PushReply reply = client.push(feed("train"), FrameType::push_identities);
  CHECK(reply.refusal == Refusal::none);
  CHECK(reply.identities.revision == feed_revision("train"));
  CHECK(reply.identities.addresses == 1);
  CHECK(reply.cores[0].generation == 0);  // nothing to decide by yet
  const uint64_t since = reply.identities.since_unix_ns;
  CHECK(since > 0);

  reply = client.push(image_allowing("good.test"));
  CHECK(reply.cores[0].generation == 1);
  CHECK(reply.identities.revision == feed_revision("train"));
  CHECK(reply.identities.since_unix_ns == since);

  // The same feed again is no news: flows need not be decided anew.
  CHECK(client.push(feed("train"), FrameType::push_identities).cores[0].generation == 1);

  reply = client.push(feed("serve"), FrameType::push_identities);
  CHECK(reply.cores[0].generation == 2);
  CHECK(reply.cores[0].revision == revision_of(image_allowing("good.test")));
  CHECK(reply.identities.revision == feed_revision("serve"));
  CHECK(reply.identities.since_unix_ns > since);
  CHECK(gateway.stats().identity_revision == feed_revision("serve"));
  CHECK(gateway.stats().identity_addresses == 1);
  CHECK(gateway.stats().identity_since_unix_ns == reply.identities.since_unix_ns);
  CHECK(client.push(image_allowing("other.test")).identities.revision == feed_revision("serve"));
}

TEST_CASE("live traffic follows the labels, whichever came first and whatever is pushed",
          "[process]") {
  GatewayProcess gateway;
  const Bytes query = udp("198.18.0.2", 5000, "198.19.0.53", 53).payload("query").frame();
  write_bytes(gateway.folder / "in.pcap", pcap_bytes({{1, query}}));
  gateway.inside = "net_pcap0,rx_pcap=" + (gateway.folder / "in.pcap").string() + ",infinite_rx=1";
  gateway.start();
  ControlClient client(gateway.socket);
  const auto counted = [&](const char* family, const char* labels) {
    return gateway.counter(family, labels);
  };
  // Each push is answered when every core has taken it, so what is counted now is by it alone.
  const auto passes = [&] {
    const uint64_t sent = counted("sallyport_packets_total", "direction=tx,port=outside");
    const uint64_t denied = counted("sallyport_drops_total", "reason=denied,towards=outside");
    REQUIRE(eventually([&] {
      return counted("sallyport_packets_total", "direction=tx,port=outside") != sent ||
             counted("sallyport_drops_total", "reason=denied,towards=outside") != denied;
    }));
    return counted("sallyport_packets_total", "direction=tx,port=outside") != sent;
  };
  const auto give = [&](const char* job) {
    REQUIRE(client.push(feed(job), FrameType::push_identities).refusal == Refusal::none);
  };
  const auto push = [&](const char* name) {
    REQUIRE(client.push(image_for("train", name)).refusal == Refusal::none);
  };
  const bool feed_first = GENERATE(true, false);
  if (feed_first) give("train");
  push("one");
  CHECK(passes() == feed_first);
  if (!feed_first) give("train");
  CHECK(passes());
  push("two");
  CHECK(passes());
  give("serve");
  CHECK_FALSE(passes());
  push("three");
  CHECK_FALSE(passes());
  give("train");
  CHECK(passes());
}

TEST_CASE("a feed cut at any length or altered is refused", "[process]") {
  const Fixture with;
  for (size_t size = 0; size < with.good.size(); ++size) {
    CAPTURE(size);
    const std::span<const uint8_t> cut(with.good.data(), size);
    with.check_refused(with.give(cut),
                       size < ImageHeader::kBytes ? Refusal::too_short : Refusal::bad_length);
  }
  auto altered = with.good;
  altered.back() ^= 1;
  with.check_refused(with.give(altered), Refusal::bad_digest);
  with.check_refused(with.give(image_allowing("good.test")), Refusal::bad_magic);
  with.check_refused(with.client->push(with.good), Refusal::bad_magic);
  std::vector<uint8_t> payload(with.good.begin() + ImageHeader::kBytes, with.good.end());
  payload[0] = 0xff;
  with.check_refused(with.give(seal(kIdentitySeal, payload)), Refusal::bad_structure);
  payload[0] = 1;
  payload.back() = 1;
  with.check_refused(with.give(seal(kIdentitySeal, payload)), Refusal::bad_content);
}

TEST_CASE("a feed of over 64 MiB is refused", "[process]") {
  const Fixture with;
  with.check_refused(with.give(std::vector<uint8_t>(kMaxFeedBytes + 1)), Refusal::too_large);
}

TEST_CASE("a feed must come as one sealed memfd", "[process]") {
  const Fixture with;
  const FrameHeader header{.type = FrameType::push_identities, .request_id = 42};
  const UniqueFd sealed(make_sealed_memfd(feed("serve")).value());
  with.check_refused(with.client->send(header), Refusal::no_descriptor);
  with.check_refused(with.client->send(header, {sealed.get(), sealed.get()}),
                     Refusal::no_descriptor);
  with.check_refused(with.client->send(header, {with.client->fd()}), Refusal::not_sealed);
  CHECK(with.client->send(header, {sealed.get()}).identities.revision == feed_revision("serve"));
}

TEST_CASE("a data plane starts with the feed that was stored, or without labels", "[process]") {
  GatewayProcess gateway;
  const Bytes query = udp("198.18.0.2", 5000, "198.19.0.53", 53).payload("query").frame();
  write_bytes(gateway.folder / "in.pcap", pcap_bytes({{1, query}}));
  gateway.inside = "net_pcap0,rx_pcap=" + (gateway.folder / "in.pcap").string();
  const auto put = [&](const std::filesystem::path& path, std::span<const uint8_t> bytes) {
    write_text(path, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  };
  put(gateway.policy_image, image_for("train", "p"));
  const bool damaged = GENERATE(false, true);
  auto stored = feed("train");
  if (damaged) stored.back() ^= 1;
  put(gateway.identity_feed, stored);
  gateway.start();
  ControlClient client(gateway.socket);
  const PushReply reply = client.query();
  CHECK(reply.cores[0].revision == revision_of(image_for("train", "p")));
  CHECK(reply.identities.revision == (damaged ? 0 : feed_revision("train")));
  CHECK(eventually([&] {
    return gateway.counter("sallyport_packets_total", "direction=tx,port=outside") == !damaged;
  }));
  CHECK((gateway.log().find("bad_digest") != std::string::npos) == damaged);
}
