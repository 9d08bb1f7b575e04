#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/inspect/identify.h"
#include "policy/runtime/host_name.h"

namespace sallyport {

/// More extensions than any client sends; GREASE and all, browsers stay under 25.
inline constexpr size_t kMaxHelloExtensions = 64;

/// Reads the server name out of one ClientHello (RFC 8446 section 4.1.2, RFC 6066 section 3).
///
/// @param body  The handshake message behind its 4-byte header, whole. Borrowed for the call.
/// @param name  The canonical server name; left empty when the client sent none, or sent an address
///              where RFC 6066 wants a name, as some clients do.
/// @return      none, tls_truncated, tls_trailing_bytes, tls_duplicate_extension,
///              tls_bad_server_name, or tls_hello_too_long for over kMaxHelloExtensions.
///
/// Cost: one pass over the extensions.
[[nodiscard]] InspectFault parse_client_hello(std::span<const uint8_t> body,
                                              HostName& name) noexcept;

}  // namespace sallyport
