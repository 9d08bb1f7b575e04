#include "policy/runtime/ip_address.h"

#include <catch2/catch.hpp>

using namespace sallyport;

namespace {

std::string round_trip(std::string_view text) {
  const auto prefix = parse_ip_prefix(text);
  if (prefix) return to_string(*prefix);
  switch (prefix.error()) {
    case IpParseError::bad_address:
      return "bad_address";
    case IpParseError::bad_prefix_length:
      return "bad_prefix_length";
    case IpParseError::host_bits_set:
      return "host_bits_set";
  }
  return "";
}

bool covers(std::string_view prefix, std::string_view address) {
  return contains(parse_ip_prefix(prefix).value(), parse_ip_address(address).value());
}

}  // namespace

TEST_CASE("blocks and addresses as text") {
  struct Row {
    const char* text;
    const char* says;
  };
  for (const Row& row : std::initializer_list<Row>{
           {"10.0.0.0/8", "10.0.0.0/8"},
           {"0.0.0.0/0", "0.0.0.0/0"},
           {"10.1.2.3", "10.1.2.3/32"},
           {"2001:DB8:0::/32", "2001:db8::/32"},
           {"::/0", "::/0"},
           {"::1", "::1/128"},
           {"::ffff:10.0.0.0/104", "10.0.0.0/8"},
           {"10.0.0.1/8", "host_bits_set"},
           {"10.0.0.128/24", "host_bits_set"},
           {"2001:db8::1/127", "host_bits_set"},
           {"10.0.0.0/33", "bad_prefix_length"},
           {"10.0.0.0/08", "bad_prefix_length"},
           {"10.0.0.0/-1", "bad_prefix_length"},
           {"10.0.0.0/ 8", "bad_prefix_length"},
           {"10.0.0.0/8/8", "bad_prefix_length"},
           {"10.0.0.0/99999999999", "bad_prefix_length"},
           {"::/129", "bad_prefix_length"},
           {"010.0.0.1", "bad_address"},
           {"10.0.1", "bad_address"},
           {"10.0.0.256", "bad_address"},
           {"fe80::1%eth0", "bad_address"},
           {"", "bad_address"},
           {"/8", "bad_address"},
           {" 10.0.0.1", "bad_address"},
           {"1:2:3:4:5:6:7:8:9:a:b:c:d:e:f:1:2:3:4:5:6", "bad_address"},
       }) {
    INFO(row.text);
    CHECK(round_trip(row.text) == row.says);
  }
  CHECK(to_string(parse_ip_prefix_clearing("10.1.2.3/9").value()) == "10.0.0.0/9");
  CHECK(to_string(parse_ip_prefix_clearing("2001:db8:ffff::/35").value()) == "2001:db8:e000::/35");
  CHECK(!parse_ip_address(std::string_view("1.2.3.4\0", 8)).has_value());
}

TEST_CASE("what a block covers") {
  CHECK(covers("10.0.0.0/8", "10.255.255.255"));
  CHECK(!covers("10.0.0.0/8", "11.0.0.0"));
  CHECK(covers("0.0.0.0/0", "255.255.255.255"));
  CHECK(!covers("0.0.0.0/0", "::1"));
  CHECK(covers("2001:db8::/33", "2001:db8:7fff::1"));
  CHECK(!covers("2001:db8::/33", "2001:db8:8000::1"));
  CHECK(covers("::/0", "2001:db8::1"));
  CHECK(!covers("::/0", "10.0.0.1"));
}
