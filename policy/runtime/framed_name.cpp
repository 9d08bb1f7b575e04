#include "policy/runtime/framed_name.h"

namespace sallyport {

void FramedName::append_tag(uint64_t hash) noexcept {
  hash ^= hash >> 32;  // FNV-1a leaves its last bytes mostly in the low half.
  hash *= 0x9e3779b97f4a7c15;
  hash ^= hash >> 29;
  for (size_t i = 0; i < kTagBytes; ++i) {
    bytes_[size_++] = static_cast<char>(0x80 | (hash >> (i * 7) & 0x7f));
  }
}

bool FramedName::assign(std::string_view name) noexcept {
  size_ = 0;
  if (name.size() > kMaxHostNameBytes) return false;
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  const auto mix = [&hash](char c) { hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3; };
  bytes_[size_++] = kNameStart;
  for (size_t end = name.size();;) {
    const size_t dot = end == 0 ? std::string_view::npos : name.rfind('.', end - 1);
    const size_t start = dot == std::string_view::npos ? 0 : dot + 1;
    for (size_t i = start; i < end; ++i) {
      if (name[i] <= ' ' || name[i] > '~') return false;  // char is signed: over 0x7f is negative.
      bytes_[size_++] = name[i];
      mix(name[i]);
    }
    append_tag(hash);
    if (dot == std::string_view::npos) break;
    bytes_[size_++] = '.';
    mix('.');
    end = dot;
  }
  bytes_[size_++] = kNameEnd;
  return true;
}

}  // namespace sallyport
