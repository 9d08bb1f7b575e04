#include "dataplane/io/capture_split.h"

#include <algorithm>

#include "dataplane/inspect/big_endian.h"
#include "dataplane/inspect/checksum.h"
#include "dataplane/inspect/packet.h"
#include "policy/runtime/facts.h"

namespace sallyport {
namespace {

constexpr size_t kTcpBytes = 20;
constexpr size_t kMostHeaderBytes = kMostFrameBytes - SegmentSplitter::kMostPayloadBytes;
constexpr uint8_t kCwr = 0x80;

// Offsets in headers.
constexpr size_t kIpv4Id = 4;
constexpr size_t kIpv6Bytes = 40;
constexpr size_t kTcpSequence = 4;
constexpr size_t kTcpFlags = 13;
constexpr size_t kTcpChecksum = 16;
constexpr size_t kTcpUrgent = 18;

// Which flags the piece carries, and where its urgent data ends: both count from its own start.
void set_flags(uint8_t* tcp, size_t done_bytes, bool is_last) noexcept {
  unsigned flags = tcp[kTcpFlags];
  if (!is_last) flags &= ~(unsigned{kFin} | kPsh);
  if (done_bytes > 0) flags &= ~unsigned{kCwr};
  const size_t urgent = load_be16(tcp + kTcpUrgent);
  if ((flags & kUrg) != 0 && urgent > done_bytes) {
    store_be16(tcp + kTcpUrgent, static_cast<uint16_t>(urgent - done_bytes));
  } else if (done_bytes > 0) {
    flags &= ~unsigned{kUrg};
    store_be16(tcp + kTcpUrgent, 0);
  }
  tcp[kTcpFlags] = static_cast<uint8_t>(flags);
}

}  // namespace

SegmentSplitter::SegmentSplitter(std::span<const uint8_t> frame, const CapturedIp& ip) noexcept
    : frame_(frame), ip_(ip) {
  const auto tcp = ip.l4(frame);
  if (ip.protocol != kIpProtocolTcp || ip.is_fragment || tcp.size() < kTcpBytes) return;
  // An IPv6 packet over 64 KiB has its length in a header that the pieces must not have.
  const bool jumbo = !ip.is_v4 && !ip.has_length && ip.l4_offset - ip.l3_offset > kIpv6Bytes;
  const size_t header_bytes = (tcp[12] >> 4) * size_t{4};
  payload_offset_ = ip.l4_offset + header_bytes;
  can_split_ = !jumbo && header_bytes >= kTcpBytes && header_bytes < tcp.size() &&
               payload_offset_ <= kMostHeaderBytes && (tcp[kTcpFlags] & kSyn) == 0;
}

uint64_t SegmentSplitter::count() const noexcept {
  if (!can_split_) return 0;
  return (ip_.end - payload_offset_ + kMostPayloadBytes - 1) / kMostPayloadBytes;
}

bool SegmentSplitter::next(std::vector<uint8_t>& piece) {
  if (!can_split_ || payload_offset_ + done_bytes_ >= ip_.end) return false;
  const size_t left = ip_.end - payload_offset_ - done_bytes_;
  const size_t take = std::min(left, kMostPayloadBytes);
  const auto header = frame_.first(payload_offset_);
  const auto payload = frame_.subspan(payload_offset_ + done_bytes_, take);
  piece.assign(header.begin(), header.end());
  piece.insert(piece.end(), payload.begin(), payload.end());

  uint8_t* const tcp = &piece[ip_.l4_offset];
  store_be32(tcp + kTcpSequence,
             load_be32(tcp + kTcpSequence) + static_cast<uint32_t>(done_bytes_));
  // What was cut off a snapped segment stands behind this: its FIN has not been reached.
  set_flags(tcp, done_bytes_, take == left && ip_.is_whole);
  if (ip_.is_v4) {
    uint8_t* const id = &piece[ip_.l3_offset + kIpv4Id];
    store_be16(id, static_cast<uint16_t>(load_be16(id) + done_bytes_ / kMostPayloadBytes));
  }
  store_ip_length(piece, ip_, piece.size() - ip_.l3_offset);
  repair_ip_checksum(piece, ip_);
  store_be16(tcp + kTcpChecksum, 0);
  const auto l4 = std::span<const uint8_t>(piece).subspan(ip_.l4_offset);
  store_be16(tcp + kTcpChecksum, l4_checksum(ip_.source, ip_.destination, kIpProtocolTcp, l4));
  done_bytes_ += take;
  return true;
}

}  // namespace sallyport
