#include "dataplane/inspect/fragment.h"

#include <algorithm>
#include <cstring>

#include "dataplane/inspect/big_endian.h"
#include "dataplane/inspect/checksum.h"
#include "dataplane/inspect/ip_header.h"
#include "dataplane/inspect/link_header.h"

namespace sallyport {
namespace {

constexpr uint8_t kFragmentHeader = 44;
constexpr size_t kIpv6Bytes = 40;
constexpr uint16_t kMoreV4 = 0x2000;
constexpr uint16_t kDontFragment = 0x4000;

// Of both families: DPDK counts a header's bytes in 9 bits. IPv6 chains of harmless options stay
// far below.
constexpr size_t kMostHeaderBytes = 400;

FragmentKey key_of(const IpHeader& ip, const LinkHeader& link, bool is_v4) noexcept {
  return {
      .source = ip.source,
      .destination = ip.destination,
      .id = ip.fragment.id,
      .protocol = is_v4 ? ip.protocol : uint8_t{0},
      .vlan_ids = {static_cast<uint8_t>(link.vlan_ids >> 16),
                   static_cast<uint8_t>(link.vlan_ids >> 8), static_cast<uint8_t>(link.vlan_ids)}};
}

bool has_impossible_place(const IpFragment& fragment) noexcept {
  if (fragment.from == 0 && !fragment.more) return false;  // atomic: a whole packet
  if (fragment.bytes == 0) return true;
  if (fragment.more && fragment.bytes % 8 != 0) return true;
  // The whole datagram's length must fit its field.
  return fragment.from + fragment.bytes + fragment.header_bytes > kMaxIpPayloadBytes;
}

// Flags but MF, and the reserved bit, stay as they came.
void store_ipv4(uint8_t* ip, size_t header_bytes, size_t payload_bytes, uint16_t place) noexcept {
  store_be16(ip + 2, static_cast<uint16_t>(header_bytes + payload_bytes));
  store_be16(ip + 6, place);
  store_be16(ip + 10, 0);
  store_be16(ip + 10, ipv4_header_checksum({ip, header_bytes}));
}

}  // namespace

DecodeFault decode_fragment(std::span<const uint8_t> frame, Fragment& out) noexcept {
  LinkHeader link;
  if (const auto fault = decode_link(frame, link); fault != DecodeFault::none) return fault;
  const bool is_v4 = link.ethertype == kEtherIpv4;
  if (!is_v4 && link.ethertype != kEtherIpv6) return DecodeFault::bad_fragment;
  const auto packet = frame.subspan(link.bytes);
  IpHeader ip;
  const auto fault = is_v4 ? decode_ipv4(packet, ip) : decode_ipv6(packet, ip);
  if (fault == DecodeFault::none) return DecodeFault::bad_fragment;
  if (fault != DecodeFault::fragment) return fault;

  const IpFragment& fragment = ip.fragment;
  if (has_impossible_place(fragment)) return DecodeFault::bad_fragment;
  if (fragment.header_bytes > kMostHeaderBytes) return DecodeFault::bad_extension_header;
  if (!is_v4 && fragment.from == 0) {
    const auto payload = packet.subspan(fragment.header_bytes, fragment.bytes);
    const auto chain_fault = check_first_fragment(payload, fragment.next_header);
    if (chain_fault != DecodeFault::none) return chain_fault;
  }
  out = {.key = key_of(ip, link, is_v4),
         .is_v4 = is_v4,
         .more = fragment.more,
         .next_header = fragment.next_header,
         .l3_offset = link.bytes,
         .payload_offset = static_cast<uint16_t>(link.bytes + fragment.header_bytes),
         .type_at = static_cast<uint16_t>(link.bytes + fragment.type_at),
         .bytes = static_cast<uint16_t>(fragment.bytes),
         .from = fragment.from};
  return DecodeFault::none;
}

DatagramShape write_whole_headers(std::span<const uint8_t> first_frame, const Fragment& first,
                                  size_t payload_bytes, std::span<uint8_t> out) noexcept {
  DatagramShape shape{.id = first.key.id,
                      .l3_offset = first.l3_offset,
                      .payload_offset = first.payload_offset,
                      .type_at = first.type_at,
                      .is_v4 = first.is_v4};
  if (!first.is_v4) {
    shape.payload_offset = static_cast<uint16_t>(shape.payload_offset - kFragmentHeaderBytes);
  }
  std::copy_n(first_frame.begin(), shape.payload_offset, out.begin());
  uint8_t* ip = &out[shape.l3_offset];
  const size_t header_bytes = shape.payload_offset - shape.l3_offset;
  if (first.is_v4) {
    store_ipv4(ip, header_bytes, payload_bytes, load_be16(ip + 6) & kDontFragment);
  } else {
    store_be16(ip + 4, static_cast<uint16_t>(header_bytes - kIpv6Bytes + payload_bytes));
    out[shape.type_at] = first.next_header;
  }
  return shape;
}

size_t fragment_payload_bytes(const DatagramShape& shape) noexcept {
  const size_t header_bytes =
      size_t{shape.payload_offset} - shape.l3_offset + (shape.is_v4 ? 0 : kFragmentHeaderBytes);
  return (shape.most_bytes - header_bytes) / 8 * 8;
}

size_t write_fragment(std::span<const uint8_t> datagram, const DatagramShape& shape, size_t from,
                      std::span<uint8_t> out) noexcept {
  const auto payload = datagram.subspan(shape.payload_offset + from);
  const size_t bytes = std::min(payload.size(), fragment_payload_bytes(shape));
  const bool more = bytes < payload.size();
  std::copy_n(datagram.begin(), shape.payload_offset, out.begin());
  uint8_t* ip = &out[shape.l3_offset];
  const size_t header_bytes = size_t{shape.payload_offset} - shape.l3_offset;
  size_t at = shape.payload_offset;
  if (shape.is_v4) {
    const auto place = static_cast<uint16_t>((load_be16(ip + 6) & kDontFragment) | from / 8 |
                                             (more ? kMoreV4 : 0));
    store_ipv4(ip, header_bytes, bytes, place);
  } else {
    const size_t behind = header_bytes - kIpv6Bytes + kFragmentHeaderBytes + bytes;
    store_be16(ip + 4, static_cast<uint16_t>(behind));
    out[at] = datagram[shape.type_at];
    out[at + 1] = 0;
    store_be16(&out[at + 2], static_cast<uint16_t>(from | (more ? 1U : 0U)));
    store_be32(&out[at + 4], shape.id);
    out[shape.type_at] = kFragmentHeader;
    at += kFragmentHeaderBytes;
  }
  std::copy_n(payload.begin(), bytes, out.begin() + static_cast<std::ptrdiff_t>(at));
  return at + bytes;
}

void strip_fragment_header(std::span<uint8_t> frame, const Fragment& fragment) noexcept {
  uint8_t* ip = &frame[fragment.l3_offset];
  store_be16(ip + 4, static_cast<uint16_t>(load_be16(ip + 4) - kFragmentHeaderBytes));
  frame[fragment.type_at] = fragment.next_header;
  std::memmove(&frame[kFragmentHeaderBytes], frame.data(),
               fragment.payload_offset - kFragmentHeaderBytes);
}

}  // namespace sallyport
