// The fingerprints of hellos met before: fingerprint.h.
#include <bit>
#include <cstring>

#include "dataplane/inspect/fingerprint.h"

namespace sallyport {
namespace {

/// Everything that a fingerprint is made of, one behind the other with lengths between.
class KeyWriter {
 public:
  explicit KeyWriter(std::span<uint8_t> out) noexcept : out_(out) {}

  void put(const void* bytes, size_t size) noexcept {
    const auto length = static_cast<uint16_t>(size);
    if (size > UINT16_MAX || size + sizeof length > out_.size() - used_) {
      fits_ = false;
      return;
    }
    std::memcpy(out_.data() + used_, &length, sizeof length);
    if (size > 0) std::memcpy(out_.data() + used_ + sizeof length, bytes, size);
    used_ += sizeof length + size;
  }
  void put(std::span<const uint8_t> bytes) noexcept { put(bytes.data(), bytes.size()); }
  /// Nothing when it does not fit.
  std::span<const uint8_t> key() const noexcept {
    return fits_ ? out_.first(used_) : std::span<const uint8_t>{};
  }

 private:
  std::span<uint8_t> out_;
  size_t used_ = 0;
  bool fits_ = true;
};

std::span<const uint8_t> key_of(const ClientHello& hello, HelloTransport transport,
                                std::span<uint8_t> space) noexcept {
  KeyWriter key(space);
  const uint8_t head[] = {static_cast<uint8_t>(transport), hello.has_server_name,
                          static_cast<uint8_t>(hello.legacy_version >> 8),
                          static_cast<uint8_t>(hello.legacy_version)};
  key.put(head);
  key.put(hello.cipher_suites);
  key.put(hello.extension_types.data(), hello.extension_count * sizeof(uint16_t));
  key.put(hello.supported_versions);
  key.put(hello.supported_groups);
  key.put(hello.signature_algorithms);
  key.put(hello.point_formats);
  key.put(hello.alpns);
  return key.key();
}

// Whole words, the last of them over bytes that the one before had, too: no key is shorter than
// one.
size_t hash_of(std::span<const uint8_t> key) noexcept {
  constexpr uint64_t kMultiplier = 0x9e3779b97f4a7c15;
  uint64_t hash = key.size();
  const auto mix = [&hash](const uint8_t* at) {
    uint64_t word;
    std::memcpy(&word, at, sizeof word);
    hash = (std::rotl(hash, 23) ^ word) * kMultiplier;
  };
  const size_t last = key.size() - sizeof hash;
  for (size_t i = 0; i < last; i += sizeof hash) mix(&key[i]);
  mix(&key[last]);
  return static_cast<size_t>(hash >> 32);
}

}  // namespace

HelloFingerprints::Both HelloFingerprints::make(const ClientHello& hello,
                                                HelloTransport transport) noexcept {
  return {.ja3 = make_ja3(hello, digests_), .ja4 = make_ja4(hello, transport, digests_)};
}

const HelloFingerprints::Both& HelloFingerprints::of(const ClientHello& hello,
                                                     HelloTransport transport) noexcept {
  std::array<uint8_t, kMostKeyBytes> space;
  const auto key = key_of(hello, transport, space);
  if (key.empty()) return passing_ = make(hello, transport);
  Entry& entry = entries_[hash_of(key) % kEntries];
  if (entry.key_bytes != key.size() || std::memcmp(entry.key.data(), key.data(), key.size()) != 0) {
    entry.key_bytes = static_cast<uint32_t>(key.size());
    std::memcpy(entry.key.data(), key.data(), key.size());
    entry.both = make(hello, transport);
  }
  return entry.both;
}

}  // namespace sallyport
