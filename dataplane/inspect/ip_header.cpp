#include "dataplane/inspect/ip_header.h"

#include <algorithm>

#include "dataplane/inspect/big_endian.h"
#include "dataplane/inspect/byte_reader.h"
#include "dataplane/inspect/checksum.h"
#include "policy/runtime/facts.h"

namespace sallyport {
namespace {

constexpr size_t kIpv4Bytes = 20;
constexpr size_t kIpv6Bytes = 40;
constexpr size_t kQuotedL4Bytes =
    8;  // RFC 792: "the first 64 bits of the original datagram's data"

// IPv4 option types without their copied flag, RFC 791 section 3.1.
constexpr uint8_t kOptionEnd = 0;
constexpr uint8_t kOptionNop = 1;
constexpr uint8_t kOptionLooseSourceRoute = 3;
constexpr uint8_t kOptionStrictSourceRoute = 9;
constexpr uint8_t kOptionRouterAlert = 20;  // RFC 2113: IGMP, MLD and RSVP carry it
constexpr uint8_t kOptionTypeMask = 0x7f;

// IPv6 option types, RFC 8200 section 4.2 and RFC 2711.
constexpr uint8_t kOptionPad1 = 0;
constexpr uint8_t kOptionPadN = 1;
constexpr uint8_t kOptionRouterAlertV6 = 5;

// IPv6 next header values, RFC 8200 section 4.
constexpr uint8_t kHopByHop = 0;
constexpr uint8_t kRouting = 43;
constexpr uint8_t kFragment = 44;
constexpr uint8_t kAuthentication = 51;
constexpr uint8_t kNoNextHeader = 59;
constexpr uint8_t kDestinationOptions = 60;

// MF, or an offset: what makes an IPv4 packet a fragment.
constexpr uint16_t kFragmentMask = 0x3fff;
constexpr uint16_t kOffsetMask = 0x1fff;
constexpr uint16_t kMoreFragments = 0x2000;
constexpr size_t kFragmentHeaderBytes = 8;

// Options reach the destination whatever becomes of the payload: only those that say nothing pass.
DecodeFault walk_options(std::span<const uint8_t> options) noexcept {
  while (!options.empty() && options[0] != kOptionEnd) {
    if (options[0] == kOptionNop) {
      options = options.subspan(1);
      continue;
    }
    if (options.size() < 2) return DecodeFault::bad_ip_header;
    const uint8_t type = options[0] & kOptionTypeMask;
    const size_t length = options[1];
    if (length < 2 || length > options.size()) return DecodeFault::bad_ip_header;
    if (type == kOptionLooseSourceRoute || type == kOptionStrictSourceRoute) {
      return DecodeFault::source_route;
    }
    if (type != kOptionRouterAlert || length != 4) return DecodeFault::unsafe_option;
    options = options.subspan(length);
  }
  const bool nothing_behind = std::ranges::all_of(options, [](uint8_t c) { return c == 0; });
  return nothing_behind ? DecodeFault::none : DecodeFault::unsafe_option;
}

// A hop-by-hop or destination options header of nothing but padding zeros and router alert.
bool is_harmless_options_header(std::span<const uint8_t> header) noexcept {
  auto options = header.subspan(2);
  while (!options.empty()) {
    if (options[0] == kOptionPad1) {
      options = options.subspan(1);
      continue;
    }
    if (options.size() < 2) return false;
    const size_t length = size_t{2} + options[1];
    if (length > options.size()) return false;
    const bool padding =
        options[0] == kOptionPadN &&
        std::ranges::all_of(options.subspan(2, length - 2), [](uint8_t c) { return c == 0; });
    if (!padding && (options[0] != kOptionRouterAlertV6 || length != 4)) return false;
    options = options.subspan(length);
  }
  return true;
}

struct ExtensionChain {
  uint8_t last_header = 0;
  size_t bytes = 0;
  size_t type_at = 0;  // of the byte that names the last header, from the fixed header on
};

// `bytes` starts behind the fixed header and ends with the packet. `headers`: how many stand
// before. With `fragment`, `out` says where its header is.
DecodeFault walk_extension_headers(std::span<const uint8_t> bytes, uint8_t next,
                                   ExtensionChain& out, size_t headers = 0) noexcept {
  const size_t whole = bytes.size();
  constexpr size_t kTypeInFixedHeader = 6;
  size_t type_at = kTypeInFixedHeader;
  for (;; ++headers) {
    switch (next) {
      case kHopByHop:  // RFC 8200 section 4.1: only right behind the fixed header
        if (headers > 0) return DecodeFault::bad_extension_header;
        break;
      case kDestinationOptions:
      case kRouting:
        break;
      case kAuthentication:  // RFC 4302: its check value may be any bytes, to us
        return DecodeFault::unsafe_option;
      case kFragment:
        if (bytes.size() < kFragmentHeaderBytes) return DecodeFault::bad_extension_header;
        out = {.last_header = next, .bytes = whole - bytes.size(), .type_at = type_at};
        return DecodeFault::fragment;
      case kNoNextHeader:
        return DecodeFault::bad_extension_header;
      default:
        out = {.last_header = next, .bytes = whole - bytes.size(), .type_at = type_at};
        return DecodeFault::none;
    }
    constexpr size_t kUnit = 8;  // what the length field counts in, behind a first of its own
    if (headers == kMaxExtensionHeaders || bytes.size() < kUnit) {
      return DecodeFault::bad_extension_header;
    }
    const size_t length = kUnit + bytes[1] * kUnit;
    if (length > bytes.size()) return DecodeFault::bad_extension_header;
    if (next == kRouting) return DecodeFault::source_route;
    if (!is_harmless_options_header(bytes.first(length))) return DecodeFault::unsafe_option;
    next = bytes[0];
    type_at = kIpv6Bytes + whole - bytes.size();
    bytes = bytes.subspan(length);
  }
}

// The fragment header behind `chain`, RFC 8200 section 4.5.
IpFragment read_fragment_header(std::span<const uint8_t> payload,
                                const ExtensionChain& chain) noexcept {
  const auto header = payload.subspan(chain.bytes, kFragmentHeaderBytes);
  const uint16_t place = load_be16(&header[2]);
  const size_t header_bytes = kIpv6Bytes + chain.bytes + kFragmentHeaderBytes;
  return {.id = load_be32(&header[4]),
          .from = place & 0xfff8U,
          .more = (place & 1U) != 0,
          .next_header = header[0],
          .header_bytes = header_bytes,
          .bytes = kIpv6Bytes + payload.size() - header_bytes,
          .type_at = chain.type_at};
}

// IpAddress keeps IPv4 as a mapped IPv6 address. One on the wire would be taken for the IPv4
// address itself, and none belongs there (RFC 4291 section 2.5.5.2 is for use inside a node).
bool has_mapped_address(const IpHeader& header) noexcept {
  return header.source.is_v4() || header.destination.is_v4();
}

// The extension headers of a quoted packet, and over the fragment header of a first fragment.
bool walk_quoted_headers(std::span<const uint8_t> packet, ExtensionChain& out) noexcept {
  const auto payload = packet.subspan(kIpv6Bytes);
  auto fault = walk_extension_headers(payload, packet[6], out);
  if (fault == DecodeFault::fragment) {
    const IpFragment fragment = read_fragment_header(payload, out);
    if (fragment.from != 0) return false;
    const size_t before = out.bytes + kFragmentHeaderBytes;
    fault = walk_extension_headers(payload.subspan(before), fragment.next_header, out, 1);
    out.bytes += before;
  }
  return fault == DecodeFault::none;
}

bool is_port_protocol(uint8_t protocol) noexcept {
  return protocol == kIpProtocolTcp || protocol == kIpProtocolUdp;
}

}  // namespace

DecodeFault decode_ipv4(std::span<const uint8_t> bytes, IpHeader& out) noexcept {
  if (bytes.size() < kIpv4Bytes) return DecodeFault::truncated_ip;
  const uint8_t* header = bytes.data();
  const size_t header_bytes = (header[0] & 0x0fU) * size_t{4};
  const size_t total_bytes = load_be16(header + 2);
  if (header[0] >> 4 != 4 || header_bytes < kIpv4Bytes || total_bytes < header_bytes) {
    return DecodeFault::bad_ip_header;
  }
  if (total_bytes > bytes.size()) return DecodeFault::truncated_ip;
  if (ipv4_header_checksum(bytes.first(header_bytes)) != 0) return DecodeFault::bad_ip_checksum;
  if (header_bytes > kIpv4Bytes) {
    const auto options = bytes.subspan(kIpv4Bytes, header_bytes - kIpv4Bytes);
    if (const auto fault = walk_options(options); fault != DecodeFault::none) return fault;
  }

  out.source = IpAddress::v4(header + 12);
  out.destination = IpAddress::v4(header + 16);
  out.protocol = header[9];
  if (const uint16_t place = load_be16(header + 6); (place & kFragmentMask) != 0) {
    out.fragment = {.id = load_be16(header + 4),
                    .from = (place & kOffsetMask) * 8U,
                    .more = (place & kMoreFragments) != 0,
                    .next_header = out.protocol,
                    .header_bytes = header_bytes,
                    .bytes = total_bytes - header_bytes};
    return DecodeFault::fragment;
  }
  out.l4_offset = header_bytes;
  out.l4_bytes = total_bytes - header_bytes;
  return DecodeFault::none;
}

DecodeFault decode_ipv6(std::span<const uint8_t> bytes, IpHeader& out) noexcept {
  if (bytes.size() < kIpv6Bytes) return DecodeFault::truncated_ip;
  const uint8_t* header = bytes.data();
  if (header[0] >> 4 != 6) return DecodeFault::bad_ip_header;
  const size_t payload_bytes = load_be16(header + 4);
  if (payload_bytes > bytes.size() - kIpv6Bytes) return DecodeFault::truncated_ip;

  out.source = IpAddress::v6(header + 8);
  out.destination = IpAddress::v6(header + 24);
  if (has_mapped_address(out)) return DecodeFault::bad_ip_header;
  ExtensionChain chain;
  const auto payload = bytes.subspan(kIpv6Bytes, payload_bytes);
  const auto fault = walk_extension_headers(payload, header[6], chain);
  if (fault == DecodeFault::fragment) out.fragment = read_fragment_header(payload, chain);
  if (fault != DecodeFault::none) return fault;

  out.protocol = chain.last_header;
  out.hop_limit = header[7];
  out.l4_offset = kIpv6Bytes + chain.bytes;
  out.l4_bytes = payload_bytes - chain.bytes;
  return DecodeFault::none;
}

DecodeFault check_first_fragment(std::span<const uint8_t> payload, uint8_t next_header) noexcept {
  ExtensionChain chain;
  const auto fault = walk_extension_headers(payload, next_header, chain, 1);
  if (fault == DecodeFault::bad_extension_header) return DecodeFault::partial_header_chain;
  if (fault != DecodeFault::none) return fault;
  const auto l4 = payload.subspan(chain.bytes);
  size_t needed = 0;
  if (chain.last_header == kIpProtocolTcp) {
    constexpr size_t kDataOffsetAt = 12;
    needed = l4.size() > kDataOffsetAt ? std::max(20, (l4[kDataOffsetAt] >> 4U) * 4) : 20;
  } else if (chain.last_header == kIpProtocolUdp || chain.last_header == kIpProtocolIcmpV6) {
    needed = 8;
  }
  return l4.size() < needed ? DecodeFault::partial_header_chain : DecodeFault::none;
}

bool decode_quoted(std::span<const uint8_t> bytes, bool is_v4, Endpoints& out) noexcept {
  IpHeader header;
  if (is_v4) {
    if (bytes.size() < kIpv4Bytes || bytes[0] >> 4 != 4) return false;
    if ((load_be16(&bytes[6]) & kOffsetMask) != 0) return false;
    header.source = IpAddress::v4(&bytes[12]);
    header.destination = IpAddress::v4(&bytes[16]);
    header.protocol = bytes[9];
    header.l4_offset = (bytes[0] & 0x0fU) * size_t{4};
    if (header.l4_offset < kIpv4Bytes) return false;
  } else {
    if (bytes.size() < kIpv6Bytes || bytes[0] >> 4 != 6) return false;
    header.source = IpAddress::v6(&bytes[8]);
    header.destination = IpAddress::v6(&bytes[24]);
    if (has_mapped_address(header)) return false;
    ExtensionChain chain;
    if (!walk_quoted_headers(bytes, chain)) return false;
    header.protocol = chain.last_header;
    header.l4_offset = kIpv6Bytes + chain.bytes;
  }
  if (header.l4_offset > bytes.size() || bytes.size() - header.l4_offset < kQuotedL4Bytes) {
    return false;
  }

  out = {
      .source = header.source, .destination = header.destination, .ip_protocol = header.protocol};
  if (is_port_protocol(header.protocol)) {
    out.source_port = load_be16(&bytes[header.l4_offset]);
    out.destination_port = load_be16(&bytes[header.l4_offset + 2]);
  }
  return true;
}

}  // namespace sallyport
