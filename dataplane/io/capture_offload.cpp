#include "dataplane/io/capture_offload.h"

#include "dataplane/inspect/big_endian.h"
#include "dataplane/inspect/checksum.h"
#include "dataplane/io/capture_packet.h"
#include "dataplane/io/capture_split.h"
#include "policy/runtime/facts.h"

namespace sallyport {
namespace {

constexpr size_t kTcpBytes = 20;
constexpr size_t kUdpBytes = 8;

// A host that leaves checksums to its NIC leaves nearly all of them, and a decoy that is to miss
// its server comes between packets that are to reach it: three of four tells the two apart.
bool is_nearly_all(uint64_t wrong, uint64_t checked, uint64_t fewest) noexcept {
  return wrong >= fewest && wrong * 4 >= checked * 3;
}

}  // namespace

void OffloadSurvey::see(std::span<const uint8_t> frame, const CapturedIp& ip) {
  Sender& sender = senders_[ip.source];
  if (!ip.has_length && ip.is_v4) ++without_length_;
  if (ip.is_v4) {
    ++sender.ip_checked;
    if (!has_right_ip_checksum(frame, ip)) {
      ++sender.ip_wrong;
      ++bad_ip_checksums_;
    }
  }
  const bool has_checksum = ip.protocol == kIpProtocolTcp || ip.protocol == kIpProtocolUdp;
  if (!has_checksum || ip.is_fragment) return;
  if (frame.size() > kMostFrameBytes) ++oversized_;
  if (ip.is_whole) see_transport(frame, ip, sender);
}

void OffloadSurvey::see_transport(std::span<const uint8_t> frame, const CapturedIp& ip,
                                  Sender& sender) {
  const auto l4 = ip.l4(frame);
  const bool is_udp = ip.protocol == kIpProtocolUdp;
  if (l4.size() < (is_udp ? kUdpBytes : kTcpBytes)) return;
  if (is_udp && load_be16(&l4[4]) != l4.size()) return;
  const uint16_t field = load_be16(&l4[is_udp ? 6 : 16]);
  if (is_udp && field == 0) return;  // the sender made none
  ++sender.checked;
  if (l4_checksum(ip.source, ip.destination, ip.protocol, l4) == 0) return;
  ++sender.wrong;
  if (field == pseudo_header_sum(ip, l4.size()) || field == pseudo_header_sum(ip, 0)) ++unfinished_;
}

// "a wrong checksum in 3 of 3 packets", or "".
std::string OffloadSurvey::nearly_all_wrong(const Sender& sender, uint64_t fewest) {
  if (is_nearly_all(sender.wrong, sender.checked, fewest)) {
    return "a wrong checksum in " + std::to_string(sender.wrong) + " of " +
           count_of_packets(sender.checked);
  }
  if (is_nearly_all(sender.ip_wrong, sender.ip_checked, fewest)) {
    return "a wrong IP header checksum in " + std::to_string(sender.ip_wrong) + " of " +
           count_of_packets(sender.ip_checked);
  }
  return "";
}

std::string OffloadSurvey::why() const {
  if (oversized_ > 0) {
    return count_of_packets(oversized_) +
           " longer than any link carries: cut up or joined by a NIC";
  }
  if (without_length_ > 0) return count_of_packets(without_length_) + " without an IP length";
  if (unfinished_ > 0) {
    return count_of_packets(unfinished_) +
           " with the sum of the pseudo-header alone: left to a NIC";
  }
  Sender all;
  for (const auto& [address, sender] : senders_) {
    if (std::string wrong = nearly_all_wrong(sender, 2); !wrong.empty()) {
      return wrong + " from " + to_string(address);
    }
    all += sender;
  }
  // An edited capture, in which no sender says enough; perhaps of one packet.
  return nearly_all_wrong(all, 1);
}

}  // namespace sallyport
