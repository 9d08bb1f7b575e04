#include "tests/support/quic_builder.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include <memory>
#include <stdexcept>
#include <string>

namespace sallyport::test {
namespace {

void require(bool holds) {
  if (!holds) throw std::runtime_error("OpenSSL failed");
}

Bytes hkdf_expand(const Bytes& key, const Bytes& info, size_t size) {
  const std::unique_ptr<EVP_KDF, decltype(&EVP_KDF_free)> kdf(
      EVP_KDF_fetch(nullptr, "HKDF", nullptr), &EVP_KDF_free);
  const std::unique_ptr<EVP_KDF_CTX, decltype(&EVP_KDF_CTX_free)> context(
      EVP_KDF_CTX_new(kdf.get()), &EVP_KDF_CTX_free);
  int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
  std::string digest = "SHA256";
  Bytes key_copy = key;
  Bytes info_copy = info;
  const OSSL_PARAM params[] = {
      OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest.data(), 0),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, key_copy.data(), key_copy.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info_copy.data(), info_copy.size()),
      OSSL_PARAM_construct_end()};
  Bytes out(size);
  require(EVP_KDF_derive(context.get(), out.data(), size, params) == 1);
  return out;
}

// HKDF-Extract is an HMAC. The KDF above takes no empty key, which a connection id may be.
Bytes hkdf_extract(const Bytes& salt, const Bytes& key) {
  Bytes out(32);
  require(HMAC(EVP_sha256(), salt.data(), static_cast<int>(salt.size()), key.data(), key.size(),
               out.data(), nullptr) != nullptr);
  return out;
}

Bytes expand_label(const Bytes& secret, const std::string& label, size_t size) {
  Bytes info;
  put16(info, size);
  append(info, block(bytes_of("tls13 " + label), 1));
  info.push_back(0);
  return hkdf_expand(secret, info, size);
}

Bytes salt_of(uint32_t version) {
  switch (version) {
    case 0x6b3343cf:
      return {0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93,
              0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb, 0xf9, 0xbd, 0x2e, 0xd9};
    case 0xff00001d:
      return {0xaf, 0xbf, 0xec, 0x28, 0x99, 0x93, 0xd2, 0x4c, 0x9e, 0x97,
              0x86, 0xf1, 0x9c, 0x61, 0x11, 0xe0, 0x43, 0x90, 0xa8, 0x99};
    default:
      return {0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17,
              0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a};
  }
}

using Context = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;

Bytes seal(const InitialKeys& keys, uint64_t number, const Bytes& header, const Bytes& plain) {
  Bytes nonce = keys.iv;
  for (size_t i = 0; i < 8; ++i) nonce[11 - i] ^= static_cast<uint8_t>(number >> (8 * i));
  const Context context(EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free);
  Bytes out(plain.size() + 16);
  int size = 0;
  require(EVP_EncryptInit_ex(context.get(), EVP_aes_128_gcm(), nullptr, keys.key.data(),
                             nonce.data()) == 1);
  require(EVP_EncryptUpdate(context.get(), nullptr, &size, header.data(),
                            static_cast<int>(header.size())) == 1);
  require(EVP_EncryptUpdate(context.get(), out.data(), &size, plain.data(),
                            static_cast<int>(plain.size())) == 1);
  require(EVP_EncryptFinal_ex(context.get(), out.data() + plain.size(), &size) == 1);
  require(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, 16,
                              out.data() + plain.size()) == 1);
  return out;
}

void protect_header(const InitialKeys& keys, Bytes& packet, size_t number_at, size_t number_bytes) {
  const Context context(EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free);
  Bytes mask(16);
  int size = 0;
  require(EVP_EncryptInit_ex(context.get(), EVP_aes_128_ecb(), nullptr, keys.hp.data(), nullptr) ==
          1);
  require(EVP_EncryptUpdate(context.get(), mask.data(), &size, packet.data() + number_at + 4, 16) ==
          1);
  packet[0] ^= static_cast<uint8_t>(mask[0] & 0x0f);
  for (size_t i = 0; i < number_bytes; ++i) packet[number_at + i] ^= mask[1 + i];
}

}  // namespace

InitialKeys initial_keys(uint32_t version, const Bytes& first_id, std::string_view side) {
  const Bytes initial = hkdf_extract(salt_of(version), first_id);
  const Bytes secret = expand_label(initial, std::string(side) + " in", 32);
  const std::string prefix = version == 0x6b3343cf ? "quicv2 " : "quic ";
  return {expand_label(secret, prefix + "key", 16), expand_label(secret, prefix + "iv", 12),
          expand_label(secret, prefix + "hp", 16)};
}

Bytes varint(uint64_t value, size_t width) {
  if (width == 0) width = value < 64 ? 1 : value < 16384 ? 2 : value < (1U << 30) ? 4 : 8;
  Bytes out;
  put(out, value, width);
  out[0] |= static_cast<uint8_t>((width == 1 ? 0 : width == 2 ? 1 : width == 4 ? 2 : 3) << 6);
  return out;
}

Bytes crypto_frame(uint64_t offset, const Bytes& data) {
  return Bytes{6} + varint(offset) + varint(data.size()) + data;
}

Bytes ack_frame(uint64_t largest) {
  return Bytes{2} + varint(largest) + varint(300) + varint(1) + varint(0) + varint(1) + varint(2);
}

std::vector<Bytes> crypto_frames(const Bytes& message, const std::vector<size_t>& cuts) {
  std::vector<Bytes> out;
  size_t at = 0;
  const auto take = [&](size_t end) {
    out.push_back(crypto_frame(at, {message.begin() + static_cast<std::ptrdiff_t>(at),
                                    message.begin() + static_cast<std::ptrdiff_t>(end)}));
    at = end;
  };
  for (const size_t cut : cuts) take(cut);
  take(message.size());
  return out;
}

InitialBuilder::InitialBuilder(Bytes frames)
    : frames_(std::move(frames)), destination_(from_hex("8394c8f03e515708")) {}

Bytes InitialBuilder::packet() const {
  const uint8_t type = version_ == 0x6b3343cf ? 1 : 0;
  Bytes header;
  put8(header, (0xc0U | type << 4 | (number_bytes_ - 1)) ^ flipped_);
  put32(header, version_);
  append(header, block(destination_, 1) + block(source_, 1));
  append(header, varint(token_.size()) + token_);
  Bytes plain = frames_;
  const size_t rest = header.size() + 2 + number_bytes_ + 16;
  if (pad_to_ > rest + plain.size()) plain.resize(pad_to_ - rest, 0);
  append(header, varint(number_bytes_ + plain.size() + 16, 2));
  const size_t number_at = header.size();
  put(header, number_, number_bytes_);
  const InitialKeys keys = initial_keys(version_, has_first_id_ ? first_id_ : destination_, side_);
  Bytes out = header + seal(keys, number_, header, plain);
  if (bad_tag_) out.back() ^= 1;
  protect_header(keys, out, number_at, number_bytes_);
  return out;
}

Bytes long_packet(uint8_t type, const Bytes& destination, const Bytes& payload, uint32_t version) {
  Bytes out;
  put8(out, 0xc0U | type << 4);
  put32(out, version);
  return out + block(destination, 1) + block({}, 1) + varint(payload.size(), 2) + payload;
}

Bytes unnumbered_packet(uint8_t first_byte, uint32_t version, const Bytes& destination,
                        const Bytes& source, const Bytes& rest) {
  Bytes out{first_byte};
  put32(out, version);
  return out + block(destination, 1) + block(source, 1) + rest;
}

}  // namespace sallyport::test
