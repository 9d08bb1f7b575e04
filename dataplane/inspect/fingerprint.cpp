#include "dataplane/inspect/fingerprint.h"

#include <algorithm>
#include <cstring>
#include <span>

#include "dataplane/inspect/big_endian.h"
#include "dataplane/inspect/byte_reader.h"
#include "dataplane/inspect/digest.h"

namespace sallyport {
namespace {

constexpr char kHexDigits[] = "0123456789abcdef";
constexpr uint16_t kServerName = 0;
constexpr uint16_t kAlpn = 16;

void to_hex(std::span<const uint8_t> bytes, std::span<char> out) noexcept {
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = kHexDigits[i % 2 == 0 ? bytes[i / 2] >> 4 : bytes[i / 2] & 0xf];
  }
}

/// Gathers text for a digest, so that it is called for blocks and not for each number, and perhaps
/// not at all.
template <typename Hash>
class TextHash {
 public:
  using Hex = FingerprintCache::Hex;

  explicit TextHash(FingerprintCache* cache) noexcept : cache_(cache) {}

  bool empty() const noexcept { return used_ == 0 && !flushed_; }

  void add(char c) noexcept {
    reserve(1);
    buffer_[used_++] = c;
  }

  void add_decimal(unsigned value) noexcept {
    std::array<char, 10> digits;
    size_t at = digits.size();
    do {
      digits[--at] = kHexDigits[value % 10];
      value /= 10;
    } while (value != 0);
    reserve(digits.size());
    for (; at < digits.size(); ++at) buffer_[used_++] = digits[at];
  }

  void add_hex(uint16_t value) noexcept {
    reserve(4);
    for (int shift = 12; shift >= 0; shift -= 4) {
      buffer_[used_++] = kHexDigits[value >> shift & 0xf];
    }
  }

  Hex finish() noexcept {
    const auto make = [this] {
      flush();
      Hex hex;
      to_hex(hash_.finish(), hex);
      return hex;
    };
    if (cache_ == nullptr || flushed_ || used_ > FingerprintCache::kMaxTextBytes) return make();
    constexpr char kKind = Hash::kBytes == Md5::kBytes ? 'm' : 's';
    return cache_->find_or_make(kKind, {buffer_.data(), used_}, make);
  }

 private:
  void reserve(size_t count) noexcept {
    if (count > buffer_.size() - used_) flush();
  }

  void flush() noexcept {
    hash_.update(std::string_view(buffer_.data(), used_));
    flushed_ = flushed_ || used_ > 0;
    used_ = 0;
  }

  FingerprintCache* cache_;
  Hash hash_;
  size_t used_ = 0;
  bool flushed_ = false;
  std::array<char, 512> buffer_;
};

/// Calls `each` for every 16-bit value of a list that is not GREASE.
template <typename Each>
void for_each_value(std::span<const uint8_t> list, Each each) noexcept {
  for (size_t i = 0; i + 1 < list.size(); i += 2) {
    const uint16_t value = load_be16(&list[i]);
    if (!is_grease(value)) each(value);
  }
}

const char* version_text(uint16_t version) noexcept {
  switch (version) {
    case 0x0304:
      return "13";
    case 0x0303:
      return "12";
    case 0x0302:
      return "11";
    case 0x0301:
      return "10";
    case 0x0300:
      return "s3";
    case 0x0002:
      return "s2";
    default:
      return "00";
  }
}

bool is_alphanumeric(uint8_t c) noexcept {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/// First and last character of the first protocol; of its hex digits when either is none to print.
std::array<char, 2> alpn_text(const ClientHello& hello) noexcept {
  ByteReader list(hello.alpns);
  const auto name = list.block8().rest();
  if (name.empty()) return {'0', '0'};
  const uint8_t first = name.front();
  const uint8_t last = name.back();
  if (is_alphanumeric(first) && is_alphanumeric(last)) {
    return {static_cast<char>(first), static_cast<char>(last)};
  }
  return {kHexDigits[first >> 4], kHexDigits[last & 0xf]};
}

/// Comma-separated, sorted.
void add_sorted(std::span<uint16_t> values, TextHash<Sha256>& text) noexcept {
  std::ranges::sort(values);
  for (const uint16_t value : values) {
    if (!text.empty()) text.add(',');
    text.add_hex(value);
  }
}

void put_first(const FingerprintCache::Hex& hex, std::span<char, 12> out) noexcept {
  std::copy_n(hex.begin(), out.size(), out.begin());
}

size_t hash_ciphers(const ClientHello& hello, FingerprintCache* cache,
                    std::span<char, 12> out) noexcept {
  std::array<uint16_t, kMaxHelloCiphers> values;
  size_t count = 0;
  for_each_value(hello.cipher_suites, [&](uint16_t value) {
    if (count < values.size()) values[count++] = value;
  });
  std::ranges::fill(out, '0');
  if (count == 0) return 0;
  TextHash<Sha256> text(cache);
  add_sorted(std::span(values).first(count), text);
  put_first(text.finish(), out);
  return count;
}

/// Server name and ALPN are counted, but told by the readable part and so not hashed.
size_t hash_extensions(const ClientHello& hello, FingerprintCache* cache,
                       std::span<char, 12> out) noexcept {
  std::array<uint16_t, kMaxHelloExtensions> values;
  size_t count = 0;
  size_t hashed = 0;
  for (const uint16_t type : hello.extensions()) {
    if (is_grease(type)) continue;
    ++count;
    if (type != kServerName && type != kAlpn) values[hashed++] = type;
  }
  std::ranges::fill(out, '0');
  if (hashed == 0) return count;
  TextHash<Sha256> text(cache);
  add_sorted(std::span(values).first(hashed), text);
  char separator = '_';
  for_each_value(hello.signature_algorithms, [&](uint16_t value) {
    text.add(separator);
    text.add_hex(value);
    separator = ',';
  });
  put_first(text.finish(), out);
  return count;
}

void put_count(size_t count, char* out) noexcept {
  const size_t shown = std::min<size_t>(count, 99);
  out[0] = static_cast<char>('0' + shown / 10);
  out[1] = static_cast<char>('0' + shown % 10);
}

Ja3 ja3_of(const ClientHello& hello, FingerprintCache* cache) noexcept {
  TextHash<Md5> text(cache);
  text.add_decimal(hello.legacy_version);
  bool first = true;
  const auto add = [&](uint16_t value) {
    if (!first) text.add('-');
    first = false;
    text.add_decimal(value);
  };
  const auto next_field = [&] {
    text.add(',');
    first = true;
  };
  next_field();
  for_each_value(hello.cipher_suites, add);
  next_field();
  for (const uint16_t type : hello.extensions()) {
    if (!is_grease(type)) add(type);
  }
  next_field();
  for_each_value(hello.supported_groups, add);
  next_field();
  for (const uint8_t format : hello.point_formats) add(format);
  return {.text = text.finish()};
}

Ja4 ja4_of(const ClientHello& hello, HelloTransport transport, FingerprintCache* cache) noexcept {
  Ja4 out;
  char* at = out.text.data();
  at[0] = static_cast<char>(transport);
  std::memcpy(at + 1, version_text(newest_version(hello)), 2);
  at[3] = hello.has_server_name ? 'd' : 'i';
  const auto alpn = alpn_text(hello);
  std::memcpy(at + 8, alpn.data(), 2);
  at[10] = '_';
  at[23] = '_';
  const std::span<char, 36> text(out.text);
  put_count(hash_ciphers(hello, cache, text.subspan<11, 12>()), at + 4);
  put_count(hash_extensions(hello, cache, text.subspan<24, 12>()), at + 6);
  return out;
}

}  // namespace

size_t FingerprintCache::slot_of(std::string_view text) noexcept {
  uint64_t hash = text.size();
  for (; !text.empty(); text.remove_prefix(std::min(text.size(), sizeof hash))) {
    uint64_t word = 0;
    std::memcpy(&word, text.data(), std::min(text.size(), sizeof word));
    hash = (hash ^ word) * 0x9e3779b97f4a7c15;
    hash ^= hash >> 32;
  }
  return hash % kEntries;
}

Ja3 make_ja3(const ClientHello& hello) noexcept {
  return ja3_of(hello, nullptr);
}
Ja3 make_ja3(const ClientHello& hello, FingerprintCache& cache) noexcept {
  return ja3_of(hello, &cache);
}

Ja4 make_ja4(const ClientHello& hello, HelloTransport transport) noexcept {
  return ja4_of(hello, transport, nullptr);
}
Ja4 make_ja4(const ClientHello& hello, HelloTransport transport, FingerprintCache& cache) noexcept {
  return ja4_of(hello, transport, &cache);
}

}  // namespace sallyport
