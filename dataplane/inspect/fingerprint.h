#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "dataplane/inspect/client_hello.h"

namespace sallyport {

/// What carried the hello: the first letter of a JA4.
enum class HelloTransport : char { tcp = 't', quic = 'q' };

/// 32 lower-case hex digits.
struct Ja3 {
  std::array<char, 32> text;
  std::string_view view() const noexcept { return {text.data(), text.size()}; }
};

/// "t13d1516h2_8daaf6152771_e5627efa2ab1".
struct Ja4 {
  std::array<char, 36> text;
  std::string_view view() const noexcept { return {text.data(), text.size()}; }
};

/// Digests of texts that were hashed before: the clients of one node are few, and a digest costs
/// more than all else about a fingerprint. One a worker, about 50 KiB. A text is compared whole, so
/// an answer is always right; a collision only costs the older one its place.
class FingerprintCache {
 public:
  static constexpr size_t kMaxTextBytes = 384;  ///< Longer ones are hashed each time.
  using Hex = std::array<char, 32>;             ///< The first 16 bytes of the digest.

  /// @param kind  Sets apart texts of different digests.
  /// @param make  Called for the Hex of a text that is not there.
  template <typename Make>
  const Hex& find_or_make(char kind, std::string_view text, Make make) noexcept {
    Entry& entry = entries_[slot_of(text)];
    if (entry.kind != kind || entry.view() != text) {
      entry.kind = kind;
      entry.bytes = static_cast<uint16_t>(text.copy(entry.text.data(), kMaxTextBytes));
      entry.hex = make();
    }
    return entry.hex;
  }

 private:
  struct Entry {
    char kind = 0;
    uint16_t bytes = 0;
    std::array<char, kMaxTextBytes> text;
    Hex hex;
    std::string_view view() const noexcept { return {text.data(), bytes}; }
  };
  static constexpr size_t kEntries = 128;
  static size_t slot_of(std::string_view text) noexcept;

  std::array<Entry, kEntries> entries_;
};

/// The JA3 of a hello: MD5 over version, cipher suites, extensions, groups and point formats in
/// decimal, GREASE left out. For records, and so made on demand only.
Ja3 make_ja3(const ClientHello& hello) noexcept;
Ja3 make_ja3(const ClientHello& hello, FingerprintCache& cache) noexcept;

/// The JA4 of a hello, as FoxIO publishes the format: a readable part, then 12 hex digits of the
/// SHA-256 of the sorted cipher suites, and as many of the sorted extensions with the signature
/// algorithms in their order. GREASE is left out everywhere. Made on demand only: without a cache
/// it costs several times what parse_client_hello() does.
Ja4 make_ja4(const ClientHello& hello, HelloTransport transport) noexcept;
Ja4 make_ja4(const ClientHello& hello, HelloTransport transport, FingerprintCache& cache) noexcept;

/// Both fingerprints of hellos, kept by what they are made of: the clients of one node send the
/// same few hellos over and over. What a hello is known by is compared whole, so an answer is
/// always right. One a worker, about 120 KiB.
class HelloFingerprints {
 public:
  struct Both {
    Ja3 ja3;
    Ja4 ja4;
  };
  /// @return good until the next call.
  const Both& of(const ClientHello& hello, HelloTransport transport) noexcept;

 private:
  static constexpr size_t kMostKeyBytes = 448;  ///< Longer ones are made each time.
  static constexpr size_t kEntries = 128;
  struct Entry {
    uint32_t key_bytes = 0;
    std::array<uint8_t, kMostKeyBytes> key;
    Both both;
  };

  Both make(const ClientHello& hello, HelloTransport transport) noexcept;

  FingerprintCache digests_;
  std::array<Entry, kEntries> entries_;
  Both passing_;
};

}  // namespace sallyport
