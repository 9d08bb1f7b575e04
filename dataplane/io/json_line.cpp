#include "dataplane/io/json_line.h"

#include <algorithm>
#include <array>
#include <cstddef>

namespace sallyport {
namespace {

constexpr std::array<bool, 256> kPlain = [] {
  std::array<bool, 256> plain{};
  for (size_t i = 0x20; i < 0x7f; ++i) plain[i] = i != '"' && i != '\\';
  return plain;
}();

constexpr uint32_t kReplacement = 0xfffd;

struct Character {
  uint32_t code = kReplacement;
  size_t bytes = 1;
};

uint8_t byte_at(std::string_view text, size_t i) noexcept {
  return static_cast<uint8_t>(text[i]);
}

// The first character of a text that is not empty. The second byte's range depends on the first, so
// that there is one form of each character and none for the surrogates (Unicode 15, table 3-7).
Character first_of(std::string_view text) noexcept {
  const uint8_t lead = byte_at(text, 0);
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xc2 || lead > 0xf4) return {};
  const size_t bytes = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  if (text.size() < bytes) return {};
  const uint8_t least = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
  const uint8_t most = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
  if (byte_at(text, 1) < least || byte_at(text, 1) > most) return {};
  uint32_t code = lead & (0xffU >> (bytes + 1));
  for (size_t i = 1; i < bytes; ++i) {
    if ((byte_at(text, i) & 0xc0) != 0x80) return {};
    code = code << 6 | (byte_at(text, i) & 0x3fU);
  }
  return {code, bytes};
}

void put_unit(std::string& out, uint32_t unit) {
  static constexpr char kDigits[] = "0123456789abcdef";
  const char text[] = {'\\',
                       'u',
                       kDigits[unit >> 12 & 15],
                       kDigits[unit >> 8 & 15],
                       kDigits[unit >> 4 & 15],
                       kDigits[unit & 15]};
  out.append(text, sizeof text);
}

// Beyond the first 65,536 characters JSON takes two units (RFC 8259 section 7).
void put_escaped(std::string& out, uint32_t code) {
  if (code == '"' || code == '\\') {
    out += '\\';
    out += static_cast<char>(code);
  } else if (code < 0x10000) {
    put_unit(out, code);
  } else {
    put_unit(out, 0xd800 + ((code - 0x10000) >> 10));
    put_unit(out, 0xdc00 + ((code - 0x10000) & 0x3ff));
  }
}

}  // namespace

void JsonLine::put_text(std::string_view text) {
  out_ += '"';
  while (!text.empty()) {
    const auto stop =
        std::ranges::find_if(text, [](char c) { return !kPlain[static_cast<uint8_t>(c)]; });
    const auto plain = static_cast<size_t>(stop - text.begin());
    out_ += text.substr(0, plain);
    text.remove_prefix(plain);
    if (text.empty()) break;
    const Character character = first_of(text);
    put_escaped(out_, character.code);
    text.remove_prefix(character.bytes);
  }
  out_ += '"';
}

}  // namespace sallyport
