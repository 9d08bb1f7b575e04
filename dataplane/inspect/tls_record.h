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

}  // namespace sallyport
