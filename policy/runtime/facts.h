#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "policy/runtime/ip_address.h"

namespace sallyport {

/// What is known of one fact about a flow.
enum class Known : uint8_t {
  unknown,  ///< Not seen yet: later bytes may still give it a value.
  absent,   ///< Seen to be missing, for good. Never matches anything that names a value.
  present,  ///< The value beside it holds.
};

/// Application protocols that rules can name, found by the bytes and never by the port.
enum class AppProtocol : uint8_t { tls, quic, http, dns, count_ };

/// One field line of a request. The name is in lower case.
struct HttpHeader {
  std::string_view name;
  std::string_view value;  ///< Without white space around it.
};

/// Everything decide() may look at for one flow, or for one request of an HTTP connection. A plain
/// view: whoever fills it owns the bytes and keeps them for the length of the call.
struct FlowFacts {
  IpAddress source;               ///< The inside end.
  IpAddress destination;          ///< The outside end.
  uint8_t ip_protocol = 0;        ///< IANA protocol number: 6 TCP, 17 UDP, …
  uint16_t destination_port = 0;  ///< Host order; 0 where the protocol has no ports.
  int64_t unix_seconds = 0;       ///< The time of the decision, for notBefore and expiresAt.

  Known app_known = Known::unknown;  ///< absent: bytes that are none of AppProtocol.
  AppProtocol app{};

  /// TLS or QUIC server name, HTTP host or DNS query name; canonical (HostName::assign).
  Known name_known = Known::unknown;
  std::string_view name;

  Known alpns_known = Known::unknown;  ///< absent: the hello offers none.
  std::span<const std::string_view> alpns;
  Known ja4_known = Known::unknown;
  std::string_view ja4;
  Known ech_known = Known::unknown;  ///< present: the hello carries encrypted_client_hello.

  Known method_known = Known::unknown;
  std::string_view method;  ///< Case matters (RFC 9110 section 9.1).
  Known path_known = Known::unknown;
  std::string_view path;  ///< Without query; starts with '/'.
  /// present: `headers` holds every field that the table asks for and the request has.
  Known headers_known = Known::unknown;
  std::span<const HttpHeader> headers;

  /// present: a trusted resolver gave `destination` for `name`. absent: none did.
  Known binding_known = Known::unknown;
  /// The budget of the rule that decides, in the scope of this flow, is spent.
  bool budget_spent = false;
};

inline constexpr uint8_t kIpProtocolIcmp = 1;
inline constexpr uint8_t kIpProtocolTcp = 6;
inline constexpr uint8_t kIpProtocolUdp = 17;
inline constexpr uint8_t kIpProtocolIcmpV6 = 58;

/// "tls", "quic", "http", "dns".
std::string_view to_string(AppProtocol app) noexcept;

}  // namespace sallyport
