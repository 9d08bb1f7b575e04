#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace sallyport {

/// SipHash-2-4 (Aumasson, Bernstein 2012) over words and texts: nobody who does not know the key
/// can make two inputs meet.
class SipHash {
 public:
  explicit SipHash(const std::array<uint64_t, 2>& key) noexcept
      : v_{key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d, key[0] ^ 0x6c7967656e657261,
           key[1] ^ 0x7465646279746573} {}

  void word(uint64_t value) noexcept {
    v_[3] ^= value;
    round();
    round();
    v_[0] ^= value;
  }
  void text(std::string_view bytes) noexcept {
    size_t at = 0;
    for (; bytes.size() - at >= 8; at += 8) word(load(bytes.substr(at, 8)));
    word(load(bytes.substr(at)) | uint64_t{bytes.size()} << 56);
  }
  uint64_t finish() noexcept {
    v_[2] ^= 0xff;
    for (int i = 0; i < 4; ++i) round();
    return v_[0] ^ v_[1] ^ v_[2] ^ v_[3];
  }

 private:
  static uint64_t load(std::string_view bytes) noexcept {
    uint64_t value = 0;
    std::memcpy(&value, bytes.data(), bytes.size());
    return value;
  }
  void round() noexcept {
    v_[0] += v_[1], v_[1] = std::rotl(v_[1], 13) ^ v_[0], v_[0] = std::rotl(v_[0], 32);
    v_[2] += v_[3], v_[3] = std::rotl(v_[3], 16) ^ v_[2];
    v_[0] += v_[3], v_[3] = std::rotl(v_[3], 21) ^ v_[0];
    v_[2] += v_[1], v_[1] = std::rotl(v_[1], 17) ^ v_[2], v_[2] = std::rotl(v_[2], 32);
  }

  std::array<uint64_t, 4> v_;
};

}  // namespace sallyport
