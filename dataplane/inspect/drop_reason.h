#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sallyport {

/// Why a packet that decoded well went no further. Each is a counter (`sallyport_drops_total`);
/// the faults of DecodeFault count beside them under their own names.
enum class DropReason : uint8_t {
  denied,
  inbound,
  icmp_unrelated,
  router_message,
  midstream,
  syn_with_data,
  no_ack_flag,
  before_handshake,
  unsent_ack,
  urgent_data,
  bad_l4_checksum,
  out_of_window,
  duplicate_of_held,
  retransmission_differs,
  guard_full,
  hold_full,
  undecodable_quic,
  held_after_denial,
  held_at_flow_end,
  flow_table_full,
  handoff_ring_full,
  no_transmit_buffer,
  transmit_queue_full,
  many_segments,
  fragment_overlap,
  fragment_duplicate,
  fragment_table_full,
  fragment_timeout,
  fragment_too_long,
  fragment_too_many,
  no_datagram_buffer,
  exception,
  count_
};

struct DropReasonInfo {
  DropReason id;
  std::string_view name;
  std::string_view help;
};

inline constexpr size_t kDropReasons = static_cast<size_t>(DropReason::count_);

/// One line a reason, in enum order: the stats segment, `sallyport drops` and the tests read this.
inline constexpr std::array<DropReasonInfo, kDropReasons> kDropReasonInfo{{
    {DropReason::denied, "denied", "Packets of flows the policy denies."},
    {DropReason::inbound, "inbound", "First packets of flows opened from outside."},
    {DropReason::icmp_unrelated, "icmp_unrelated",
     "ICMP errors that quote no allowed flow, or not to its end."},
    {DropReason::router_message, "router_message",
     "IPv6 router advertisements and redirects from inside."},
    {DropReason::midstream, "midstream", "TCP packets of a flow whose SYN was never seen."},
    {DropReason::syn_with_data, "syn_with_data", "SYNs that carry data: it could not be held."},
    {DropReason::no_ack_flag, "no_ack_flag", "Client data without ACK, which no server takes."},
    {DropReason::before_handshake, "before_handshake",
     "Client data before the SYN-ACK; a server's SYN that answers none."},
    {DropReason::unsent_ack, "unsent_ack", "Client data that acknowledges bytes never sent."},
    {DropReason::urgent_data, "urgent_data", "Urgent client segments while the flow is read."},
    {DropReason::bad_l4_checksum, "bad_l4_checksum", "Client data whose TCP checksum is wrong."},
    {DropReason::out_of_window, "out_of_window",
     "Client packets outside what the flow may send now."},
    {DropReason::duplicate_of_held, "duplicate_of_held", "Retransmissions of bytes that are held."},
    {DropReason::retransmission_differs, "retransmission_differs",
     "Retransmissions that differ from the bytes inspected."},
    {DropReason::guard_full, "guard_full",
     "Client data, while too much of it waits for the server's acknowledgement."},
    {DropReason::hold_full, "hold_full",
     "Data of allowed clients behind a gap, while as much waits as one flow may hold."},
    {DropReason::undecodable_quic, "undecodable_quic",
     "QUIC datagrams of clients that nobody without their keys can read."},
    {DropReason::held_after_denial, "held_after_denial", "Held packets of flows then denied."},
    {DropReason::held_at_flow_end, "held_at_flow_end", "Packets still held when their flow ended."},
    {DropReason::flow_table_full, "flow_table_full", "First packets with no room for a flow."},
    {DropReason::handoff_ring_full, "handoff_ring_full", "Packets the owner core could not take."},
    {DropReason::no_transmit_buffer, "no_transmit_buffer",
     "Datagrams for want of buffers for the fragments in which they leave."},
    {DropReason::transmit_queue_full, "transmit_queue_full", "Packets the port did not accept."},
    {DropReason::many_segments, "many_segments", "Frames larger than one packet buffer."},
    {DropReason::fragment_overlap, "fragment_overlap",
     "Fragments of datagrams whose fragments overlap or contradict one another."},
    {DropReason::fragment_duplicate, "fragment_duplicate", "Fragments that were there already."},
    {DropReason::fragment_table_full, "fragment_table_full",
     "Fragments with no room to wait for the rest of their datagram."},
    {DropReason::fragment_timeout, "fragment_timeout",
     "Fragments whose datagram did not become whole in time."},
    {DropReason::fragment_too_long, "fragment_too_long",
     "Fragments of datagrams over fragments.max_datagram_bytes."},
    {DropReason::fragment_too_many, "fragment_too_many",
     "Fragments of datagrams that come in more than 64."},
    {DropReason::no_datagram_buffer, "no_datagram_buffer",
     "Fragments for want of a buffer for the whole datagram."},
    {DropReason::exception, "exception",
     "Packets that an exception whose action is drop-packet cost."},
}};

consteval bool drop_reasons_in_order() {
  for (size_t i = 0; i < kDropReasons; ++i) {
    if (kDropReasonInfo[i].id != static_cast<DropReason>(i)) return false;
  }
  return true;
}
static_assert(drop_reasons_in_order(), "kDropReasonInfo must follow enum DropReason");

}  // namespace sallyport
