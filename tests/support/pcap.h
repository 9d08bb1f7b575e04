#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/support/bytes.h"

namespace sallyport::test {

/// A frame of a capture and when it was seen.
struct Captured {
  uint64_t unix_us = 0;
  Bytes frame;
};

/// Little-endian, `width` bytes.
inline void put_le(Bytes& out, uint64_t value, size_t width) {
  for (; width > 0; --width, value >>= 8) out.push_back(static_cast<uint8_t>(value));
}

inline void write_bytes(const std::filesystem::path& path, const Bytes& bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (!file.good()) throw std::runtime_error("cannot write " + path.string());
}

/// A classic capture of Ethernet frames, in microseconds.
inline Bytes pcap_bytes(const std::vector<Captured>& frames) {
  Bytes out;
  put_le(out, 0xa1b2c3d4, 4);
  put_le(out, 2, 2);
  put_le(out, 4, 2);
  put_le(out, 0, 8);
  put_le(out, 65535, 4);
  put_le(out, 1, 4);  // Ethernet
  for (const Captured& one : frames) {
    put_le(out, one.unix_us / 1'000'000, 4);
    put_le(out, one.unix_us % 1'000'000, 4);
    put_le(out, one.frame.size(), 4);
    put_le(out, one.frame.size(), 4);
    append(out, one.frame);
  }
  return out;
}

/// The same as pcapng: a section, one interface, a block a frame.
inline Bytes pcapng_bytes(const std::vector<Captured>& frames) {
  Bytes out;
  const auto put_block = [&out](uint32_t type, Bytes body) {
    body.resize((body.size() + 3) / 4 * 4, 0);
    put_le(out, type, 4);
    put_le(out, body.size() + 12, 4);
    append(out, body);
    put_le(out, body.size() + 12, 4);
  };
  Bytes section;
  put_le(section, 0x1a2b3c4d, 4);
  put_le(section, 1, 2);
  put_le(section, 0, 2);
  put_le(section, UINT64_MAX, 8);
  put_block(0x0a0d0d0a, section);
  Bytes interface;
  put_le(interface, 1, 2);  // Ethernet
  put_le(interface, 0, 2);
  put_le(interface, 65535, 4);
  put_block(1, interface);
  for (const Captured& one : frames) {
    Bytes packet;
    put_le(packet, 0, 4);
    put_le(packet, one.unix_us >> 32, 4);
    put_le(packet, one.unix_us, 4);
    put_le(packet, one.frame.size(), 4);
    put_le(packet, one.frame.size(), 4);
    put_block(6, packet + one.frame);
  }
  return out;
}

/// The frames of a classic capture, in micro- or nanoseconds, in this machine's byte order.
inline std::vector<Bytes> read_pcap(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const Bytes all(std::istreambuf_iterator<char>(file), {});
  const auto number = [&all](size_t at) {
    return uint32_t{all.at(at)} | uint32_t{all.at(at + 1)} << 8 | uint32_t{all.at(at + 2)} << 16 |
           uint32_t{all.at(at + 3)} << 24;
  };
  if (number(0) != 0xa1b2c3d4 && number(0) != 0xa1b23c4d)
    throw std::runtime_error(path.string() + " is no capture");
  std::vector<Bytes> out;
  for (size_t at = 24; at < all.size();) {
    const size_t size = number(at + 8);
    at += 16;
    if (size > all.size() - at) throw std::runtime_error(path.string() + " is cut short");
    out.emplace_back(all.begin() + static_cast<std::ptrdiff_t>(at),
                     all.begin() + static_cast<std::ptrdiff_t>(at + size));
    at += size;
  }
  return out;
}

}  // namespace sallyport::test
