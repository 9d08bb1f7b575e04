#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/inspect/client_hello.h"
#include "policy/runtime/facts.h"
#include "policy/runtime/host_name.h"

namespace sallyport {

/// What stands wrong in a client's first bytes. Each denies the flow (exception `malformed`) and
/// has a counter of its own.
enum class InspectFault : uint8_t {
  none,
  tls_bad_record,           ///< Record type, version or length that RFC 8446 section 5.1 forbids.
  tls_not_client_hello,     ///< A first handshake message that is no ClientHello.
  tls_hello_too_long,       ///< Over kMaxHelloBytes (QUIC: over what is held), or over one of the
                            ///< limits of client_hello.h.
  tls_truncated,            ///< A length runs past its block, or the stream ends in the hello.
  tls_trailing_bytes,       ///< Bytes behind the last field, or behind the hello in its record.
  tls_duplicate_extension,  ///< The same extension twice (RFC 8446 section 4.2).
  tls_bad_server_name,      ///< Not exactly one host_name that is a host name (RFC 6066 section 3).
  tls_bad_extension,        ///< ALPN, versions, groups, formats or signatures break their lists.
  http_bad_request_line,    ///< RFC 9112 section 3.
  http_bad_header,          ///< Bare LF or CR, folding, space before ':', any other line RFC 9112
                            ///< section 5 forbids; or the stream ends in the head.
  http_head_too_long,       ///< Request head over kMaxRequestHeadBytes.
  http_bad_host,            ///< Missing in HTTP/1.1, twice, or no host name (RFC 9112 section 3.2).
  http_host_conflict,       ///< The target or :authority and the Host field name different hosts.
  http_bad_path,            ///< A path that servers decode in different ways (http_path.h).
  http_bad_length,          ///< Content-Length that is doubled, no number, or beside a coding.
  http_bad_transfer_coding,  ///< Transfer-Encoding that is not exactly "chunked".
  http_bad_chunk,            ///< Chunk framing or trailers that RFC 9112 section 7.1 forbids.
  http_many_fields,          ///< Over kMaxHttpHeaderLines lines of fields the policy asks for.
  http_upgrade_refused,      ///< An upgrade to anything but websocket, h2c before all.
  http_early_tunnel,         ///< CONNECT or an upgrade before all earlier answers have ended.
  http_request_in_body,      ///< A body that few servers read, and that begins like a request.
  http2_bad_frame,           ///< A frame RFC 9113 section 6 forbids where it stands.
  http2_bad_continuation,    ///< CONTINUATION alone, or a header block that others interrupt.
  http2_headers_too_long,    ///< A header block over kMaxRequestHeadBytes, or long once decoded.
  http2_bad_header_block,    ///< HPACK that does not decode, or not in the memory of a connection.
  http2_bad_pseudo_header,   ///< Missing, doubled, unknown or misplaced (RFC 9113 section 8.3).
  http2_bad_field,           ///< A field RFC 9113 section 8.2 forbids.
  quic_bad_header,           ///< A long header that RFC 9000 section 17.2 forbids a client.
  quic_unknown_version,      ///< A QUIC version whose Initial keys are not known here.
  quic_bad_packet,           ///< An Initial that no key opens (RFC 9001 section 5.2).
  quic_too_many_packets,     ///< Over kMaxQuicPackets in one datagram.
  quic_mixed_connections,    ///< Two connection ids in one datagram (RFC 9000 section 12.2).
  quic_bad_frame,        ///< A frame that RFC 9000 section 12.4 forbids in an Initial, or no frame.
  quic_crypto_conflict,  ///< Two CRYPTO frames disagree about the same byte.
  quic_too_many_gaps,    ///< CRYPTO data in over kMaxCryptoRanges pieces.
  quic_short_datagram,   ///< An Initial in under 1,200 bytes (RFC 9000 section 14.1).
  quic_old_attempt,      ///< An Initial of an attempt that the client had given up.
  quic_other_connection,   ///< Another connection of a flow, which another rule would allow.
  quic_too_many_attempts,  ///< Over kMaxOldAttempts given up that the server may know of.
  dns_bad_header,          ///< Another opcode than QUERY, answers, or not exactly one question.
  dns_bad_question,        ///< A question of an unknown class, or whose name is compressed.
  dns_bad_name,            ///< A query name that is no host name.
  dns_bad_record,          ///< Records a query has no use for, or bytes behind the last one.
  dns_bad_length,          ///< DNS over TCP: a message too short or long, or the stream ends in it.
  count_
};

inline constexpr size_t kMaxHelloBytes = size_t{1} << 15;
inline constexpr size_t kMaxRequestHeadBytes = size_t{1} << 15;

/// Working space for identify(): one a worker, no content kept between calls.
struct IdentifyScratch {
  std::array<uint8_t, kMaxHelloBytes> handshake;  ///< A ClientHello joined across TLS records.
};

struct Identified {
  enum class Status : uint8_t {
    need_more,  ///< A prefix of something; call again with at least need_bytes.
    done,       ///< `app` and `name` are final.
    fault,      ///< `fault` says what is wrong.
  };
  Status status = Status::need_more;
  InspectFault fault = InspectFault::none;
  /// With done: present for TLS, else absent. With fault: present. With need_more it may be present
  /// already.
  Known app_known = Known::unknown;
  AppProtocol app{};
  Known name_known = Known::unknown;  ///< With done: present or absent.
  uint32_t need_bytes = 0;            ///< With need_more: a length the prefix must reach first.
  /// With done and app tls: where the record that ends the ClientHello ends. What a client sends
  /// from there on is for next_client_hello().
  uint32_t hello_end = 0;
  HostName name;
  /// With done and app tls, and with fault tls_bad_server_name. Borrows the prefix or the scratch:
  /// good until either changes.
  ClientHello hello;
};

/// Looks for the TLS hello that a client's stream starts with, on any port. A stream that starts
/// otherwise is app absent: it may still be another protocol.
///
/// @param prefix   The client's stream from its first byte, in order, without a gap. Borrowed.
/// @param ended    The client has sent FIN right after `prefix`: nothing more can come.
/// @param scratch  Any content; overwritten.
/// @param out      Overwritten.
///
/// Stateless: call it again with a longer prefix. For every split of the same stream the final
/// answer is the same (tested as a property). Cost: one pass. Never allocates, logs or throws.
void identify(std::span<const uint8_t> prefix, bool ended, IdentifyScratch& scratch,
              Identified& out) noexcept;

}  // namespace sallyport
