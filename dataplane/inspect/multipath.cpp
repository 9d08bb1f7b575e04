#include "dataplane/inspect/multipath.h"

#include <algorithm>

#include "dataplane/inspect/checksum.h"
#include "policy/runtime/facts.h"

namespace sallyport {
namespace {
constexpr size_t kTcpHeaderBytes = 20;
constexpr size_t kChecksumOffset = 16;
// Option kinds, RFC 9293 section 3.2 and RFC 8684 section 3.
constexpr uint8_t kEndOfList = 0;
constexpr uint8_t kNoOperation = 1;
constexpr uint8_t kMultipath = 30;
}  // namespace

bool remove_multipath_options(std::span<uint8_t> frame, const Packet& packet) noexcept {
  auto segment = frame.subspan(packet.l4_offset,
                               packet.payload_offset - packet.l4_offset + packet.payload_bytes);
  auto options =
      segment.subspan(kTcpHeaderBytes, packet.payload_offset - packet.l4_offset - kTcpHeaderBytes);
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

  segment[kChecksumOffset] = segment[kChecksumOffset + 1] = 0;
  const uint16_t checksum =
      l4_checksum(packet.flow.source, packet.flow.destination, kIpProtocolTcp, segment);
  segment[kChecksumOffset] = static_cast<uint8_t>(checksum >> 8);
  segment[kChecksumOffset + 1] = static_cast<uint8_t>(checksum);
  return true;
}

}  // namespace sallyport
