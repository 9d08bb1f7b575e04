#pragma once

#include <rte_mbuf.h>

#include <cstdint>
#include <span>

#include "dataplane/inspect/packet.h"

namespace sallyport {

/// What the gateway says in the name of one end of a TCP connection.
struct TcpReply {
  uint32_t sequence = 0;
  uint32_t acknowledgement = 0;
  uint8_t flags = kRst | kAck;  ///< TcpFlag set.
  std::span<const uint8_t> payload;
};

/// At most so many bytes of payload: a reply fits every link that carries IPv6.
inline constexpr size_t kMaxReplyPayload = 1024;

/// The RST that the sender of `packet` must believe: its sequence number is what that sender last
/// acknowledged (RFC 9293 section 3.5.2).
TcpReply reset_for_sender(const Packet& packet) noexcept;

/// Makes a segment by the example of a packet of the same flow: same link layer, same addresses,
/// and timestamps (RFC 7323) where the example has them and this is no RST.
///
/// @param pool       Where the new packet comes from.
/// @param frame      The example; `packet` was decoded from it.
/// @param to_sender  true: towards the one who sent the example; false: onwards, the way it went.
/// @return           a packet to transmit, or nullptr when the pool is empty.
rte_mbuf* make_tcp_reply(rte_mempool* pool, std::span<const uint8_t> frame, const Packet& packet,
                         bool to_sender, const TcpReply& reply) noexcept;

/// Bytes of an ICMP error from the IP header on: what no host need take in more than one piece
/// (RFC 1812 section 4.3.2.3, RFC 4443 section 2.4).
constexpr size_t longest_icmp_error(bool is_v4) noexcept {
  return is_v4 ? 576 : 1280;
}

/// Whether an ICMP error may answer this packet (RFC 1122 section 3.2.2, RFC 4443 section 2.4):
/// none about another ICMP message but an echo request, to or about a group, or to nobody.
bool may_be_answered_by_icmp(std::span<const uint8_t> frame, const Packet& packet) noexcept;

/// Makes the ICMP or ICMPv6 error "communication administratively prohibited" for the sender of
/// `packet`, in the name of its destination (RFC 1812 section 5.2.7.1, RFC 4443 section 3.1).
rte_mbuf* make_prohibited(rte_mempool* pool, std::span<const uint8_t> frame,
                          const Packet& packet) noexcept;

}  // namespace sallyport
