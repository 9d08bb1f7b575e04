#include "dataplane/inspect/multipath.h"

#include <algorithm>
#include <array>

#include "dataplane/inspect/big_endian.h"
#include "dataplane/inspect/tcp_options.h"

namespace sallyport {
namespace {
constexpr size_t kChecksumOffset = 16;
constexpr size_t kMostOptionBytes = 40;

// HC' = ~(~HC + ~m + m'), RFC 1624 section 3: a checksum that was wrong stays as wrong as it was.
// Options start and end at whole words of the segment.
uint16_t update_checksum(uint16_t checksum, std::span<const uint8_t> before,
                         std::span<const uint8_t> after) noexcept {
  uint32_t sum = static_cast<uint16_t>(~checksum);
  for (size_t i = 0; i < after.size(); i += 2) {
    sum += static_cast<uint16_t>(~load_be16(&before[i]));
    sum += load_be16(&after[i]);
  }
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}
}  // namespace

bool remove_multipath_options(std::span<uint8_t> frame, const Packet& packet) noexcept {
  const auto all = tcp_options(frame, packet);
  std::array<uint8_t, kMostOptionBytes> before;
  std::ranges::copy(all, before.begin());
  bool found = false;
  for_each_tcp_option(all, [&found](std::span<uint8_t> option) {
    if (option[0] != kMultipath) return;
    std::ranges::fill(option, kNoOperation);
    found = true;
  });
  if (!found) return false;

  uint8_t* const checksum = &frame[packet.l4_offset + kChecksumOffset];
  store_be16(checksum, update_checksum(load_be16(checksum), before, all));
  return true;
}

}  // namespace sallyport
