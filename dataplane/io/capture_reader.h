#pragma once

#include <cstdint>
#include <span>

#include "dataplane/io/capture_pcapng.h"

namespace sallyport {

/// The packets of a capture in memory, one after the other: pcap (micro- and nanoseconds, both byte
/// orders, the "modified" variant) and pcapng. Borrows the bytes; never allocates for a packet.
class CaptureReader {
 public:
  explicit CaptureReader(std::span<const uint8_t> file) noexcept;

  /// @param out  Written only when the result is true; its bytes lie in the file.
  /// @return     Whether there was another packet. If not, fault() says why.
  bool next(CapturedPacket& out);

  /// `none` at the end of a whole file. Once it is another value it stays.
  CaptureFault fault() const noexcept { return is_pcapng_ ? pcapng_.fault() : fault_; }

  /// What a pcap says of all its packets before the first; 0 for pcapng, whose interfaces differ.
  uint32_t link_type() const noexcept { return link_type_; }

  /// Whether libpcap reads the same packets in it, all of them Ethernet: a pcap of today's version
  /// that cuts no packet under `frame_bytes`.
  bool is_plain_ethernet(uint32_t frame_bytes) const noexcept {
    return plain_ && snapped_to_bytes_ >= frame_bytes;
  }

 private:
  void read_header(std::span<const uint8_t> file) noexcept;
  bool stop(CaptureFault fault) noexcept;

  PcapngReader pcapng_;
  std::span<const uint8_t> rest_;
  CaptureFault fault_ = CaptureFault::none;
  bool is_pcapng_ = false;
  bool swapped_ = false;
  bool nanoseconds_ = false;
  bool modified_ = false;
  bool plain_ = false;
  uint16_t minor_version_ = 0;
  uint32_t snapped_to_bytes_ = 0;
  uint32_t link_type_ = 0;
};

}  // namespace sallyport
