#include "policy/compile/punycode.h"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace sallyport {
namespace {

// RFC 3492 section 5.
constexpr uint32_t kBase = 36;
constexpr uint32_t kTMin = 1;
constexpr uint32_t kTMax = 26;
constexpr uint32_t kSkew = 38;
constexpr uint32_t kDamp = 700;
constexpr uint32_t kInitialBias = 72;
constexpr uint32_t kInitialN = 128;

std::optional<std::u32string> decode_utf8(std::string_view text) {
  std::u32string out;
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<uint8_t>(text[i]);
    const size_t length = lead < 0x80 ? 1 : lead >> 5 == 6 ? 2 : lead >> 4 == 14 ? 3 : 4;
    if ((lead >= 0x80 && lead < 0xc2) || lead > 0xf4 || length > text.size() - i) return {};
    uint32_t code = length == 1 ? lead : lead & (0x7fu >> length);
    for (size_t k = 1; k < length; ++k) {
      const auto byte = static_cast<uint8_t>(text[i + k]);
      if (byte >> 6 != 2) return {};
      code = code << 6 | (byte & 0x3fu);
    }
    out.push_back(code);
    i += length;
  }
  return out;
}

/// RFC 3492 section 6.1.
uint32_t adapt(uint32_t delta, uint32_t points, bool first) {
  delta = first ? delta / kDamp : delta / 2;
  delta += delta / points;
  uint32_t k = 0;
  for (; delta > (kBase - kTMin) * kTMax / 2; k += kBase) delta /= kBase - kTMin;
  return k + (kBase - kTMin + 1) * delta / (delta + kSkew);
}

char digit(uint32_t value) {
  return static_cast<char>(value < 26 ? 'a' + value : '0' + value - 26);
}

void append_number(uint32_t number, uint32_t bias, std::string& out) {
  for (uint32_t k = kBase;; k += kBase) {
    const uint32_t t = k <= bias ? kTMin : std::min(k - bias, kTMax);
    if (number < t) break;
    out.push_back(digit(t + (number - t) % (kBase - t)));
    number = (number - t) / (kBase - t);
  }
  out.push_back(digit(number));
}

/// A longer label is none in punycode either. The work grows with the square of a label's length.
constexpr size_t kMaxLabelPoints = 63;

/// RFC 3492 section 6.3. So short a label is far from overflow.
std::string encode_label(std::u32string_view label) {
  std::string out = "xn--";
  for (const char32_t c : label) {
    if (c < kInitialN) out.push_back(static_cast<char>(c));
  }
  const auto basic = static_cast<uint32_t>(out.size() - 4);
  if (basic > 0) out.push_back('-');
  uint32_t n = kInitialN;
  uint32_t delta = 0;
  uint32_t bias = kInitialBias;
  for (uint32_t handled = basic; handled < label.size(); ++n, ++delta) {
    uint32_t next = UINT32_MAX;
    for (const char32_t c : label) {
      if (c >= n) next = std::min(next, static_cast<uint32_t>(c));
    }
    delta += (next - n) * (handled + 1);
    n = next;
    for (const char32_t c : label) {
      if (c < n) ++delta;
      if (c != n) continue;
      append_number(delta, bias, out);
      bias = adapt(delta, handled + 1, handled == basic);
      delta = 0;
      ++handled;
    }
  }
  return out;
}

bool is_ascii(std::u32string_view label) {
  return std::ranges::all_of(label, [](char32_t c) { return c < 0x80; });
}

}  // namespace

std::optional<std::string> to_punycode(std::string_view name) {
  auto points = decode_utf8(name);
  if (!points) return {};
  for (char32_t& c : *points) {
    if (c >= U'A' && c <= U'Z') c += U'a' - U'A';
  }
  std::string out;
  for (size_t start = 0; start <= points->size();) {
    const size_t dot = std::min(points->find(U'.', start), points->size());
    const std::u32string_view label = std::u32string_view(*points).substr(start, dot - start);
    if (label.size() > kMaxLabelPoints) return {};
    if (start > 0) out.push_back('.');
    out += is_ascii(label) ? std::string(label.begin(), label.end()) : encode_label(label);
    start = dot + 1;
  }
  return out;
}

}  // namespace sallyport
