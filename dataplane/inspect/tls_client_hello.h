#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/inspect/client_hello.h"
#include "dataplane/inspect/identify.h"
#include "policy/runtime/host_name.h"

namespace sallyport {

/// Reads one ClientHello (RFC 8446 section 4.1.2, RFC 6066 section 3, RFC 7301 section 3.1).
///
/// @param body   The handshake message behind its 4-byte header, whole. `hello` borrows it.
/// @param hello  Overwritten; of use only without a fault, or with tls_bad_server_name, which is
///               reported when all else is good.
/// @param name   The canonical server name; left empty when the client sent none, or sent an
/// address
///               where RFC 6066 wants a name, as some clients do.
/// @return       none, tls_truncated, tls_trailing_bytes, tls_duplicate_extension,
///               tls_bad_server_name, tls_bad_extension, or tls_hello_too_long for over
///               kMaxHelloExtensions, kMaxHelloAlpns or kMaxHelloCiphers.
///
/// Cost: one pass over the extensions. Fingerprints are made on demand (fingerprint.h).
[[nodiscard]] InspectFault parse_client_hello(std::span<const uint8_t> body, ClientHello& hello,
                                              HostName& name) noexcept;

}  // namespace sallyport
