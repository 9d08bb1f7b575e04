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

/// Gathers text for a digest, so that it is called for blocks and not for each number.
template <typename Hash>
class TextHash {
 public:
  bool empty() const noexcept { return used_ == 0 && !flushed_; }

  void add(char c) noexcept {
    if (used_ == buffer_.size()) flush();
    buffer_[used_++] = c;
  }

  void add_decimal(unsigned value) noexcept {
    std::array<char, 10> digits;
    size_t at = digits.size();
    do {
      digits[--at] = kHexDigits[value % 10];
      value /= 10;
    } while (value != 0);
    for (; at < digits.size(); ++at) add(digits[at]);
  }

  void add_hex(uint16_t value) noexcept {
    for (int shift = 12; shift >= 0; shift -= 4) add(kHexDigits[value >> shift & 0xf]);
  }

  typename Hash::Value finish() noexcept {
    flush();
    return hash_.finish();
  }

 private:
  void flush() noexcept {
    hash_.update(std::string_view(buffer_.data(), used_));
    flushed_ = flushed_ || used_ > 0;
    used_ = 0;
  }

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

void to_hex(std::span<const uint8_t> bytes, std::span<char> out) noexcept {
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = kHexDigits[i % 2 == 0 ? bytes[i / 2] >> 4 : bytes[i / 2] & 0xf];
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

size_t hash_ciphers(const ClientHello& hello, std::span<char, 12> out) noexcept {
  std::array<uint16_t, kMaxHelloCiphers> values;
  size_t count = 0;
  for_each_value(hello.cipher_suites, [&](uint16_t value) {
    if (count < values.size()) values[count++] = value;
  });
  std::ranges::fill(out, '0');
  if (count == 0) return 0;
  TextHash<Sha256> text;
  add_sorted(std::span(values).first(count), text);
  to_hex(text.finish(), out);
  return count;
}

/// Server name and ALPN are counted, but told by the readable part and so not hashed.
size_t hash_extensions(const ClientHello& hello, std::span<char, 12> out) noexcept {
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
  TextHash<Sha256> text;
  add_sorted(std::span(values).first(hashed), text);
  char separator = '_';
  for_each_value(hello.signature_algorithms, [&](uint16_t value) {
    text.add(separator);
    text.add_hex(value);
    separator = ',';
  });
  to_hex(text.finish(), out);
  return count;
}

void put_count(size_t count, char* out) noexcept {
  const size_t shown = std::min<size_t>(count, 99);
  out[0] = static_cast<char>('0' + shown / 10);
  out[1] = static_cast<char>('0' + shown % 10);
}

}  // namespace

Ja3 make_ja3(const ClientHello& hello) noexcept {
  TextHash<Md5> text;
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
  Ja3 out;
  to_hex(text.finish(), out.text);
  return out;
}

Ja4 make_ja4(const ClientHello& hello, HelloTransport transport) noexcept {
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
  put_count(hash_ciphers(hello, text.subspan<11, 12>()), at + 4);
  put_count(hash_extensions(hello, text.subspan<24, 12>()), at + 6);
  return out;
}

}  // namespace sallyport
