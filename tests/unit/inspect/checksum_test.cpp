#include "dataplane/inspect/checksum.h"

#include <array>
#include <catch2/catch.hpp>
#include <random>

#include "tests/support/packet_builder.h"

using namespace sallyport;
using namespace sallyport::test;

TEST_CASE("a header's checksum is the value to store, and 0 once it is stored", "[checksum]") {
  // The worked example of RFC 1071 section 3: the sum of these is ddf2.
  const Bytes example{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
  CHECK(ipv4_header_checksum(example) == static_cast<uint16_t>(~0xddf2));

  Bytes header = ip("198.18.0.2", "198.19.0.2", 47).ip_packet();
  const uint16_t stored = static_cast<uint16_t>(header[10] << 8 | header[11]);
  CHECK(ipv4_header_checksum(header) == 0);
  store16(header, 10, 0);
  CHECK(ipv4_header_checksum(header) == stored);
}

TEST_CASE("the quick look at a plain header's checksum agrees with the sum", "[checksum]") {
  std::mt19937 random(1);
  std::array<uint8_t, 20> header;
  for (int round = 0; round < 20'000; ++round) {
    // Bytes of ones make carries come back in.
    for (uint8_t& byte : header) byte = random() % 2 == 0 ? 0xff : static_cast<uint8_t>(random());
    header[0] = 0x45;
    CHECK(is_plain_ipv4_checksum_right(header) == (ipv4_header_checksum(header) == 0));
    header[10] = header[11] = 0;
    const uint16_t right = ipv4_header_checksum(header);
    header[10] = static_cast<uint8_t>(right >> 8);
    header[11] = static_cast<uint8_t>(right);
    CHECK(is_plain_ipv4_checksum_right(header));
  }
}

TEST_CASE("an L4 checksum covers the pseudo-header of its family", "[checksum]") {
  struct Row {
    const char* what;
    const char* source;
    const char* destination;
    uint8_t protocol;
    Bytes packet;
    size_t header_bytes;
    size_t checksum_at;
  };
  const std::string odd(33, 'x');
  const Row rows[] = {
      {"TCP/IPv4", "198.18.0.2", "198.19.0.2", 6,
       tcp("198.18.0.2", 1, "198.19.0.2", 2).payload(odd).ip_packet(), 20, 16},
      {"UDP/IPv6", "fd00::1", "fd00::2", 17,
       udp("fd00::1", 1, "fd00::2", 2).payload(odd).ip_packet(), 40, 6},
      {"ICMP", "198.18.0.2", "198.19.0.2", 1,
       icmp("198.18.0.2", "198.19.0.2", 8).payload(odd).ip_packet(), 20, 2},
      {"ICMPv6", "fd00::1", "fd00::2", 58, icmp("fd00::1", "fd00::2", 128).payload(odd).ip_packet(),
       40, 2},
  };
  for (const Row& row : rows) {
    INFO(row.what);
    const auto source = parse_ip_address(row.source).value();
    const auto destination = parse_ip_address(row.destination).value();
    Bytes l4(row.packet.begin() + static_cast<std::ptrdiff_t>(row.header_bytes), row.packet.end());
    CHECK(l4_checksum(source, destination, row.protocol, l4) == 0);
    const uint16_t stored =
        static_cast<uint16_t>(l4[row.checksum_at] << 8 | l4[row.checksum_at + 1]);
    store16(l4, row.checksum_at, 0);
    CHECK(l4_checksum(source, destination, row.protocol, l4) == stored);
  }
}
