#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/io/capture_packet.h"

namespace sallyport {

class CaptureFields;

/// Reads pcapng (draft-ietf-opsawg-pcapng): several sections of either byte order, interfaces that
/// differ in link type, snap length and resolution, enhanced, simple and obsolete packet blocks.
class PcapngReader {
 public:
  /// Whether the bytes begin like pcapng at all.
  static bool starts(std::span<const uint8_t> file) noexcept;

  explicit PcapngReader(std::span<const uint8_t> file) noexcept : rest_(file) {}

  /// As CaptureReader::next.
  bool next(CapturedPacket& out);
  CaptureFault fault() const noexcept { return fault_; }

 private:
  struct Interface {
    uint32_t link_type = 0;
    uint32_t snapped_to_bytes = 0;          ///< 0: packets are whole.
    uint64_t ticks_per_second = 1'000'000;  ///< 0: its times fit no number, and count as 0.
    int64_t offset_seconds = 0;
  };
  struct Block {
    uint32_t type = 0;
    std::span<const uint8_t> body;
  };

  bool take_block(Block& out) noexcept;
  bool start_section(const Block& block) noexcept;
  bool add_interface(const Block& block);
  bool read_packet(const Block& block, CapturedPacket& out) noexcept;
  bool read_stamped(CaptureFields& fields, uint32_t interface, CapturedPacket& out) noexcept;
  bool read_simple(CaptureFields& fields, CapturedPacket& out) noexcept;
  bool stop(CaptureFault fault) noexcept;

  static bool read_options(CaptureFields& fields, Interface& out) noexcept;
  static uint64_t unix_ns(const Interface& interface, uint64_t ticks) noexcept;

  std::span<const uint8_t> rest_;
  std::vector<Interface> interfaces_;  ///< Of this section.
  uint64_t latest_unix_ns_ = 0;        ///< A simple packet block has no time of its own.
  CaptureFault fault_ = CaptureFault::none;
  bool in_section_ = false;
  bool swapped_ = false;
};

}  // namespace sallyport
