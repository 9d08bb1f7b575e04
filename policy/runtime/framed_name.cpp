#include "policy/runtime/framed_name.h"

#include <bit>
#include <cstring>

namespace sallyport {

char* FramedName::put_tag(uint64_t hash, char* out) noexcept {
  static_assert(std::endian::native == std::endian::little, "the first seven bits go first");
  hash ^= hash >> 32;  // FNV-1a leaves its last bytes mostly in the low half.
  hash *= 0x9e3779b97f4a7c15;
  hash ^= hash >> 29;
  // Seven bits to each byte, by halves: 28, then 14, then 7.
  uint64_t spread = (hash & 0xfffffff) | (hash & 0x1fffff0000000) << 4;
  spread = (spread & 0x00003fff00003fff) | (spread & 0x0fffc0000fffc000) << 2;
  spread = (spread & 0x007f007f007f007f) | (spread & 0x3f803f803f803f80) << 1;
  spread |= 0x8080808080808080;
  std::memcpy(out, &spread, sizeof spread);
  return out + kTagBytes;
}

bool FramedName::assign(std::string_view name) noexcept {
  size_ = 0;
  if (name.size() > kMaxHostNameBytes) return false;
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  const auto mix = [&hash](char c) { hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3; };
  char* out = bytes_.data();
  *out++ = kNameStart;
  const char* const first = name.data();
  for (const char* end = first + name.size();;) {
    const char* label = end;
    while (label != first && label[-1] != '.') --label;
    for (const char* at = label; at != end; ++at) {
      if (*at <= ' ' || *at > '~') return false;  // char is signed: over 0x7f is negative.
      *out++ = *at;
      mix(*at);
    }
    out = put_tag(hash, out);
    if (label == first) break;
    *out++ = '.';
    mix('.');
    end = label - 1;
  }
  *out++ = kNameEnd;
  size_ = static_cast<size_t>(out - bytes_.data());
  return true;
}

}  // namespace sallyport
