#pragma once

#include <string>
#include <vector>

#include "tests/pipeline/pipeline.h"
#include "tests/support/client_hello_builder.h"
#include "tests/support/packet_builder.h"

namespace sallyport::test {

/// One TCP connection through a Pipeline, as both ends would send it.
struct Conversation {
  Pipeline& pipeline;
  std::string client = "198.18.0.2";
  uint16_t client_port = 40000;
  std::string server = "198.19.0.2";
  uint16_t server_port = 443;
  uint32_t client_first = 1001;  ///< Sequence number of each end's first byte.
  uint32_t server_first = 900'001;

  /// From the client, acknowledging the handshake, at stream position `offset`.
  PacketBuilder out(size_t offset = 0) const {
    return tcp(client, client_port, server, server_port)
        .seq(client_first + static_cast<uint32_t>(offset))
        .ack(server_first);
  }
  PacketBuilder in(size_t offset = 0) const {
    return tcp(server, server_port, client, client_port)
        .macs(kOutsideMac, kInsideMac)
        .seq(server_first + static_cast<uint32_t>(offset))
        .ack(client_first);
  }
  /// From the server, which has that many of the client's bytes.
  PacketBuilder acknowledging(size_t bytes) const {
    return in().ack(client_first + static_cast<uint32_t>(bytes));
  }
  Bytes syn() const {
    return tcp(client, client_port, server, server_port).seq(client_first - 1).flags(kSyn).frame();
  }
  Bytes syn_ack() const { return in().seq(server_first - 1).flags(kSyn | kAck).frame(); }
  Bytes segment(const Bytes& stream, size_t from, size_t to) const {
    return out(from)
        .payload(Bytes(stream.begin() + static_cast<std::ptrdiff_t>(from),
                       stream.begin() + static_cast<std::ptrdiff_t>(to)))
        .frame();
  }

  /// The three-way handshake. Forgets what it sent on both sides.
  void open() const {
    pipeline.from_inside(syn());
    pipeline.from_outside(syn_ack());
    pipeline.from_inside(out().frame());
    pipeline.to_outside();
    pipeline.to_inside();
  }
  void send(const Bytes& stream) const { pipeline.from_inside(out().payload(stream).frame()); }
};

/// Whether the frames hold exactly one RST that the end which acknowledged `sequence` must believe.
inline bool is_reset(const std::vector<Bytes>& frames, uint32_t sequence) {
  if (frames.size() != 1) return false;
  const Packet packet = decoded(frames.front());
  const size_t headers = packet.flow.source.is_v4() ? 20 + 20 : 40 + 20;
  return packet.kind == PacketKind::tcp && (packet.tcp_flags & kRst) != 0 &&
         packet.tcp_sequence == sequence && packet.payload_bytes == 0 &&
         frames.front().size() == packet.l3_offset + headers &&
         l4_checksum_ok(frames.front(), packet);
}

/// Whether the frames are one ICMP error, "administratively prohibited", that quotes `port`.
inline bool is_prohibited(const std::vector<Bytes>& frames, uint16_t port) {
  if (frames.size() != 1) return false;
  const Packet packet = decoded(frames.front());
  const Bytes& frame = frames.front();
  return packet.kind == PacketKind::icmp_error && frame[packet.l4_offset] == 3 &&
         frame[packet.l4_offset + 1] == 13 && packet.quoted.source_port == port;
}

/// What a denied client is told in the server's name, behind the `acknowledged` bytes of its own
/// that have come: the payload, or nothing if the frames are not just that.
inline Bytes farewell(const std::vector<Bytes>& frames, const Conversation& flow,
                      size_t acknowledged) {
  if (frames.size() != 1) return {};
  const Packet packet = decoded(frames.front());
  const bool right = packet.kind == PacketKind::tcp && packet.tcp_flags == (kPsh | kAck | kFin) &&
                     packet.tcp_acknowledgement == flow.client_first + acknowledged &&
                     to_string(packet.flow.source) == flow.server &&
                     packet.flow.destination_port == flow.client_port &&
                     l4_checksum_ok(frames.front(), packet);
  return right ? payload_of(frames.front()) : Bytes{};
}
inline std::string text_of(const Bytes& bytes) {
  return {bytes.begin(), bytes.end()};
}
inline const Bytes kAccessDenied{21, 3, 3, 0, 2, 2, 49};

/// What a TLS client sends behind its handshake: one record.
inline Bytes app_data(std::string_view text) {
  const Bytes head{0x17, 3, 3, 0, static_cast<uint8_t>(text.size())};
  return head + bytes_of(text);
}

inline Bytes request(std::string_view host) {
  return bytes_of("GET /models/a HTTP/1.1\r\nHost: " + std::string(host) + "\r\n\r\n");
}

inline constexpr std::string_view kAllowAll =
    "apiVersion: sallyport/v1\nkind: EgressPolicy\nmetadata: {name: all}\nspec:\n  egress:\n"
    "    - {name: everything, action: Allow}\n";

/// Allows good.test by TLS and HTTP on any port, a server by address alone, and DNS.
inline constexpr std::string_view kPolicy = R"(
apiVersion: sallyport/v1
kind: EgressPolicy
metadata: {name: p}
spec:
  egress:
    - {name: bad, action: Deny, to: {domainNames: [bad.good.test]}}
    - {name: good, action: Allow, to: {domainNames: [good.test, "*.good.test"]}, protocols: [{tls: {}}, {http: {}}]}
    - {name: ssh, action: Allow, to: {cidrs: [198.19.0.22/32]}, protocols: [{tcp: {ports: [22]}}]}
    - {name: dns, action: Allow, to: {cidrs: [198.19.0.53/32, "2001:db8::53/128"]}, protocols: [{udp: {ports: [53]}}]}
)";

}  // namespace sallyport::test
