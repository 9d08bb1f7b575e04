#pragma once

#include <cstdint>
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
enum class AppProtocol : uint8_t { tls, http, count_ };

/// Everything decide() may look at for one flow. A plain view: whoever fills it owns the name's
/// bytes and keeps them for the length of the call.
struct FlowFacts {
  IpAddress source;               ///< The inside end.
  IpAddress destination;          ///< The outside end.
  uint8_t ip_protocol = 0;        ///< IANA protocol number: 6 TCP, 17 UDP, …
  uint16_t destination_port = 0;  ///< Host order; 0 where the protocol has no ports.

  Known app_known = Known::unknown;  ///< absent: bytes that are none of AppProtocol.
  AppProtocol app{};

  Known name_known = Known::unknown;
  std::string_view name;  ///< Canonical (HostName::assign). TLS server name or HTTP host.
};

inline constexpr uint8_t kIpProtocolIcmp = 1;
inline constexpr uint8_t kIpProtocolTcp = 6;
inline constexpr uint8_t kIpProtocolUdp = 17;
inline constexpr uint8_t kIpProtocolIcmpV6 = 58;

/// "tls", "http".
std::string_view to_string(AppProtocol app) noexcept;

}  // namespace sallyport
