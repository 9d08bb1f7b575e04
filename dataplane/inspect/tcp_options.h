#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/inspect/packet.h"

namespace sallyport {

inline constexpr size_t kTcpHeaderBytes = 20;  ///< Without options.

/// Option kinds: RFC 9293 section 3.2, RFC 7323 section 3.2 and RFC 8684 section 3.
enum TcpOption : uint8_t {
  kEndOfList = 0,
  kNoOperation = 1,
  kTimestamps = 8,
  kMultipath = 30,
};

/// The options of a segment. `frame` must be the one `packet` was decoded from.
template <class Byte>
std::span<Byte> tcp_options(std::span<Byte> frame, const Packet& packet) noexcept {
  return frame.subspan(packet.l4_offset + kTcpHeaderBytes,
                       size_t{packet.payload_offset} - packet.l4_offset - kTcpHeaderBytes);
}

/// Calls `take` with each option, kind and length included. A length that does not fit ends the
/// list for every receiver: nothing behind it counts.
template <class Byte, class Take>
void for_each_tcp_option(std::span<Byte> options, Take&& take) noexcept {
  while (!options.empty() && options[0] != kEndOfList) {
    size_t length = 1;
    if (options[0] != kNoOperation) {
      if (options.size() < 2 || options[1] < 2 || options[1] > options.size()) return;
      length = options[1];
    }
    take(options.first(length));
    options = options.subspan(length);
  }
}

}  // namespace sallyport
