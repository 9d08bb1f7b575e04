#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "dataplane/inspect/identify.h"
#include "dataplane/inspect/packet.h"

namespace sallyport {

/// What a fault is called in counters, logs and documents, and one sentence for their readers.
template <typename Fault>
struct FaultInfo {
  Fault id;
  std::string_view name;
  std::string_view help;
};

template <typename Fault>
using FaultTable = std::array<FaultInfo<Fault>, static_cast<size_t>(Fault::count_)>;

inline constexpr FaultTable<DecodeFault> kDecodeFaultInfo{{
    {DecodeFault::none, "none", "The packet was decoded."},
    {DecodeFault::truncated_ethernet, "truncated_ethernet",
     "The frame is shorter than its Ethernet or VLAN header."},
    {DecodeFault::too_many_vlan_tags, "too_many_vlan_tags",
     "The frame carries more than two VLAN tags."},
    {DecodeFault::unsupported_ethertype, "unsupported_ethertype",
     "The frame is neither IPv4, IPv6 nor ARP."},
    {DecodeFault::malformed_arp, "malformed_arp",
     "The ARP frame is no plain request or reply for IPv4 over Ethernet."},
    {DecodeFault::truncated_ip, "truncated_ip",
     "The frame has fewer bytes than its IP header says."},
    {DecodeFault::bad_ip_header, "bad_ip_header",
     "The IP header contradicts itself or names an IPv4-mapped address."},
    {DecodeFault::bad_ip_checksum, "bad_ip_checksum", "The IPv4 header checksum is wrong."},
    {DecodeFault::fragment, "fragment", "The packet holds an IP fragment inside another."},
    {DecodeFault::bad_fragment, "bad_fragment",
     "An IP fragment of an impossible place or length, or of a link message."},
    {DecodeFault::partial_header_chain, "partial_header_chain",
     "An IPv6 first fragment does not hold all headers up to TCP's, UDP's or ICMP's."},
    {DecodeFault::source_route, "source_route",
     "The packet carries a source route, which could lead past the judged address."},
    {DecodeFault::unsafe_option, "unsafe_option",
     "An IPv4 or IPv6 option that could carry data past the policy."},
    {DecodeFault::bad_extension_header, "bad_extension_header",
     "The IPv6 extension headers are cut, over eight, misplaced or lead nowhere."},
    {DecodeFault::truncated_l4, "truncated_l4",
     "The packet is shorter than its TCP, UDP or ICMP header."},
    {DecodeFault::bad_tcp_header, "bad_tcp_header",
     "The TCP data offset is impossible, or no stack sends such flags."},
    {DecodeFault::bad_udp_length, "bad_udp_length", "The UDP length is not the IP payload's."},
    {DecodeFault::land, "land", "Source and destination are the same address and port."},
}};

inline constexpr FaultTable<InspectFault> kInspectFaultInfo{{
    {InspectFault::none, "none", "The first bytes were well-formed."},
    {InspectFault::tls_bad_record, "tls_bad_record",
     "A TLS record before the ClientHello's end has a forbidden type, version or length."},
    {InspectFault::tls_not_client_hello, "tls_not_client_hello",
     "The first TLS handshake message is no ClientHello."},
    {InspectFault::tls_hello_too_long, "tls_hello_too_long",
     "The ClientHello is over 32 KiB (QUIC: 8 KiB), 64 extensions, 32 ALPNs or 1024 ciphers."},
    {InspectFault::tls_truncated, "tls_truncated",
     "A length in the ClientHello runs past its block, or the stream ends inside it."},
    {InspectFault::tls_trailing_bytes, "tls_trailing_bytes",
     "Bytes stand behind the last field of the ClientHello."},
    {InspectFault::tls_duplicate_extension, "tls_duplicate_extension",
     "The ClientHello carries an extension twice."},
    {InspectFault::tls_bad_server_name, "tls_bad_server_name",
     "The TLS server name is not exactly one host name."},
    {InspectFault::tls_bad_extension, "tls_bad_extension",
     "ALPN, versions, groups, formats or signatures of the ClientHello break their lists."},
    {InspectFault::http_bad_request_line, "http_bad_request_line",
     "The HTTP/1 request line breaks RFC 9112."},
    {InspectFault::http_bad_header, "http_bad_header",
     "An HTTP/1 header line breaks RFC 9112, or the stream ends before the head does."},
    {InspectFault::http_head_too_long, "http_head_too_long", "The HTTP/1 head is over 32 KiB."},
    {InspectFault::http_bad_host, "http_bad_host",
     "The HTTP host is missing, doubled or no host name."},
    {InspectFault::http_host_conflict, "http_host_conflict",
     "The HTTP request target or :authority and the Host field name different hosts."},
    {InspectFault::http_bad_path, "http_bad_path",
     "The HTTP path holds a broken escape, an encoded control, overlong UTF-8, or is over 8 KiB."},
    {InspectFault::http_bad_length, "http_bad_length",
     "Content-Length is doubled, no number, or stands where no body or another framing does."},
    {InspectFault::http_bad_transfer_coding, "http_bad_transfer_coding",
     "Transfer-Encoding is not exactly chunked, or stands in HTTP/1.0."},
    {InspectFault::http_bad_chunk, "http_bad_chunk",
     "A chunk's size line, its end or the trailers of a chunked body break RFC 9112."},
    {InspectFault::http_many_fields, "http_many_fields",
     "The request has over 64 lines of fields the policy asks for."},
    {InspectFault::http_upgrade_refused, "http_upgrade_refused",
     "An upgrade to h2c or another protocol than websocket."},
    {InspectFault::http_early_tunnel, "http_early_tunnel",
     "CONNECT or an upgrade before the end of an earlier answer was seen for certain."},
    {InspectFault::http_request_in_body, "http_request_in_body",
     "A GET, HEAD, DELETE, OPTIONS or TRACE whose body begins like another request."},
    {InspectFault::http2_bad_frame, "http2_bad_frame",
     "An HTTP/2 frame that RFC 9113 forbids where it stands, or whose lengths contradict."},
    {InspectFault::http2_bad_continuation, "http2_bad_continuation",
     "CONTINUATION frames alone, interrupted, or over 32 for one HTTP/2 header block."},
    {InspectFault::http2_headers_too_long, "http2_headers_too_long",
     "An HTTP/2 header block over 32 KiB, or over 64 KiB once decoded."},
    {InspectFault::http2_bad_header_block, "http2_bad_header_block",
     "HPACK that does not decode, or needs more memory than a connection has."},
    {InspectFault::http2_bad_pseudo_header, "http2_bad_pseudo_header",
     "An HTTP/2 pseudo-header is missing, doubled, unknown or misplaced."},
    {InspectFault::http2_bad_field, "http2_bad_field",
     "An HTTP/2 field name or value that RFC 9113 forbids."},
    {InspectFault::quic_bad_header, "quic_bad_header",
     "A QUIC long header breaks RFC 9000 or is none that a client sends."},
    {InspectFault::quic_unknown_version, "quic_unknown_version",
     "A QUIC version whose Initial keys are not known here."},
    {InspectFault::quic_bad_packet, "quic_bad_packet",
     "A QUIC Initial that no key opens: forged, damaged or of a connection not seen."},
    {InspectFault::quic_too_many_packets, "quic_too_many_packets",
     "Over 16 QUIC packets lie in one datagram."},
    {InspectFault::quic_mixed_connections, "quic_mixed_connections",
     "QUIC packets in one datagram carry different connection ids."},
    {InspectFault::quic_bad_frame, "quic_bad_frame",
     "A QUIC Initial holds a frame that is cut or forbidden there, or no frame."},
    {InspectFault::quic_crypto_conflict, "quic_crypto_conflict",
     "Two QUIC CRYPTO frames disagree about the same byte."},
    {InspectFault::quic_too_many_gaps, "quic_too_many_gaps",
     "The QUIC ClientHello comes in over 64 separate pieces at once."},
    {InspectFault::quic_short_datagram, "quic_short_datagram",
     "A QUIC Initial in a datagram under 1,200 bytes, which servers throw away."},
    {InspectFault::quic_old_attempt, "quic_old_attempt",
     "A QUIC Initial of a connection attempt that its client had given up for another."},
    {InspectFault::quic_other_connection, "quic_other_connection",
     "A second connection on the ports of a QUIC flow, of another rule or budget than the first."},
    {InspectFault::quic_too_many_attempts, "quic_too_many_attempts",
     "A QUIC flow with over 8 connection attempts given up before the server took their hello."},
    {InspectFault::dns_bad_header, "dns_bad_header",
     "A DNS query with answers, another opcode than QUERY, or not exactly one question."},
    {InspectFault::dns_bad_question, "dns_bad_question",
     "A DNS question has an unknown class, or its name is compressed."},
    {InspectFault::dns_bad_name, "dns_bad_name", "The name in a DNS question is no host name."},
    {InspectFault::dns_bad_record, "dns_bad_record",
     "A DNS query carries records it has no use for, or bytes behind the last one."},
    {InspectFault::dns_bad_length, "dns_bad_length",
     "A DNS message over TCP is too short or long, or the stream ends inside it."},
}};

/// Each row stands at its enum value, and fits the counters' stats segment (stats_layout.h).
template <typename Fault>
consteval bool is_fault_table(const FaultTable<Fault>& table) {
  constexpr size_t kMaxNameBytes = 40;
  constexpr size_t kMaxHelpBytes = 123;
  for (size_t i = 0; i < table.size(); ++i) {
    if (table[i].id != static_cast<Fault>(i) || table[i].name.empty()) return false;
    if (table[i].name.size() > kMaxNameBytes || table[i].help.size() > kMaxHelpBytes) return false;
  }
  return true;
}
static_assert(is_fault_table(kDecodeFaultInfo), "kDecodeFaultInfo must follow enum DecodeFault");
static_assert(is_fault_table(kInspectFaultInfo), "kInspectFaultInfo must follow enum InspectFault");

/// The snake_case name. `fault` must be below count_.
constexpr std::string_view to_string(DecodeFault fault) noexcept {
  return kDecodeFaultInfo[static_cast<size_t>(fault)].name;
}
constexpr std::string_view to_string(InspectFault fault) noexcept {
  return kInspectFaultInfo[static_cast<size_t>(fault)].name;
}

}  // namespace sallyport
