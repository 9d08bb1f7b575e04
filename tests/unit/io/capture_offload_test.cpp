// Whether a capture's checksums mean anything.
#include <catch2/catch.hpp>

#include "dataplane/io/capture_offload.h"
#include "tests/support/packet_builder.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

constexpr size_t kTcpChecksum = 14 + 20 + 16;

PacketBuilder client() {
  return tcp("198.18.0.2", 40000, "198.19.0.2", 443).payload("hello");
}
PacketBuilder server() {
  return tcp("198.19.0.2", 443, "198.18.0.2", 40000).payload("answer");
}

/// The client's frame as its host had it before the NIC summed it up.
Bytes unfinished(bool with_length) {
  Bytes frame = client().frame();
  store16(frame, kTcpChecksum, pseudo_header_sum(*find_ip(frame), with_length ? 25 : 0));
  return frame;
}

Bytes no_ip_checksum(const PacketBuilder& builder) {
  Bytes frame = builder.frame();
  store16(frame, 14 + 10, 0);
  return frame;
}

std::string why(const std::vector<Bytes>& frames) {
  OffloadSurvey survey;
  for (const Bytes& frame : frames) {
    if (const auto ip = find_ip(frame)) survey.see(frame, *ip);
  }
  return survey.why();
}

}  // namespace

TEST_CASE("marks of offload are seen", "[capture]") {
  struct Row {
    const char* said;
    std::vector<Bytes> frames;
  };
  const Bytes wrong = client().bad_l4_checksum().frame();
  const Bytes right = server().frame();
  const Bytes wrong_udp = udp("fd00::1", 1, "fd00::2", 2).payload("x").bad_l4_checksum().frame();
  const std::vector<Row> rows{
      {"1 packet with the sum of the pseudo-header alone", {right, right, unfinished(true), right}},
      {"1 packet with the sum of the pseudo-header alone", {right, right, unfinished(false)}},
      {"1 packet longer than any link carries", {right, client().payload(Bytes(9200, 1)).frame()}},
      {"1 packet without an IP length", {right, client().ip_length(0).frame()}},
      {"a wrong checksum in 2 of 2 packets from 198.18.0.2", {wrong, right, wrong, right}},
      {"a wrong checksum in 3 of 4 packets from 198.18.0.2",
       {wrong, wrong, right, wrong, client().frame()}},
      {"a wrong checksum in 2 of 2 packets from fd00::1", {wrong_udp, right, wrong_udp}},
      {"a wrong checksum in 2 of 2 packets", {wrong, server().bad_l4_checksum().frame()}},
      {"a wrong checksum in 1 of 1 packet", {wrong}},
      {"a wrong IP header checksum in 1 of 1 packet", {no_ip_checksum(client())}},
      {"a wrong IP header checksum in 2 of 2 packets from 198.18.0.2",
       {no_ip_checksum(client()), right, no_ip_checksum(client())}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.said);
    CHECK(why(row.frames).starts_with(row.said));
  }
}

TEST_CASE("a few wrong checksums among right ones are no offload", "[capture]") {
  const Bytes wrong = client().bad_l4_checksum().frame();
  const Bytes good = client().frame();
  const Bytes answer = server().frame();
  const Bytes fragment = client().fragment(0, true).bad_l4_checksum().frame();
  const Bytes none = udp("198.18.0.2", 1, "198.19.0.2", 2).no_udp_checksum().frame();
  const Bytes snapped = prefix_of(wrong, wrong.size() - 1);
  const Bytes short_udp =
      udp("198.18.0.2", 1, "198.19.0.2", 2).payload("x").udp_length(8).bad_l4_checksum().frame();
  CHECK(why({}).empty());
  CHECK(why({good, answer}).empty());
  CHECK(why({wrong, answer}).empty());
  CHECK(why({good, wrong, answer, wrong, good, answer}).empty());  // decoys
  CHECK(why({wrong, wrong, good, answer, wrong, good}).empty());   // three of five
  CHECK(why({no_ip_checksum(client()), good, answer}).empty());
  CHECK(why({fragment, fragment, fragment}).empty());
  CHECK(why({none, none, none}).empty());
  CHECK(why({snapped, snapped, snapped}).empty());
  CHECK(why({short_udp, short_udp}).empty());
  CHECK(why({prefix_of(good, 40), prefix_of(good, 20), arp("198.18.0.2", "198.19.0.2")}).empty());
}

TEST_CASE("a right checksum that looks unfinished is right", "[capture]") {
  // Bytes that sum to nothing leave the pseudo-header's sum, complemented: never the same as it.
  OffloadSurvey survey;
  for (unsigned i = 0; i < 65'536; i += 17) {
    Bytes payload;
    put16(payload, i);
    const Bytes frame = client().payload(payload).frame();
    survey.see(frame, *find_ip(frame));
  }
  CHECK(survey.why().empty());
  CHECK(survey.bad_ip_checksums() == 0);
}
