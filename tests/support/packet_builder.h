#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/inspect/packet.h"
#include "policy/runtime/ip_address.h"
#include "tests/support/bytes.h"

namespace sallyport::test {

using Mac = std::array<uint8_t, 6>;
inline constexpr Mac kInsideMac{0x02, 0, 0, 0, 0, 1};
inline constexpr Mac kOutsideMac{0x02, 0, 0, 0, 0, 2};

/// Builds whole Ethernet frames whose lengths and checksums are right unless a test asks for wrong
/// ones. The family follows from the addresses' text:
///
///   tcp("198.18.0.2", 40000, "198.19.0.2", 443).seq(1).ack(2).payload("hello").frame()
///   udp("fd00::1", 5353, "fd00::2", 53).vlan(7).bad_l4_checksum().frame()
class PacketBuilder {
 public:
  PacketBuilder(std::string_view source, std::string_view destination, uint8_t protocol)
      : source_(parse_ip_address(source).value()),
        destination_(parse_ip_address(destination).value()),
        protocol_(protocol) {}

  // Ethernet
  PacketBuilder& macs(const Mac& from, const Mac& to) {
    from_ = from, to_ = to;
    return *this;
  }
  PacketBuilder& vlan(uint16_t id, uint16_t tpid = 0x8100) {
    vlans_.emplace_back(tpid, id);
    return *this;
  }
  PacketBuilder& ethertype(uint16_t type) {
    ethertype_ = type;
    return *this;
  }
  PacketBuilder& trailer(size_t bytes) {
    trailer_ = bytes;
    return *this;
  }  ///< Ethernet padding.

  // IP
  PacketBuilder& ttl(uint8_t hops) {
    ttl_ = hops;
    return *this;
  }
  PacketBuilder& id(uint16_t value) {
    id_ = value;
    return *this;
  }
  /// IPv4 options; padded with end-of-list to whole words.
  PacketBuilder& options(Bytes raw) {
    options_ = std::move(raw);
    return *this;
  }
  /// IPv4 only; `offset` in 8-byte units. For IPv6 use extension(44, ...).
  PacketBuilder& fragment(uint16_t offset, bool more) {
    fragment_ = static_cast<uint16_t>(offset | (more ? 0x2000 : 0));
    return *this;
  }
  /// IPv6 extension header: `body` behind its next-header and length bytes, padded to 8.
  PacketBuilder& extension(uint8_t type, Bytes body = {}) {
    extensions_.emplace_back(type, std::move(body));
    return *this;
  }
  PacketBuilder& version(uint8_t value) {
    version_ = value;
    return *this;
  }
  PacketBuilder& header_words(uint8_t value) {
    header_words_ = value;
    return *this;
  }
  PacketBuilder& ip_length(uint16_t value) {
    ip_length_ = value;
    return *this;
  }  ///< As the field.
  PacketBuilder& bad_ip_checksum() {
    ip_checksum_error_ = 1;
    return *this;
  }

  // TCP
  PacketBuilder& seq(uint32_t value) {
    seq_ = value;
    return *this;
  }
  /// Also sets kAck.
  PacketBuilder& ack(uint32_t value) {
    ack_ = value, flags_ |= kAck;
    return *this;
  }
  PacketBuilder& flags(unsigned value) {
    flags_ = static_cast<uint8_t>(value);
    return *this;
  }
  PacketBuilder& window(uint16_t value) {
    window_ = value;
    return *this;
  }
  /// Also sets kUrg.
  PacketBuilder& urgent(uint16_t pointer) {
    urgent_ = pointer, flags_ |= kUrg;
    return *this;
  }
  PacketBuilder& tcp_options(Bytes raw) {
    tcp_options_ = std::move(raw);
    return *this;
  }
  PacketBuilder& data_offset(uint8_t words) {
    data_offset_ = words;
    return *this;
  }

  // ICMP
  PacketBuilder& icmp_type(uint8_t type, uint8_t code) {
    type_ = type, code_ = code;
    return *this;
  }
  PacketBuilder& icmp_rest(uint32_t value) {
    icmp_rest_ = value;
    return *this;
  }

  // Any of them
  PacketBuilder& payload(Bytes data) {
    payload_ = std::move(data);
    return *this;
  }
  PacketBuilder& payload(std::string_view text) { return payload(bytes_of(text)); }
  PacketBuilder& udp_length(uint16_t value) {
    udp_length_ = value;
    return *this;
  }
  PacketBuilder& no_udp_checksum() {
    no_udp_checksum_ = true;
    return *this;
  }
  PacketBuilder& bad_l4_checksum() {
    l4_checksum_error_ = 1;
    return *this;
  }
  PacketBuilder& ports(uint16_t source, uint16_t destination) {
    source_port_ = source, destination_port_ = destination;
    return *this;
  }

  /// From the first byte of the IP header: what an ICMP error quotes.
  Bytes ip_packet() const { return source_.is_v4() ? ipv4() : ipv6(); }

  Bytes frame() const {
    Bytes out(to_.begin(), to_.end());
    out.insert(out.end(), from_.begin(), from_.end());
    for (const auto& [tpid, tag] : vlans_) {
      put16(out, tpid);
      put16(out, tag);
    }
    put16(out, ethertype_.value_or(source_.is_v4() ? 0x0800 : 0x86dd));
    append(out, ip_packet());
    out.insert(out.end(), trailer_, 0);
    return out;
  }

 private:
  // RFC 1071 as its text has it, on purpose not the code under test.
  static uint16_t checksum(const Bytes& data) {
    uint32_t sum = 0;
    for (size_t i = 0; i < data.size(); ++i) sum += i % 2 == 0 ? data[i] * 256U : data[i];
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<uint16_t>(~sum);
  }

  Bytes address_bytes(const IpAddress& address) const {
    return {address.bytes.begin() + (address.is_v4() ? 12 : 0), address.bytes.end()};
  }

  // IPv4 and IPv6 pseudo-headers sum alike: zeros count for nothing.
  uint16_t l4_checksum_of(const Bytes& l4) const {
    Bytes all;
    if (protocol_ != 1) {
      all = address_bytes(source_) + address_bytes(destination_);
      put32(all, l4.size());
      put32(all, protocol_);
    }
    const uint16_t sum = checksum(all + l4);
    return static_cast<uint16_t>((sum == 0 && protocol_ == 17 ? 0xffff : sum) + l4_checksum_error_);
  }

  Bytes tcp_segment() const {
    Bytes options = tcp_options_;
    options.resize((options.size() + 3) / 4 * 4, 0);
    Bytes out;
    put16(out, source_port_);
    put16(out, destination_port_);
    put32(out, seq_);
    put32(out, ack_);
    put8(out, data_offset_.value_or(static_cast<uint8_t>(5 + options.size() / 4)) << 4);
    put8(out, flags_);
    put16(out, window_);
    put16(out, 0);
    put16(out, urgent_);
    append(out, options + payload_);
    store16(out, 16, l4_checksum_of(out));
    return out;
  }

  Bytes udp_datagram() const {
    Bytes out;
    put16(out, source_port_);
    put16(out, destination_port_);
    put16(out, udp_length_.value_or(static_cast<uint16_t>(8 + payload_.size())));
    put16(out, 0);
    append(out, payload_);
    if (!no_udp_checksum_) store16(out, 6, l4_checksum_of(out));
    return out;
  }

  Bytes icmp_message() const {
    Bytes out{type_, code_, 0, 0};
    put32(out, icmp_rest_);
    append(out, payload_);
    store16(out, 2, l4_checksum_of(out));
    return out;
  }

  Bytes l4() const {
    switch (protocol_) {
      case 6:
        return tcp_segment();
      case 17:
        return udp_datagram();
      case 1:
      case 58:
        return icmp_message();
      default:
        return payload_;
    }
  }

  Bytes ipv4() const {
    Bytes options = options_;
    options.resize((options.size() + 3) / 4 * 4, 0);
    const Bytes inner = l4();
    const size_t header_bytes = 20 + options.size();
    Bytes out;
    put8(out, version_.value_or(4) << 4 |
                  header_words_.value_or(static_cast<uint8_t>(header_bytes / 4)));
    put8(out, 0);
    put16(out, ip_length_.value_or(static_cast<uint16_t>(header_bytes + inner.size())));
    put16(out, id_);
    put16(out, fragment_);
    put8(out, ttl_);
    put8(out, protocol_);
    put16(out, 0);
    append(out, address_bytes(source_) + address_bytes(destination_) + options);
    store16(out, 10, static_cast<uint16_t>(checksum(out) + ip_checksum_error_));
    return out + inner;
  }

  Bytes ipv6() const {
    Bytes inner;
    for (size_t i = 0; i < extensions_.size(); ++i) {
      Bytes header{i + 1 < extensions_.size() ? extensions_[i + 1].first : protocol_, 0};
      append(header, extensions_[i].second);
      header.resize((header.size() + 7) / 8 * 8, 0);
      const bool is_ah = extensions_[i].first == 51;  // RFC 4302: in words, minus 2
      header[1] = static_cast<uint8_t>(is_ah ? header.size() / 4 - 2 : header.size() / 8 - 1);
      append(inner, header);
    }
    append(inner, l4());
    Bytes out;
    put32(out, static_cast<uint32_t>(version_.value_or(6)) << 28);
    put16(out, ip_length_.value_or(static_cast<uint16_t>(inner.size())));
    put8(out, extensions_.empty() ? protocol_ : extensions_[0].first);
    put8(out, ttl_);
    append(out, address_bytes(source_) + address_bytes(destination_) + inner);
    return out;
  }

  Mac from_ = kInsideMac;
  Mac to_ = kOutsideMac;
  std::vector<std::pair<uint16_t, uint16_t>> vlans_;
  std::optional<uint16_t> ethertype_;
  size_t trailer_ = 0;

  IpAddress source_;
  IpAddress destination_;
  uint8_t protocol_;
  uint8_t ttl_ = 64;
  uint16_t id_ = 0;
  uint16_t fragment_ = 0;
  Bytes options_;
  std::vector<std::pair<uint8_t, Bytes>> extensions_;
  std::optional<uint8_t> version_;
  std::optional<uint8_t> header_words_;
  std::optional<uint16_t> ip_length_;
  uint16_t ip_checksum_error_ = 0;

  uint16_t source_port_ = 0;
  uint16_t destination_port_ = 0;
  uint32_t seq_ = 0;
  uint32_t ack_ = 0;
  uint8_t flags_ = 0;
  uint16_t window_ = 65535;
  uint16_t urgent_ = 0;
  Bytes tcp_options_;
  std::optional<uint8_t> data_offset_;

  uint8_t type_ = 0;
  uint8_t code_ = 0;
  uint32_t icmp_rest_ = 0;

  Bytes payload_;
  std::optional<uint16_t> udp_length_;
  bool no_udp_checksum_ = false;
  uint16_t l4_checksum_error_ = 0;
};

/// A segment with ACK set; flags(kSyn) makes it an opening one.
inline PacketBuilder tcp(std::string_view source, uint16_t source_port,
                         std::string_view destination, uint16_t destination_port) {
  return PacketBuilder(source, destination, 6).ports(source_port, destination_port).flags(kAck);
}

inline PacketBuilder udp(std::string_view source, uint16_t source_port,
                         std::string_view destination, uint16_t destination_port) {
  return PacketBuilder(source, destination, 17).ports(source_port, destination_port);
}

/// ICMP or ICMPv6, by the family of the addresses.
inline PacketBuilder icmp(std::string_view source, std::string_view destination, uint8_t type,
                          uint8_t code = 0) {
  const bool is_v4 = parse_ip_address(source).value().is_v4();
  return PacketBuilder(source, destination, is_v4 ? 1 : 58).icmp_type(type, code);
}

/// Any other protocol; payload() is all that stands behind the IP header.
inline PacketBuilder ip(std::string_view source, std::string_view destination, uint8_t protocol) {
  return {source, destination, protocol};
}

/// A broadcast ARP request (operation 1) or, with 2, the same fields as a reply.
inline Bytes arp(std::string_view sender, std::string_view target, uint16_t operation = 1) {
  Bytes out(6, 0xff);
  out.insert(out.end(), kInsideMac.begin(), kInsideMac.end());
  for (const unsigned field : {0x0806U, 1U, 0x0800U, 0x0604U}) put16(out, field);
  put16(out, operation);
  const auto put_end = [&out](const Mac& mac, std::string_view address) {
    const IpAddress parsed = parse_ip_address(address).value();
    out.insert(out.end(), mac.begin(), mac.end());
    out.insert(out.end(), parsed.bytes.begin() + 12, parsed.bytes.end());
  };
  put_end(kInsideMac, sender);
  put_end(Mac{}, target);
  return out;
}

}  // namespace sallyport::test
