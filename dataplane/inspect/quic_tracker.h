#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "dataplane/inspect/client_hello.h"
#include "dataplane/inspect/crypto_stream.h"
#include "dataplane/inspect/identify.h"
#include "dataplane/inspect/quic_crypto.h"
#include "dataplane/inspect/quic_header.h"
#include "policy/runtime/host_name.h"

namespace sallyport {

/// What a flow holds of its hellos. RFC 9000 section 7.5 asks for 4096; the largest hellos, with
/// two post-quantum shares and a ticket, stay under that.
inline constexpr size_t kMaxQuicHelloBytes = 8192;
inline constexpr size_t kMaxQuicPackets = 16;  ///< In one datagram.
/// Connection attempts of one flow that were given up and are remembered.
inline constexpr size_t kMaxOldAttempts = 8;

/// One connection attempt of a UDP flow: the client's Initials under one first connection id. Keep
/// it as long as the flow may send Initials. Trivially copyable; a new one is `QuicTracker{}`.
struct QuicTracker {
  uint32_t version = 0;  ///< Of the last Initial opened; 0 before the first.
  uint8_t first_id_bytes = 0;
  std::array<uint8_t, kMaxConnectionIdBytes> first_id{};  ///< What the keys are made of.
  bool server_took_hello = false;                         ///< quic_server_datagram() saw it.
  uint8_t hellos = 0;         ///< Whole hellos of this attempt; stops at 255.
  uint16_t next_message = 0;  ///< Offset of what follows the last of them.
  uint64_t next_packet_number = 0;
  /// Of the connection id that the server answers this attempt by; 0 before it did. Only it knows
  /// the first id, and so has the keys of the answer that said so.
  uint64_t server_id_hash = 0;
  /// Attempts given up whose hello the server may have in part: it would join to that what came
  /// under the same id later, while here each attempt is read for itself.
  std::array<uint64_t, kMaxOldAttempts> old_attempts{};
  uint8_t old_attempt_count = 0;
  QuicKeys keys{};
  CryptoStream crypto;

  bool started() const noexcept { return version != 0; }
  /// A hello has begun and not ended, or none has begun.
  bool in_hello() const noexcept { return hellos == 0 || crypto.end() > next_message; }
  /// Makes room for another attempt, and remembers this one.
  /// @return  false, with nothing changed, when there are too many to remember.
  bool give_up() noexcept;
};
static_assert(std::is_trivially_copyable_v<QuicTracker>);
static_assert(sizeof(QuicTracker) <= 512);

/// Working space of quic_step(): one a worker, no content kept between calls.
struct QuicScratch {
  QuicCipher cipher;
  std::array<uint8_t, size_t{1} << 16> payload;  ///< Of the packet being read.
};

/// What one datagram of a client did.
struct QuicStep {
  enum class Status : uint8_t {
    not_quic,     ///< The flow's first datagram, or one like it: no QUIC. Nothing has changed.
    need_more,    ///< Part of a hello, or from before one: hold it.
    hello,        ///< A ClientHello is whole: decide, by `name` and `hello`, for this datagram and
                  ///< those held before it.
    nothing_new,  ///< What was decided by the last hello holds for it.
    unreadable,  ///< Something in it that we cannot read: `fault` says what. It must not go on. The
                 ///< flow may: anyone can send such a datagram, and a server throws it away.
    fault,       ///< The client itself broke the protocol; the flow is malformed.
  };
  Status status = Status::not_quic;
  InspectFault fault = InspectFault::none;  ///< With unreadable and fault.
  /// The datagram starts another connection attempt (Retry, another version, or a client that gave
  /// up). Datagrams still held for the attempt before must not go out by this one's verdict, nor
  /// ever: of an attempt whose hello never became whole nothing is remembered.
  bool new_attempt = false;
  uint32_t version = 0;  ///< The datagram's, where it has a long header.
  HostName name;         ///< With hello; empty as with parse_client_hello().
  ClientHello hello;     ///< With hello, and with fault tls_bad_server_name. Borrows `hello_bytes`.
};

/// Reads one datagram that the client sent.
///
/// @param datagram     UDP payload. Only read.
/// @param tracker      Of its flow; changed.
/// @param hello_bytes  What the flow holds of its hellos: the same memory at every call, at most
///                     65,535 bytes, better kMaxQuicHelloBytes. Once tracker.server_took_hello it
///                     may be let go: give any other then, and keep that one if the tracker says
///                     after the call that the server has not.
/// @param out          Overwritten.
///
/// CRYPTO frames may come in any order and number of packets and datagrams. Bytes that have come
/// once may only come again as they were. Never allocates, logs or throws. Cost: a key derivation
/// (16 blocks of SHA-256) at each new connection id, and AES over each Initial.
void quic_step(std::span<const uint8_t> datagram, QuicTracker& tracker,
               std::span<uint8_t> hello_bytes, QuicScratch& scratch, QuicStep& out) noexcept;

/// What a datagram of the server says to someone without its keys.
enum class QuicAnswer : uint8_t {
  nothing,
  version_negotiation,  ///< The client will start again in another version, or give up.
  retry,                ///< The client will start again with a token and a new connection id.
  handshake,            ///< The server has taken the hello.
};

/// Looks at a datagram the server sent. Once it has sent a Handshake packet, hellos that came whole
/// need not be compared with what comes again: it has them (RFC 9001 section 4.1.4). That goes for
/// the attempt that the Handshake packet answers: it comes with an Initial under that one's keys,
/// or from the connection id that such an Initial came from.
QuicAnswer quic_server_datagram(std::span<const uint8_t> datagram, QuicTracker& tracker,
                                QuicScratch& scratch) noexcept;

/// Whether a server throws the datagram away because it carries an Initial and is too short (RFC
/// 9000 section 14.1). Read, it could stand for what the server does read.
bool is_short_initial(std::span<const uint8_t> datagram) noexcept;

/// Whether its Initials belong to the attempt and carry nothing of a hello: some clients send
/// acknowledgements so, with the end of their handshake, and whether a server takes them makes no
/// difference to what it reads.
bool says_nothing_of_hello(std::span<const uint8_t> datagram, const QuicTracker& tracker,
                           QuicScratch& scratch) noexcept;

}  // namespace sallyport
