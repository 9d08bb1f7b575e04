#pragma once

#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <vector>

#include "dataplane/io/capture_packet.h"

namespace sallyport {

/// What `--checksums` says about TCP and UDP checksums, and about those of IPv4 headers.
enum class ChecksumMode : uint8_t {
  automatic,  ///< `ignore` where the capture shows the marks of offload, else `verify`.
  verify,     ///< As on the wire.
  ignore,     ///< Not looked at; those of IPv4 headers are made right.
};

/// What a first pass over a capture found out.
struct CaptureSurvey {
  uint64_t frames = 0;  ///< How many replay will see: no capture has more flows than that.
  bool ignore_checksums = false;
  bool is_fit = false;   ///< The file itself can be given to libpcap: nothing is to be changed.
  CaptureFault fault{};  ///< Why it ends where it does.
  std::vector<std::string> notes;  ///< For people: what is left out or not as on the wire.
};

/// Where frames go, in the capture's order.
class FrameSink {
 public:
  virtual ~FrameSink() = default;
  /// @param wire_bytes  More than the frame has when it was snapped.
  /// @return            false when no more can be taken.
  virtual bool frame(uint64_t unix_ns, std::span<const uint8_t> frame, uint64_t wire_bytes) = 0;
};

/// Reads a capture through once.
/// @param file  pcap or pcapng.
/// @return      what there is in it, or why none of it can be replayed.
std::expected<CaptureSurvey, std::string> survey_capture(std::span<const uint8_t> file,
                                                         ChecksumMode mode);

/// Gives each packet of the capture to `out` as an Ethernet frame that fits one packet buffer.
/// @param survey  Of the same file.
/// @return        false when `out` takes no more.
bool normalise_capture(std::span<const uint8_t> file, const CaptureSurvey& survey, FrameSink& out);

}  // namespace sallyport
