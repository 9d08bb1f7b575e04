#include "dataplane/inspect/quic_crypto.h"

#include <algorithm>
#include <string_view>

namespace sallyport {
namespace {

constexpr size_t kTagBytes = 16;
constexpr size_t kMaxNumberBytes = 4;

// HKDF-Expand-Label of RFC 8446 section 7.1 with an empty context. One block of HMAC is all that
// any QUIC label asks for.
template <size_t kBytes>
std::array<uint8_t, kBytes> expand_label(const HmacSha256& secret, std::string_view prefix,
                                         std::string_view label) noexcept {
  static_assert(kBytes <= Sha256::kBytes);
  constexpr std::string_view kTls = "tls13 ";
  std::array<uint8_t, 40> info;
  size_t size = 0;
  const auto put = [&](uint8_t byte) { info[size++] = byte; };
  put(0);
  put(kBytes);
  put(static_cast<uint8_t>(kTls.size() + prefix.size() + label.size()));
  for (const auto part : {kTls, prefix, label}) {
    for (const char c : part) put(static_cast<uint8_t>(c));
  }
  put(0);  // no context
  put(1);  // the first block of HKDF-Expand (RFC 5869 section 2.3)
  const auto block = secret.of(std::span(info).first(size));
  std::array<uint8_t, kBytes> out;
  std::copy_n(block.begin(), kBytes, out.begin());
  return out;
}

// RFC 9000 appendix A.3: the number closest to the one expected that ends in the bits sent.
uint64_t full_packet_number(uint64_t expected, uint64_t truncated, size_t bytes) noexcept {
  const uint64_t window = uint64_t{1} << (bytes * 8);
  const uint64_t candidate = (expected & ~(window - 1)) | truncated;
  if (candidate + window / 2 <= expected && candidate < (uint64_t{1} << 62) - window) {
    return candidate + window;
  }
  if (candidate > expected + window / 2 && candidate >= window) return candidate - window;
  return candidate;
}

QuicKeys initial_keys(const QuicVersion& version, std::span<const uint8_t> destination_id,
                      std::string_view side) noexcept {
  const HmacSha256 initial(HmacSha256(version.salt).of(destination_id));
  const HmacSha256 secret(expand_label<Sha256::kBytes>(initial, "", side));
  return {.key = expand_label<16>(secret, version.label, "key"),
          .iv = expand_label<12>(secret, version.label, "iv"),
          .header_protection = expand_label<16>(secret, version.label, "hp")};
}

}  // namespace

QuicKeys client_initial_keys(const QuicVersion& version,
                             std::span<const uint8_t> destination_id) noexcept {
  return initial_keys(version, destination_id, "client in");
}

QuicKeys server_initial_keys(const QuicVersion& version,
                             std::span<const uint8_t> destination_id) noexcept {
  return initial_keys(version, destination_id, "server in");
}

QuicCipher::QuicCipher() noexcept : header_(EVP_CIPHER_CTX_new()), payload_(EVP_CIPHER_CTX_new()) {
  ready_ = header_ != nullptr && payload_ != nullptr &&
           EVP_EncryptInit_ex2(header_.get(), EVP_aes_128_ecb(), nullptr, nullptr, nullptr) == 1 &&
           EVP_CIPHER_CTX_set_padding(header_.get(), 0) == 1 &&
           EVP_DecryptInit_ex2(payload_.get(), EVP_aes_128_gcm(), nullptr, nullptr, nullptr) == 1;
}

bool QuicCipher::mask(const QuicKeys& keys, std::span<const uint8_t> sample,
                      std::array<uint8_t, 16>& out) noexcept {
  int size = 0;
  return EVP_EncryptInit_ex2(header_.get(), nullptr, keys.header_protection.data(), nullptr,
                             nullptr) == 1 &&
         EVP_EncryptUpdate(header_.get(), out.data(), &size, sample.data(), 16) == 1;
}

bool QuicCipher::decrypt(const QuicKeys& keys, const Sealed& sealed, uint64_t packet_number,
                         std::span<uint8_t> out) noexcept {
  auto nonce = keys.iv;
  for (size_t i = 0; i < 8; ++i) {
    nonce[nonce.size() - 1 - i] ^= static_cast<uint8_t>(packet_number >> (8 * i));
  }
  EVP_CIPHER_CTX* const context = payload_.get();
  if (EVP_DecryptInit_ex2(context, nullptr, keys.key.data(), nonce.data(), nullptr) != 1) {
    return false;
  }
  // The associated data is the header with its protection off: the datagram is only read, so it
  // goes in as three pieces.
  int size = 0;
  const auto add = [&](std::span<const uint8_t> bytes) {
    return EVP_DecryptUpdate(context, nullptr, &size, bytes.data(),
                             static_cast<int>(bytes.size())) == 1;
  };
  const std::span start(sealed.clear_start);
  if (!add(start.first(1)) || !add(sealed.header.subspan(1)) ||
      !add(start.subspan(1, sealed.number_bytes))) {
    return false;
  }
  if (!sealed.ciphertext.empty() &&
      EVP_DecryptUpdate(context, out.data(), &size, sealed.ciphertext.data(),
                        static_cast<int>(sealed.ciphertext.size())) != 1) {
    return false;
  }
  // OpenSSL only reads the tag, whatever its signature says.
  auto* const tag = const_cast<uint8_t*>(sealed.tag.data());
  return EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, kTagBytes, tag) == 1 &&
         EVP_DecryptFinal_ex(context, out.data() + sealed.ciphertext.size(), &size) == 1;
}

OpenedPacket QuicCipher::open(const QuicKeys& keys, std::span<const uint8_t> packet,
                              size_t packet_number_offset, uint64_t next_packet_number,
                              std::span<uint8_t> out) noexcept {
  const auto body = packet.subspan(packet_number_offset);
  std::array<uint8_t, 16> mask_bytes;
  if (!ready_ || body.size() < kMaxNumberBytes + 16 || out.size() < packet.size() ||
      !mask(keys, body.subspan(kMaxNumberBytes, 16), mask_bytes)) {
    return {};
  }
  Sealed sealed{};
  sealed.clear_start[0] = static_cast<uint8_t>(packet[0] ^ (mask_bytes[0] & 0x0f));
  sealed.number_bytes = (sealed.clear_start[0] & 3) + size_t{1};
  if (body.size() < sealed.number_bytes + kTagBytes) return {};
  uint64_t truncated = 0;
  for (size_t i = 0; i < sealed.number_bytes; ++i) {
    sealed.clear_start[1 + i] = body[i] ^ mask_bytes[1 + i];
    truncated = truncated << 8 | sealed.clear_start[1 + i];
  }
  sealed.header = packet.first(packet_number_offset);
  const auto payload = body.subspan(sealed.number_bytes);
  sealed.ciphertext = payload.first(payload.size() - kTagBytes);
  sealed.tag = payload.last(kTagBytes);

  // A server that missed packets may expect another number than we do. A client that has had no
  // acknowledgement sends enough bits to start from zero (RFC 9000 section 17.1): tried second.
  const uint64_t number = full_packet_number(next_packet_number, truncated, sealed.number_bytes);
  OpenedPacket opened{.first_byte = sealed.clear_start[0], .packet_number = number};
  opened.ok = decrypt(keys, sealed, number, out);
  if (!opened.ok && number != truncated) {
    opened.packet_number = truncated;
    opened.ok = decrypt(keys, sealed, truncated, out);
  }
  opened.payload = out.first(sealed.ciphertext.size());
  return opened;
}

}  // namespace sallyport
