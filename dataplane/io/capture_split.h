#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/io/capture_headers.h"

namespace sallyport {

/// The longest frame that replay feeds to the worker, which takes frames of one buffer only.
inline constexpr size_t kMostFrameBytes = 9216;

/// Cuts a TCP segment that segmentation or receive offload made longer than any link carries into
/// segments as they were on the wire, or could have been: sequence numbers, lengths, IPv4 ids and
/// checksums are right, FIN and PSH are on the last only, CWR (RFC 3168) on the first.
///
///   SegmentSplitter pieces(frame, ip);
///   while (pieces.next(piece)) …
class SegmentSplitter {
 public:
  static constexpr size_t kMostPayloadBytes = 8192;

  /// @param frame  Stays where it is until the last piece is made.
  /// @param ip     What find_ip() says of it.
  SegmentSplitter(std::span<const uint8_t> frame, const CapturedIp& ip) noexcept;

  /// Whether the frame can be cut: TCP, no fragment, no SYN (its data is no stream yet), headers
  /// that fit. If not, there are no pieces.
  bool can_split() const noexcept { return can_split_; }

  /// How many pieces next() gives.
  uint64_t count() const noexcept;

  /// @param piece  Overwritten with the next frame.
  /// @return       Whether there was one.
  bool next(std::vector<uint8_t>& piece);

 private:
  std::span<const uint8_t> frame_;
  CapturedIp ip_;
  size_t payload_offset_ = 0;
  size_t done_bytes_ = 0;  ///< Of the payload.
  bool can_split_ = false;
};

}  // namespace sallyport
