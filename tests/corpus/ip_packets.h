#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>

namespace sallyport::test {

/// One TCP segment or UDP datagram of a capture, fragments joined.
struct TransportPacket {
  std::string source;  ///< Addresses as text.
  std::string destination;
  uint16_t source_port = 0;
  uint16_t destination_port = 0;
  bool is_tcp = false;
  bool is_syn = false;
  uint32_t sequence = 0;
  bool good_checksum = false;
  std::span<const uint8_t> payload;  ///< Good for the call only.
};

/// Calls `each` for all TCP and UDP of a capture, tunnelled traffic aside: pcap or pcapng; Ethernet
/// with VLAN tags, raw IP, Linux cooked, BSD null and PPP.
/// @return false when libpcap cannot read the file.
bool for_each_packet(const std::filesystem::path& capture,
                     const std::function<void(const TransportPacket&)>& each);

}  // namespace sallyport::test
