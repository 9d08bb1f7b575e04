#pragma once

#include <cstdint>
#include <span>

#include "dataplane/inspect/dns_name.h"
#include "dataplane/inspect/identify.h"
#include "policy/runtime/host_name.h"

namespace sallyport {

/// One question to a DNS server.
struct DnsQuery {
  HostName name;  ///< Canonical. Empty for the root, and for what looks like an IPv4 address.
  DnsName text;   ///< The same as it stands there; for records, with a fault too.
  uint16_t id = 0;
  uint16_t type = 0;
  uint16_t query_class = 0;
  bool edns = false;  ///< With an OPT record (RFC 6891).
};

struct DnsQueryAnswer {
  enum class Status : uint8_t {
    not_dns,  ///< No server would take it for a query.
    done,
    fault,  ///< A query, but one that no honest client sends: `fault` says why.
  };
  Status status = Status::not_dns;
  InspectFault fault = InspectFault::none;
};

inline constexpr uint16_t kDnsPort = 53;

/// Reads a client's DNS message (RFC 1035 section 4), on any port.
///
/// DNS is told from other datagrams by its question: one to sixteen of them announced, and a
/// readable name. That is enough on port 53. On others a message of an unknown class, of type 0, or
/// of an opcode that clients do not send, is DNS if its name is a host's, or if it announces one
/// question and no records but EDNS: random bytes are neither. QUIC never looks like that, whatever
/// the other way round: its version and the length of its connection ID stand where the number of
/// questions does, so ask here first. mDNS, LLMNR and NetBIOS names are told by nothing but where
/// they go: see is_link_local_name_port().
///
/// What a lenient server might answer all the same is a fault, not something else: or a policy on
/// names could be evaded by it.
///
/// @param message  A UDP payload, or a message of a TCP stream behind its length. Borrowed.
/// @param port     The server's.
/// @param out      Overwritten. With not_dns: no meaning.
///
/// Cost: one pass. Never allocates, logs or throws.
[[nodiscard]] DnsQueryAnswer parse_dns_query(std::span<const uint8_t> message, uint16_t port,
                                             DnsQuery& out) noexcept;

/// What the first bytes of a message in a stream tell of it.
struct DnsShape {
  bool may_be_query = false;  ///< Else parse_dns_query() says not_dns of the whole message.
  /// It is DNS, whatever else stands in it: it announces one question and no records but EDNS, or
  /// nothing but EDNS (RFC 7873 section 5.4).
  bool surely_dns = false;
};

/// @param message  At least its first 12 bytes.
[[nodiscard]] DnsShape dns_shape(std::span<const uint8_t> message) noexcept;

/// mDNS, LLMNR and NetBIOS name service: the bytes of DNS, but neighbours are asked, not servers.
/// To an address that is_link_local(); a server may listen on any port.
inline bool is_link_local_name_port(uint16_t port) noexcept {
  return port == 5353 || port == 5355 || port == 137;
}

/// Multicast, IPv4 broadcast, or an address that means something on this link alone (RFC 3927, RFC
/// 4291 section 2.4).
inline bool is_link_local(const IpAddress& address) noexcept {
  const auto& b = address.bytes;
  if (!address.is_v4()) return b[0] == 0xff || (b[0] == 0xfe && (b[1] & 0xc0) == 0x80);
  const bool broadcast = (b[12] & b[13] & b[14] & b[15]) == 0xff;
  return b[12] >> 4 == 14 || broadcast || (b[12] == 169 && b[13] == 254);
}

}  // namespace sallyport
