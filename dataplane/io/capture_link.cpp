#include "dataplane/io/capture_link.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "dataplane/inspect/big_endian.h"
#include "dataplane/inspect/byte_reader.h"

namespace sallyport {
namespace {

// LINKTYPE_ numbers, https://www.tcpdump.org/linktypes.html. Raw IP has had several.
enum Link : uint32_t {
  kNull = 0,
  kEthernet = 1,
  kPpp = 9,
  kRawBsd = 12,
  kRawOpenBsd = 14,
  kPppHdlc = 50,
  kPppEther = 51,
  kRaw = 101,
  kCiscoHdlc = 104,
  kLoop = 108,
  kLinuxSll = 113,
  kPppWithDirection = 204,
  kIpv4 = 228,
  kIpv6 = 229,
  kLinuxSll2 = 276,
};

struct LinkName {
  uint32_t type;
  std::string_view name;
  bool supported;
};

// The second half is what people try and must be told the name of.
constexpr std::array kLinks{
    LinkName{kNull, "NULL", true},
    LinkName{kEthernet, "ETHERNET", true},
    LinkName{kPpp, "PPP", true},
    LinkName{kRawBsd, "RAW", true},
    LinkName{kRawOpenBsd, "RAW", true},
    LinkName{kPppHdlc, "PPP_HDLC", true},
    LinkName{kPppEther, "PPP_ETHER", true},
    LinkName{kRaw, "RAW", true},
    LinkName{kCiscoHdlc, "C_HDLC", true},
    LinkName{kLoop, "LOOP", true},
    LinkName{kLinuxSll, "LINUX_SLL", true},
    LinkName{kPppWithDirection, "PPP_WITH_DIR", true},
    LinkName{kIpv4, "IPV4", true},
    LinkName{kIpv6, "IPV6", true},
    LinkName{kLinuxSll2, "LINUX_SLL2", true},
    LinkName{6, "IEEE802_5", false},
    LinkName{105, "IEEE802_11", false},
    LinkName{107, "FRELAY", false},
    LinkName{117, "PFLOG", false},
    LinkName{119, "IEEE802_11_PRISM", false},
    LinkName{127, "IEEE802_11_RADIOTAP", false},
    LinkName{143, "DOCSIS", false},
    LinkName{147, "USER0", false},
    LinkName{187, "BLUETOOTH_HCI_H4", false},
    LinkName{189, "USB_LINUX", false},
    LinkName{192, "PPI", false},
    LinkName{195, "IEEE802_15_4_WITHFCS", false},
    LinkName{197, "ERF", false},
    LinkName{201, "BLUETOOTH_HCI_H4_WITH_PHDR", false},
    LinkName{220, "USB_LINUX_MMAPPED", false},
    LinkName{227, "CAN_SOCKETCAN", false},
    LinkName{239, "NFLOG", false},
    LinkName{242, "IPOIB", false},
    LinkName{247, "INFINIBAND", false},
    LinkName{249, "USBPCAP", false},
    LinkName{252, "WIRESHARK_UPPER_PDU", false},
    LinkName{253, "NETLINK", false},
    LinkName{274, "ETHERNET_MPACKET", false},
};

constexpr uint16_t kTypeIpv4 = 0x0800;
constexpr uint16_t kTypeIpv6 = 0x86dd;
constexpr uint16_t kTypePppoeSession = 0x8864;
constexpr uint16_t kTypeCiscoMetadata = 0x8909;
constexpr uint16_t kMostLength = 1500;  // what is more is no length but a type (IEEE 802.3)
constexpr uint16_t kTypeNone = 0xffff;  // reserved (RFC 1701 section 5): no protocol's

constexpr size_t kAddressesBytes = 12;
constexpr size_t kEthernetBytes = 14;
constexpr size_t kVlanBytes = 4;

/// What a link header said, and what stands behind it.
struct Carried {
  uint16_t ethertype = kTypeNone;
  std::span<const uint8_t> payload;
};

// By the version in the packet's own first byte.
Carried raw_ip(std::span<const uint8_t> packet) noexcept {
  const unsigned version = packet.empty() ? 0U : packet[0] >> 4;
  const uint16_t type = version == 4 ? kTypeIpv4 : version == 6 ? kTypeIpv6 : kTypeNone;
  return {.ethertype = type, .payload = packet};
}

// An address family in four bytes, in the order of the host that wrote them or the network's.
// IPv6 has another number on each system.
Carried bsd_loopback(ByteReader& in) noexcept {
  const uint32_t written = in.u32();
  const uint32_t family = written > 0xffff ? std::byteswap(written) : written;
  constexpr std::array<uint32_t, 5> kFamilies{2, 10, 24, 28, 30};
  const bool known = std::ranges::find(kFamilies, family) != kFamilies.end();
  if (!known) return {.payload = in.rest()};
  return raw_ip(in.rest());
}

// RFC 1661 section 2, RFC 1662 section 3.1: address and control bytes may be left out, the protocol
// field may be one byte, which is odd.
Carried ppp(ByteReader& in) noexcept {
  const auto start = in.rest();
  if (start.size() >= 2 && start[0] == 0xff && start[1] == 0x03) in.bytes(2);
  uint16_t protocol = in.u8();
  if ((protocol & 1) == 0) protocol = static_cast<uint16_t>(protocol << 8 | in.u8());
  const uint16_t type = protocol == 0x21 ? kTypeIpv4 : protocol == 0x57 ? kTypeIpv6 : kTypeNone;
  return {.ethertype = type, .payload = in.rest()};
}

// RFC 2516 section 4: version and type, code 0 for a session's data, session, length; then PPP.
Carried pppoe_session(ByteReader& in) noexcept {
  in.u8();
  const uint8_t code = in.u8();
  in.u16();
  const size_t length = in.u16();
  const size_t held = std::min(length, in.rest().size());  // snapped: what there is of it
  ByteReader inner(in.rest().first(held));
  if (code != 0) return {};
  const Carried out = ppp(inner);
  return inner.ok() ? out : Carried{};
}

Carried cisco_hdlc(ByteReader& in) noexcept {
  in.u16();  // address and control
  const uint16_t type = in.u16();
  return {.ethertype = type, .payload = in.rest()};
}

// PPP in HDLC-like framing, or Cisco's: told apart by the address byte.
Carried ppp_or_cisco_hdlc(ByteReader& in) noexcept {
  const uint8_t address = in.rest().empty() ? 0 : in.rest()[0];
  return address == 0x0f || address == 0x8f ? cisco_hdlc(in) : ppp(in);
}

Carried linux_cooked(ByteReader& in) noexcept {
  in.bytes(14);  // packet type, device type, address
  const uint16_t type = in.u16();
  return {.ethertype = type, .payload = in.rest()};
}

Carried linux_cooked_2(ByteReader& in) noexcept {
  const uint16_t type = in.u16();
  in.bytes(18);  // interface, device type, packet type, address
  return {.ethertype = type, .payload = in.rest()};
}

/// @return nothing when the packet ends inside its link header.
std::optional<Carried> read_link(uint32_t link_type, std::span<const uint8_t> packet) noexcept {
  ByteReader in(packet);
  const auto whole = [&in](const Carried& carried) -> std::optional<Carried> {
    if (!in.ok()) return std::nullopt;
    return carried;
  };
  switch (link_type) {
    case kNull:
    case kLoop:
      return whole(bsd_loopback(in));
    case kPpp:
      return whole(ppp(in));
    case kPppWithDirection:
      in.u8();
      return whole(ppp(in));
    case kPppHdlc:
      return whole(ppp_or_cisco_hdlc(in));
    case kPppEther:
      return whole(pppoe_session(in));
    case kCiscoHdlc:
      return whole(cisco_hdlc(in));
    case kLinuxSll:
      return whole(linux_cooked(in));
    case kLinuxSll2:
      return whole(linux_cooked_2(in));
    default:
      return raw_ip(packet);
  }
}

// Where the ethertype behind up to two VLAN tags stands, or past the frame's end.
size_t ethertype_offset(std::span<const uint8_t> frame) noexcept {
  size_t at = kAddressesBytes;
  for (int tags = 0; tags < 2 && frame.size() >= at + kVlanBytes + 2; ++tags) {
    const uint16_t type = load_be16(&frame[at]);
    if (type != 0x8100 && type != 0x88a8 && type != 0x9100) break;
    at += kVlanBytes;
  }
  return at;
}

// Version 1, one option: a security group tag.
Carried cisco_metadata(ByteReader& in) noexcept {
  if (in.u16() != 0x0101) return {};
  in.u32();
  const uint16_t type = in.u16();
  return {.ethertype = type, .payload = in.rest()};
}

// RFC 1042: LLC for SNAP, no organisation, a type.
Carried llc_snap(ByteReader& in, size_t length) noexcept {
  ByteReader inner(in.bytes(std::min(length, in.rest().size())));
  const bool snap = inner.u16() == 0xaaaa && inner.u32() == 0x03000000;
  const uint16_t type = inner.u16();
  if (!snap || !inner.ok()) return {};
  return {.ethertype = type, .payload = inner.rest()};
}

Carried inside(uint16_t type, ByteReader& in) noexcept {
  if (type <= kMostLength) return llc_snap(in, type);
  if (type == kTypeCiscoMetadata) return cisco_metadata(in);
  if (type == kTypePppoeSession) return pppoe_session(in);
  return {};
}

// What captures of links that carry more than Ethernet's own frames have around an IP packet.
std::span<const uint8_t> unwrapped(std::span<const uint8_t> frame, std::vector<uint8_t>& buffer) {
  const size_t at = ethertype_offset(frame);
  if (frame.size() < at + 2) return frame;
  ByteReader in(frame.subspan(at + 2));
  const Carried carried = inside(load_be16(&frame[at]), in);
  if (!in.ok() || carried.ethertype == kTypeNone) return frame;
  std::vector<uint8_t> out(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(at));
  out.push_back(static_cast<uint8_t>(carried.ethertype >> 8));
  out.push_back(static_cast<uint8_t>(carried.ethertype));
  out.insert(out.end(), carried.payload.begin(), carried.payload.end());
  buffer.swap(out);
  return buffer;
}

}  // namespace

std::string link_type_name(uint32_t link_type) {
  const auto* const found = std::ranges::find(kLinks, link_type, &LinkName::type);
  if (found == kLinks.end()) return std::to_string(link_type);
  return std::string(found->name) + " (" + std::to_string(link_type) + ")";
}

bool is_supported_link(uint32_t link_type) noexcept {
  const auto* const found = std::ranges::find(kLinks, link_type, &LinkName::type);
  return found != kLinks.end() && found->supported;
}

std::span<const uint8_t> to_ethernet(uint32_t link_type, std::span<const uint8_t> packet,
                                     std::vector<uint8_t>& buffer) {
  constexpr std::array<uint8_t, kAddressesBytes> kAddresses{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1};
  if (link_type == kEthernet) return unwrapped(packet, buffer);
  const std::optional<Carried> carried = read_link(link_type, packet);
  if (!carried) return packet.first(std::min(packet.size(), kEthernetBytes - 1));
  buffer.assign(kAddresses.begin(), kAddresses.end());
  buffer.push_back(static_cast<uint8_t>(carried->ethertype >> 8));
  buffer.push_back(static_cast<uint8_t>(carried->ethertype));
  buffer.insert(buffer.end(), carried->payload.begin(), carried->payload.end());
  return unwrapped(buffer, buffer);
}

}  // namespace sallyport
