#pragma once

#include <algorithm>
#include <string_view>

#include "tests/support/bytes.h"

namespace sallyport::test {

/// Record types, and the class of all of them.
enum : uint16_t {
  kDnsA = 1,
  kDnsCname = 5,
  kDnsSoa = 6,
  kDnsTxt = 16,
  kDnsAaaa = 28,
  kDnsSrv = 33,
  kDnsOpt = 41,
  kDnsSvcb = 64,
  kDnsHttps = 65,
  kDnsTsig = 250,
  kDnsIxfr = 251,
  kDnsIn = 1,
};

/// "a.b" as labels and the root; "" is the root alone. A label may hold anything but a dot.
inline Bytes dns_name(std::string_view name) {
  Bytes out;
  while (!name.empty()) {
    const auto label = name.substr(0, name.find('.'));
    append(out, block(bytes_of(label), 1));
    name.remove_prefix(std::min(name.size(), label.size() + 1));
  }
  put8(out, 0);
  return out;
}
/// A compression pointer (RFC 1035 section 4.1.4).
inline Bytes dns_pointer(uint16_t target) {
  Bytes out;
  put16(out, 0xc000 | target);
  return out;
}

struct DnsHeader {
  uint16_t id = 0x1234;
  uint16_t flags = 0x0100;  // recursion desired
  uint16_t questions = 1;
  uint16_t answers = 0;
  uint16_t authorities = 0;
  uint16_t additional = 0;
};

inline Bytes dns_header(const DnsHeader& header) {
  Bytes out;
  for (const uint16_t field : {header.id, header.flags, header.questions, header.answers,
                               header.authorities, header.additional}) {
    put16(out, field);
  }
  return out;
}

inline Bytes dns_question(const Bytes& name, uint16_t type = kDnsA, uint16_t query_class = kDnsIn) {
  Bytes out(name);
  put16(out, type);
  put16(out, query_class);
  return out;
}

inline Bytes dns_query(std::string_view name, uint16_t type = kDnsA, const DnsHeader& header = {}) {
  return dns_header(header) + dns_question(dns_name(name), type);
}

inline Bytes dns_record(const Bytes& owner, uint16_t type, const Bytes& data, uint32_t ttl = 300) {
  Bytes out(owner);
  put16(out, type);
  put16(out, kDnsIn);
  put32(out, ttl);
  append(out, block(data, 2));
  return out;
}

/// What `dig` adds: 1,232 bytes of UDP, no options.
inline Bytes dns_edns() {
  Bytes out;
  put8(out, 0);
  put16(out, kDnsOpt);
  put16(out, 1232);
  put32(out, 0);
  put16(out, 0);
  return out;
}

/// A message behind its length, as on a TCP stream.
inline Bytes dns_framed(const Bytes& message) {
  return block(message, 2);
}

}  // namespace sallyport::test
