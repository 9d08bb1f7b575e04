#include "dataplane/inspect/multipath.h"

#include <algorithm>
#include <array>

#include "dataplane/inspect/big_endian.h"

namespace sallyport {
namespace {
constexpr size_t kTcpHeaderBytes = 20;
constexpr size_t kChecksumOffset = 16;
// Option kinds, RFC 9293 section 3.2 and RFC 8684 section 3.
constexpr uint8_t kEndOfList = 0;
constexpr uint8_t kNoOperation = 1;
constexpr uint8_t kMultipath = 30;
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
  const auto header =
      frame.subspan(packet.l4_offset, size_t{packet.payload_offset} - packet.l4_offset);
  const auto all = header.subspan(kTcpHeaderBytes);
  std::array<uint8_t, kMostOptionBytes> before;
  std::ranges::copy(all, before.begin());
  auto options = all;
  bool found = false;
  while (!options.empty() && options[0] != kEndOfList) {
    size_t length = 1;
    if (options[0] != kNoOperation) {
      // A length that does not fit ends the list for every receiver: nothing behind it counts.
      if (options.size() < 2 || options[1] < 2 || options[1] > options.size()) break;
      length = options[1];
    }
    if (options[0] == kMultipath) {
      std::ranges::fill(options.first(length), kNoOperation);
      found = true;
    }
    options = options.subspan(length);
  }
  if (!found) return false;

  uint8_t* const checksum = &header[kChecksumOffset];
  store_be16(checksum, update_checksum(load_be16(checksum), before, all));
  return true;
}

}  // namespace sallyport
