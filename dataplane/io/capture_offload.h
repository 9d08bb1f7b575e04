#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>

#include "dataplane/io/capture_headers.h"

namespace sallyport {

/// Looks over a capture for the marks of offload: a host that captures its own traffic sees packets
/// before its NIC has filled in their checksums and cut them up, or after it has joined them.
/// docs/operations.md states the rule.
class OffloadSurvey {
 public:
  /// @param frame  Ethernet, as captured.
  /// @param ip     What find_ip() says of it.
  void see(std::span<const uint8_t> frame, const CapturedIp& ip);

  /// Why checksums say nothing in this capture; "" when they do.
  std::string why() const;

  /// Packets with a wrong IPv4 header checksum, whatever follows from it.
  uint64_t bad_ip_checksums() const noexcept { return bad_ip_checksums_; }
  /// IPv4 packets without a length: the NIC would have filled it in for each piece.
  uint64_t without_length() const noexcept { return without_length_; }

 private:
  struct Sender {
    uint64_t checked = 0;  ///< Packets that have a checksum, and all that it covers.
    uint64_t wrong = 0;
    uint64_t ip_checked = 0;
    uint64_t ip_wrong = 0;

    Sender& operator+=(const Sender& other) noexcept {
      checked += other.checked;
      wrong += other.wrong;
      ip_checked += other.ip_checked;
      ip_wrong += other.ip_wrong;
      return *this;
    }
  };

  void see_transport(std::span<const uint8_t> frame, const CapturedIp& ip, Sender& sender);
  static std::string nearly_all_wrong(const Sender& sender, uint64_t fewest);

  std::map<IpAddress, Sender> senders_;
  uint64_t oversized_ = 0;
  uint64_t without_length_ = 0;
  uint64_t unfinished_ = 0;  ///< Only the pseudo-header's sum in the checksum field.
  uint64_t bad_ip_checksums_ = 0;
};

}  // namespace sallyport
