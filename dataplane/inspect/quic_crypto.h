#pragma once

#include <openssl/evp.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "dataplane/inspect/digest.h"
#include "dataplane/inspect/quic_version.h"

namespace sallyport {

/// What one end protects its Initial packets with (RFC 9001 section 5.1).
struct QuicKeys {
  std::array<uint8_t, 16> key;
  std::array<uint8_t, 12> iv;
  std::array<uint8_t, 16> header_protection;
};

/// The keys of a client whose first Initial carried `destination_id` (RFC 9001 section 5.2).
/// Costs 16 blocks of SHA-256; never allocates.
QuicKeys client_initial_keys(const QuicVersion& version,
                             std::span<const uint8_t> destination_id) noexcept;

/// Those of the server that answers it.
QuicKeys server_initial_keys(const QuicVersion& version,
                             std::span<const uint8_t> destination_id) noexcept;

/// One Initial packet without its protection.
struct OpenedPacket {
  bool ok = false;  ///< False when the keys do not open it; nothing else holds then.
  uint8_t first_byte = 0;
  uint64_t packet_number = 0;
  std::span<const uint8_t> payload;  ///< In the buffer given.
};

/// AES as QUIC uses it, with contexts made once. One a worker: not for several threads.
class QuicCipher {
 public:
  QuicCipher() noexcept;

  /// False when OpenSSL gave no contexts; open() then opens nothing.
  bool ready() const noexcept { return ready_; }

  /// Takes header protection and AEAD off one packet (RFC 9001 sections 5.3, 5.4). Allocates
  /// nothing: OpenSSL keeps its contexts' memory.
  ///
  /// @param packet                All of it, as read_quic_header() delimits it. Only read.
  /// @param packet_number_offset  From the same; at least 20 bytes of `packet` follow.
  /// @param next_packet_number    One more than the highest opened so far (RFC 9000 appendix A.3).
  /// @param out                   At least as long as `packet`.
  OpenedPacket open(const QuicKeys& keys, std::span<const uint8_t> packet,
                    size_t packet_number_offset, uint64_t next_packet_number,
                    std::span<uint8_t> out) noexcept;

 private:
  struct Free {
    void operator()(EVP_CIPHER_CTX* context) const noexcept { EVP_CIPHER_CTX_free(context); }
  };
  using Context = std::unique_ptr<EVP_CIPHER_CTX, Free>;

  /// Everything of one packet but the number's upper bits, which the nonce needs.
  struct Sealed {
    std::array<uint8_t, 5> clear_start;  ///< First byte and packet number, unmasked.
    size_t number_bytes;
    std::span<const uint8_t> header;  ///< Up to the packet number.
    std::span<const uint8_t> ciphertext;
    std::span<const uint8_t> tag;
  };
  bool mask(const QuicKeys& keys, std::span<const uint8_t> sample,
            std::array<uint8_t, 16>& out) noexcept;
  bool decrypt(const QuicKeys& keys, const Sealed& sealed, uint64_t packet_number,
               std::span<uint8_t> out) noexcept;

  Context header_;
  Context payload_;
  bool ready_ = false;
};

}  // namespace sallyport
