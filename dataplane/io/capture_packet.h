#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace sallyport {

inline constexpr uint32_t kLinkEthernet = 1;  ///< LINKTYPE_ETHERNET

/// A packet or block longer than this is a damaged length: no interface delivers one.
inline constexpr uint32_t kMostCapturedBytes = 16u << 20;

/// One packet as a capture has it.
struct CapturedPacket {
  uint32_t link_type = 0;          ///< A LINKTYPE_ number: what its first bytes are.
  uint64_t unix_ns = 0;            ///< When it was seen.
  uint32_t wire_bytes = 0;         ///< On the wire: more than `bytes` has when it was snapped.
  std::span<const uint8_t> bytes;  ///< Borrowed from the capture.
};

/// Why a capture gives no further packets.
enum class CaptureFault : uint8_t {
  none,               ///< It was read to its end.
  not_a_capture,      ///< Neither pcap nor pcapng.
  cut_header,         ///< It ends before anything could be said of its packets.
  cut_short,          ///< It ends inside a packet or block; those before are whole.
  bad_block,          ///< A length contradicts the block it stands in, or is beyond all reason.
  unknown_interface,  ///< pcapng: a packet of an interface that no block before it describes.
};

/// For people: "it is cut short". Empty for `none`.
std::string_view to_string(CaptureFault fault) noexcept;

/// Whether the bytes contradict themselves; a capture that was cut short is good as far as it goes.
constexpr bool is_damaged(CaptureFault fault) noexcept {
  return fault == CaptureFault::bad_block || fault == CaptureFault::unknown_interface;
}

/// "1 packet", "2 packets".
std::string count_of_packets(uint64_t count);

}  // namespace sallyport
