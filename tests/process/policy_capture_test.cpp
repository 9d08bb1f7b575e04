// `sallyport policy test` on a capture: the real data plane replays it.
#include <catch2/catch.hpp>

#include "tests/support/client_hello_builder.h"
#include "tests/support/packet_builder.h"
#include "tests/support/pcap.h"
#include "tests/unit/control/support.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

/// A connection that says `stream` to a server, without its end.
void add_connection(std::vector<Captured>& frames, uint16_t port, const Bytes& stream) {
  const auto out = [port] {
    return tcp("198.18.0.2", port, "198.19.0.2", 443).seq(1001).ack(5001);
  };
  const std::vector<Bytes> packets{out().seq(1000).flags(kSyn).frame(),
                                   tcp("198.19.0.2", 443, "198.18.0.2", port)
                                       .macs(kOutsideMac, kInsideMac)
                                       .seq(5000)
                                       .ack(1001)
                                       .flags(kSyn | kAck)
                                       .frame(),
                                   out().frame(), out().payload(stream).frame()};
  for (const Bytes& one : packets) {
    frames.push_back({.unix_us = 1'700'000'000'000'000 + frames.size() * 1000, .frame = one});
  }
}

}  // namespace

TEST_CASE("policy test replays a capture under the policy that is tested", "[process]") {
  const TempDir folder;
  std::vector<Captured> frames;
  add_connection(frames, 40001, hello().sni("good.test").record());
  add_connection(frames, 40002, hello().sni("other.test").record());
  write_bytes(folder / "in.pcap", pcap_bytes(frames));
  write_text(folder / "policy.yaml", policy_yaml("p", "good.test"));
  write_text(folder / "test.yaml", R"(apiVersion: sallyport/v1
kind: PolicyTest
metadata: {name: capture}
tests:
  - {name: good, capture: {file: in.pcap, filter: {host: good.test}}, expect: {action: Allow}}
  - {name: other, capture: {file: in.pcap, filter: {host: "other.*", app: tls}}, expect: {action: Deny, rule: default_deny}}
  - {name: both, capture: {file: in.pcap}, expect: {action: Allow}}
  - {name: none, capture: {file: nowhere.pcap}, expect: {action: Allow}}
)");
  const Finished got =
      run({program("sallyport"), "policy", "test", folder / "policy.yaml", folder / "test.yaml"});
  CAPTURE(got.out, got.err);
  CHECK(got.status == 1);
  CHECK(got.out.contains("ok    capture: good\n"));
  CHECK(got.out.contains("ok    capture: other\n"));
  CHECK(got.out.contains("FAIL  capture: both "));
  CHECK(
      got.out.contains("        got       deny by default_deny\n"
                       "        flow      src=198.18.0.2 dst=198.19.0.2:443 tls.sni=other.test"));
  CHECK(got.out.contains("FAIL  capture: none "));
  CHECK(got.out.contains("got       the capture cannot be replayed: "));
  CHECK(got.out.contains("nowhere.pcap"));
  CHECK(got.out.ends_with("2 passed, 2 failed\n"));
}
