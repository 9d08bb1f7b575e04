#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/inspect/identify.h"

namespace sallyport {

inline constexpr size_t kMaxTlsRecordBytes = size_t{1} << 14;  ///< RFC 8446 section 5.1, plaintext.
inline constexpr size_t kHandshakeHeaderBytes = 4;

/// A content type of RFC 8446 section 5.1: change_cipher_spec (20) to application_data (23).
inline bool is_tls_content_type(uint8_t type) noexcept {
  return type >= 20 && type <= 23;
}

/// Whether a stream that starts so is TLS. Any record type and any version that some server lets
/// pass counts: what is odd about it is a fault of TLS, not another protocol. SSL 2.0 hellos start
/// otherwise and are not TLS here.
inline bool starts_like_tls(std::span<const uint8_t> prefix) noexcept {
  return prefix.size() >= 2 && is_tls_content_type(prefix[0]) && prefix[1] < 0x10;
}

/// One ClientHello taken out of the records that carry it.
struct FramedHello {
  Identified::Status status = Identified::Status::need_more;
  InspectFault fault = InspectFault::none;
  size_t need_bytes = 0;          ///< With need_more: no shorter prefix says more.
  std::span<const uint8_t> body;  ///< With done: the message behind its 4-byte handshake header.
  size_t end = 0;                 ///< With done: where its last record ends.
};

/// Finds the ClientHello at the start of a TLS stream, over any number of records and any cut.
///
/// @param prefix   A stream for which starts_like_tls() holds. Borrowed.
/// @param scratch  Takes a hello that lies in more than one record.
/// @return         `body` borrows `prefix` when one record holds the hello, else `scratch`.
///
/// Faults: tls_bad_record, tls_not_client_hello, tls_hello_too_long, and tls_trailing_bytes when
/// the record goes on behind the hello: nothing may follow it before the server has answered.
[[nodiscard]] FramedHello frame_client_hello(std::span<const uint8_t> prefix,
                                             IdentifyScratch& scratch) noexcept;

/// What stands next behind a ClientHello in what the client sends.
struct NextHello {
  enum class Status : uint8_t {
    need_more,  ///< Call again with at least `need_bytes`.
    skip,       ///< `end` bytes hold no hello; call again with what stands behind them.
    hello,      ///< Another ClientHello: `body`, and `end` where its last record ends.
    over,       ///< Another handshake message: no ClientHello can follow in the clear.
    fault,      ///< As in frame_client_hello().
  };
  Status status = Status::need_more;
  InspectFault fault = InspectFault::none;
  size_t need_bytes = 0;
  std::span<const uint8_t> body;
  /// With skip it may lie past the bytes given: those still to come hold no hello either.
  size_t end = 0;
};

/// Looks for the next plaintext ClientHello: the one that answers a HelloRetryRequest, with change
/// cipher spec or early data before it (RFC 8446 sections 4.1.2, 4.2.10, D.4), or one that a client
/// sends for no good reason.
///
/// @param stream   From a record boundary: Identified::hello_end, or `end` of the call before.
/// @param scratch  Takes a hello that lies in more than one record.
///
/// Call it until read_server_answer() tells of a ServerHello: after that, records of type handshake
/// are encrypted, and nothing in them can be a hello.
[[nodiscard]] NextHello next_client_hello(std::span<const uint8_t> stream,
                                          IdentifyScratch& scratch) noexcept;

/// What a server's first bytes say about its client's hello.
enum class ServerAnswer : uint8_t {
  need_more,
  hello_retry_request,  ///< Another ClientHello comes, and decides (RFC 8446 section 4.1.4).
  server_hello,         ///< The hello was taken: no further one can come in the clear.
  other,                ///< An alert, or not TLS.
};

/// @param prefix  The server's stream from its first byte, or from the record behind the
///                HelloRetryRequest. 43 bytes are enough when it lies in one record.
[[nodiscard]] ServerAnswer read_server_answer(std::span<const uint8_t> prefix) noexcept;

}  // namespace sallyport
