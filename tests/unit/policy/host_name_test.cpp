#include "policy/runtime/host_name.h"

#include <catch2/catch.hpp>
#include <string>

using sallyport::HostName;
using sallyport::HostNameFault;

namespace {

struct Good {
  std::string text;
  std::string canonical;
};

std::string labels(size_t count, size_t bytes) {
  std::string out;
  for (size_t i = 0; i < count; ++i) out += (i > 0 ? "." : "") + std::string(bytes, 'a');
  return out;
}

}  // namespace

TEST_CASE("host names are folded to one form") {
  for (const Good& row : std::initializer_list<Good>{
           {"example.com", "example.com"},
           {"EXAMPLE.Com", "example.com"},
           {"example.com.", "example.com"},
           {"localhost", "localhost"},
           {"_dmarc.a-b.c", "_dmarc.a-b.c"},
           {"1.2.3", "1.2.3"},
           {"1.2.3.4.5", "1.2.3.4.5"},
           {"1.2.3.4a", "1.2.3.4a"},
           {"1.2.3.1234", "1.2.3.1234"},
           {labels(1, 63), labels(1, 63)},
           {labels(3, 63) + "." + labels(1, 61), labels(3, 63) + "." + labels(1, 61)},
           {labels(127, 1) + ".", labels(127, 1)},
       }) {
    INFO(row.text);
    HostName name;
    CHECK(name.assign(row.text) == HostNameFault::none);
    CHECK(name.view() == row.canonical);
  }
}

TEST_CASE("what is no host name") {
  struct Bad {
    std::string text;
    HostNameFault fault;
  };
  for (const Bad& row : std::initializer_list<Bad>{
           {"", HostNameFault::empty},
           {".", HostNameFault::empty},
           {"..", HostNameFault::bad_label},
           {"a..b", HostNameFault::bad_label},
           {".a", HostNameFault::bad_label},
           {"a.b..", HostNameFault::bad_label},
           {labels(1, 64), HostNameFault::bad_label},
           {labels(3, 63) + "." + labels(1, 62), HostNameFault::too_long},
           {labels(4, 63), HostNameFault::too_long},
           {"a b", HostNameFault::bad_byte},
           {std::string("a\0b", 3), HostNameFault::bad_byte},
           {"a\x01", HostNameFault::bad_byte},
           {"a\x02", HostNameFault::bad_byte},
           {"b\xc3\xbc.de", HostNameFault::bad_byte},
           {"*.a", HostNameFault::bad_byte},
           {"a:443", HostNameFault::bad_byte},
           {"2001:db8::1", HostNameFault::bad_byte},
           {"1.2.3.4", HostNameFault::address_literal},
           {"1.2.3.4.", HostNameFault::address_literal},
           {"999.1.1.1", HostNameFault::address_literal},
           {"[::1]", HostNameFault::address_literal},
       }) {
    INFO(row.text);
    HostName name;
    REQUIRE(name.assign("before.example") == HostNameFault::none);
    CHECK(name.assign(row.text) == row.fault);
    CHECK(name.empty());
    CHECK(!to_string(row.fault).empty());
  }
}

TEST_CASE("every byte of a host name is either folded or refused") {
  for (unsigned byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    const std::string text{'a', c, 'b'};
    HostName name;
    const bool alphanumeric =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    const bool ok = alphanumeric || c == '-' || c == '_' || c == '.';
    INFO(byte);
    CHECK((name.assign(text) == HostNameFault::none) == ok);
  }
}
