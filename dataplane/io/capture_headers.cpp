#include "dataplane/io/capture_headers.h"

#include <algorithm>

#include "dataplane/inspect/big_endian.h"
#include "dataplane/inspect/checksum.h"

namespace sallyport {
namespace {

constexpr uint16_t kTypeIpv4 = 0x0800;
constexpr uint16_t kTypeIpv6 = 0x86dd;
constexpr size_t kIpv4Bytes = 20;
constexpr size_t kIpv4Length = 2;
constexpr size_t kIpv4Checksum = 10;
constexpr size_t kIpv6Length = 4;
constexpr size_t kIpv6Bytes = 40;
constexpr size_t kAddressesBytes = 12;
constexpr size_t kVlanBytes = 4;

// Behind any number of VLAN tags.
size_t ethertype_offset(std::span<const uint8_t> frame) noexcept {
  size_t at = kAddressesBytes;
  while (frame.size() >= at + kVlanBytes + 2) {
    const uint16_t type = load_be16(&frame[at]);
    if (type != 0x8100 && type != 0x88a8 && type != 0x9100) break;
    at += kVlanBytes;
  }
  return at;
}

// Sets where the packet ends: `bytes` behind its first byte, or with the frame.
void set_end(std::span<const uint8_t> frame, size_t bytes, CapturedIp& out) noexcept {
  const size_t held = frame.size() - out.l3_offset;
  out.is_whole = !out.has_length || bytes <= held;
  out.end = out.l3_offset + (out.has_length ? std::min(bytes, held) : held);
}

std::optional<CapturedIp> find_ipv4(std::span<const uint8_t> frame, size_t at) noexcept {
  const auto packet = frame.subspan(at);
  if (packet.size() < kIpv4Bytes || packet[0] >> 4 != 4) return std::nullopt;
  const size_t header_bytes = (packet[0] & 0x0f) * size_t{4};
  const size_t length = load_be16(&packet[2]);
  CapturedIp out{.is_v4 = true, .has_length = length != 0, .l3_offset = at};
  set_end(frame, length, out);
  if (header_bytes < kIpv4Bytes || header_bytes > out.end - at) return std::nullopt;
  out.is_fragment = (load_be16(&packet[6]) & 0x3fff) != 0;  // an offset, or more to come
  out.protocol = packet[9];
  out.l4_offset = at + header_bytes;
  out.source = IpAddress::v4(&packet[12]);
  out.destination = IpAddress::v4(&packet[16]);
  return out;
}

std::optional<CapturedIp> find_ipv6(std::span<const uint8_t> frame, size_t at) noexcept {
  constexpr uint8_t kHopByHop = 0;
  constexpr uint8_t kFragment = 44;
  constexpr uint8_t kDestinationOptions = 60;
  const auto packet = frame.subspan(at);
  if (packet.size() < kIpv6Bytes || packet[0] >> 4 != 6) return std::nullopt;
  const size_t length = load_be16(&packet[4]);
  CapturedIp out{.has_length = length != 0, .protocol = packet[6], .l3_offset = at};
  set_end(frame, kIpv6Bytes + length, out);
  out.l4_offset = at + kIpv6Bytes;
  out.source = IpAddress::v6(&packet[8]);
  out.destination = IpAddress::v6(&packet[24]);
  while (out.protocol == kHopByHop || out.protocol == kDestinationOptions) {
    if (out.end - out.l4_offset < 8) return std::nullopt;
    const size_t bytes = (frame[out.l4_offset + 1] + size_t{1}) * 8;
    if (bytes > out.end - out.l4_offset) return std::nullopt;
    out.protocol = frame[out.l4_offset];
    out.l4_offset += bytes;
  }
  out.is_fragment = out.protocol == kFragment;
  return out;
}

uint64_t sum_words(std::span<const uint8_t> bytes) noexcept {
  uint64_t sum = 0;
  for (size_t i = 0; i + 1 < bytes.size(); i += 2) sum += load_be16(&bytes[i]);
  return sum;
}

}  // namespace

std::optional<CapturedIp> find_ip(std::span<const uint8_t> frame) noexcept {
  const size_t at = ethertype_offset(frame);
  if (frame.size() < at + 2) return std::nullopt;
  const uint16_t type = load_be16(&frame[at]);
  if (type == kTypeIpv4) return find_ipv4(frame, at + 2);
  if (type == kTypeIpv6) return find_ipv6(frame, at + 2);
  return std::nullopt;
}

bool has_right_ip_checksum(std::span<const uint8_t> frame, const CapturedIp& ip) noexcept {
  return !ip.is_v4 || ipv4_header_checksum(ip.l3_header(frame)) == 0;
}

void store_ip_length(std::span<uint8_t> frame, const CapturedIp& ip, size_t bytes) noexcept {
  uint8_t* const header = &frame[ip.l3_offset];
  if (ip.is_v4) {
    store_be16(header + kIpv4Length, static_cast<uint16_t>(bytes));
  } else {
    store_be16(header + kIpv6Length, static_cast<uint16_t>(bytes - kIpv6Bytes));
  }
}

void repair_ip_checksum(std::span<uint8_t> frame, const CapturedIp& ip) noexcept {
  if (!ip.is_v4) return;
  const auto header = frame.subspan(ip.l3_offset, ip.l4_offset - ip.l3_offset);
  store_be16(&header[kIpv4Checksum], 0);
  store_be16(&header[kIpv4Checksum], ipv4_header_checksum(header));
}

uint16_t pseudo_header_sum(const CapturedIp& ip, size_t l4_bytes) noexcept {
  const size_t from = ip.is_v4 ? 12 : 0;
  uint64_t sum = sum_words(std::span(ip.source.bytes).subspan(from)) +
                 sum_words(std::span(ip.destination.bytes).subspan(from)) + ip.protocol + l4_bytes;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

}  // namespace sallyport
