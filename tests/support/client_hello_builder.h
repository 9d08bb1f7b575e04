#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/support/bytes.h"

namespace sallyport::test {

/// Builds ClientHellos field by field, so that a test names only what it is about.
class HelloBuilder {
 public:
  HelloBuilder& extension(uint16_t type, const Bytes& data) {
    put16(extensions_, type);
    append(extensions_, block(data, 2));
    return *this;
  }

  HelloBuilder& sni(std::string_view name) {
    return extension(0, block(Bytes{0} + block(bytes_of(name), 2), 2));
  }

  HelloBuilder& session(size_t bytes) {
    session_bytes_ = bytes;
    return *this;
  }

  HelloBuilder& ciphers(size_t suites) {
    cipher_suites_ = suites;
    return *this;
  }

  /// These cipher suites, in place of ciphers().
  HelloBuilder& suites(const std::vector<uint16_t>& list) {
    suites_ = values16(list);
    return *this;
  }

  HelloBuilder& legacy_version(uint16_t version) {
    legacy_version_ = version;
    return *this;
  }

  HelloBuilder& alpn(const std::vector<std::string_view>& names) {
    Bytes list;
    for (const auto name : names) append(list, block(bytes_of(name), 1));
    return extension(16, block(list, 2));
  }

  HelloBuilder& versions(const std::vector<uint16_t>& list) {
    return extension(43, block(values16(list), 1));
  }

  HelloBuilder& groups(const std::vector<uint16_t>& list) {
    return extension(10, block(values16(list), 2));
  }

  HelloBuilder& signatures(const std::vector<uint16_t>& list) {
    return extension(13, block(values16(list), 2));
  }

  HelloBuilder& trailing(Bytes bytes) {
    trailing_ = std::move(bytes);
    return *this;
  }

  /// ClientHello without its handshake header.
  Bytes body() const {
    Bytes out;
    put16(out, legacy_version_);
    append(out, Bytes(32, 0xaa));  // random
    append(out, block(Bytes(session_bytes_, 0xbb), 1));
    append(out, block(suites_.value_or(Bytes(cipher_suites_ * 2, 0x13)), 2));
    append(out, {1, 0});  // no compression
    if (!extensions_.empty()) append(out, block(extensions_, 2));
    return out + trailing_;
  }

  /// The handshake message.
  Bytes message() const { return Bytes{1} + block(body(), 3); }

  /// The message in one TLS record: what a client sends first.
  Bytes record() const;

 private:
  static Bytes values16(const std::vector<uint16_t>& list) {
    Bytes out;
    for (const uint16_t value : list) put16(out, value);
    return out;
  }

  uint16_t legacy_version_ = 0x0303;
  std::optional<Bytes> suites_;
  size_t session_bytes_ = 0;
  size_t cipher_suites_ = 1;
  Bytes extensions_;
  Bytes trailing_;
};

inline HelloBuilder hello() {
  return {};
}

inline Bytes tls_record(const Bytes& content, uint8_t type = 22, uint16_t version = 0x0301) {
  Bytes out{type};
  put16(out, version);
  return out + block(content, 2);
}

/// `content` over records of `size` bytes each.
inline Bytes tls_records(const Bytes& content, size_t size) {
  Bytes out;
  for (size_t at = 0; at < content.size(); at += size) {
    const size_t end = std::min(content.size(), at + size);
    append(out, tls_record({content.begin() + static_cast<std::ptrdiff_t>(at),
                            content.begin() + static_cast<std::ptrdiff_t>(end)}));
  }
  return out;
}

inline Bytes HelloBuilder::record() const {
  return tls_record(message());
}

/// The extensions a current browser sends, GREASE among them. `key_share_bytes` is 36 for X25519
/// alone; with X25519MLKEM768 (1216 + 32 and framing) the hello comes to 1.7 KB.
inline HelloBuilder browser_hello(std::string_view name, size_t key_share_bytes = 36) {
  HelloBuilder out;
  out.session(32).ciphers(16).extension(0x0a0a, {}).sni(name);
  out.extension(23, {}).extension(65281, {0}).extension(10, {0, 4, 0x11, 0xec, 0, 29});
  out.extension(11, {1, 0}).extension(35, {});
  out.extension(16, block(block(bytes_of("h2"), 1) + block(bytes_of("http/1.1"), 1), 2));
  out.extension(5, {1, 0, 0, 0, 0}).extension(13, block(Bytes(16, 4), 2)).extension(18, {});
  out.extension(51, block(Bytes(key_share_bytes, 0x5a), 2)).extension(45, {1, 1});
  out.extension(43, {4, 3, 4, 3, 3}).extension(27, {2, 0, 2});
  out.extension(0xfe0d, Bytes(186, 0x77)).extension(0x1a1a, {0});
  return out;
}
inline constexpr size_t kPostQuantumKeyShare = 1258;

}  // namespace sallyport::test
