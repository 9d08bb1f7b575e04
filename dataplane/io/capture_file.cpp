#include "dataplane/io/capture_file.h"

#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <cstdint>
#include <cstring>

namespace sallyport {
namespace {

constexpr uint32_t kEthernet = 1;  // LINKTYPE_ETHERNET
constexpr size_t kFileHeaderBytes = 24;

/// The first bytes of a file, with numbers in the byte order of whoever wrote it.
struct Start {
  std::array<uint8_t, 4096> bytes;
  size_t size = 0;
  bool swapped = false;

  uint32_t u32(size_t at) const noexcept {
    uint32_t value = 0;
    std::memcpy(&value, bytes.data() + at, sizeof value);
    return swapped ? std::byteswap(value) : value;
  }
  bool has(size_t at, size_t count) const noexcept { return at <= size && count <= size - at; }
};

// Microseconds, nanoseconds, and Kuznetzov's variant.
bool is_pcap_magic(uint32_t magic) noexcept {
  return magic == 0xa1b2c3d4 || magic == 0xa1b23c4d || magic == 0xa1b2cd34;
}

std::string check_link(uint32_t link) {
  if (link == kEthernet) return "";
  return "its link type is " + std::to_string(link) + "; only Ethernet (1) can be replayed";
}

// A section header block, then as a rule the interface's (draft-ietf-opsawg-pcapng, section 4).
std::string check_pcapng(Start& start) {
  constexpr uint32_t kByteOrder = 0x1a2b3c4d;
  constexpr uint32_t kInterface = 1;
  if (!start.has(0, 12)) return "it is cut short";
  start.swapped = start.u32(8) != kByteOrder;
  if (start.u32(8) != kByteOrder) return "it is no capture (neither pcap nor pcapng)";
  const size_t next = start.u32(4);
  if (!start.has(next, 12) || start.u32(next) != kInterface) return "";
  return check_link(start.u32(next + 8) & 0xffff);
}

}  // namespace

std::string check_capture(int fd) {
  constexpr uint32_t kSection = 0x0a0d0d0a;  // reads the same either way
  Start start;
  const ssize_t size = pread(fd, start.bytes.data(), start.bytes.size(), 0);
  if (size < 0) return std::string("it cannot be read: ") + std::strerror(errno);
  start.size = static_cast<size_t>(size);
  if (start.size < sizeof(uint32_t)) return "it is no capture (neither pcap nor pcapng)";
  if (start.u32(0) == kSection) return check_pcapng(start);
  start.swapped = !is_pcap_magic(start.u32(0));
  if (!is_pcap_magic(start.u32(0))) return "it is no capture (neither pcap nor pcapng)";
  if (start.size < kFileHeaderBytes) return "it is cut short";
  return check_link(start.u32(20) & 0xffff);  // above: what is known of frame check sequences
}

}  // namespace sallyport
