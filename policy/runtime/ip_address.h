#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <expected>
#include <string>
#include <string_view>

namespace sallyport {

/// An IPv4 or IPv6 address, 16 bytes in network order. IPv4 is kept as ::ffff:a.b.c.d (RFC 4291
/// section 2.5.5.2), so one key and one lookup serve both families.
struct IpAddress {
  std::array<uint8_t, 16> bytes{};

  static IpAddress v4(const uint8_t* four) noexcept {
    IpAddress out;
    out.bytes[10] = out.bytes[11] = 0xff;
    std::memcpy(&out.bytes[12], four, 4);
    return out;
  }
  static IpAddress v6(const uint8_t* sixteen) noexcept {
    IpAddress out;
    std::memcpy(out.bytes.data(), sixteen, 16);
    return out;
  }

  bool is_v4() const noexcept {
    constexpr std::array<uint8_t, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    return std::memcmp(bytes.data(), kMapped.data(), kMapped.size()) == 0;
  }

  auto operator<=>(const IpAddress&) const = default;
};
static_assert(sizeof(IpAddress) == 16);

/// An address block. `prefix_bits` counts in the 128-bit space: 10.0.0.0/8 has 104.
struct IpPrefix {
  IpAddress address;
  uint8_t prefix_bits = 0;

  bool operator==(const IpPrefix&) const = default;
};

enum class IpParseError : uint8_t {
  bad_address,        ///< Neither dotted-quad IPv4 nor RFC 4291 IPv6 text.
  bad_prefix_length,  ///< Not 0..32 or 0..128.
  host_bits_set,      ///< Bits right of the prefix are not zero.
};

/// Text of an address: RFC 5952 for IPv6, dotted quad for IPv4.
std::string to_string(const IpAddress& address);
/// Text of a block, with the prefix length of the address's own family ("10.0.0.0/8").
std::string to_string(const IpPrefix& prefix);

/// Whether the block covers the address. An IPv6 block shorter than /96 never covers an IPv4
/// address: "::/0" is every IPv6 address and none of IPv4.
bool contains(const IpPrefix& prefix, const IpAddress& address) noexcept;

/// @return the address, or bad_address. Allocates nothing, as the others below.
std::expected<IpAddress, IpParseError> parse_ip_address(std::string_view text);
/// An address without "/length" is a block of one.
std::expected<IpPrefix, IpParseError> parse_ip_prefix(std::string_view text);
/// `text` as a block with the bits right of its length cleared: the hint for host_bits_set.
std::expected<IpPrefix, IpParseError> parse_ip_prefix_clearing(std::string_view text);

}  // namespace sallyport
