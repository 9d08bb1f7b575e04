#include "policy/runtime/ip_address.h"

#include <arpa/inet.h>

#include <charconv>
#include <system_error>

namespace sallyport {
namespace {

constexpr uint8_t kV4MappedBits = 96;

struct ParsedPrefix {
  IpPrefix prefix;
  bool host_bits = false;  ///< Whether clearing changed the address.
};

void clear_host_bits(IpPrefix& prefix) {
  for (size_t i = 0; i < prefix.address.bytes.size(); ++i) {
    const size_t first_bit = i * 8;
    if (first_bit >= prefix.prefix_bits) {
      prefix.address.bytes[i] = 0;
    } else if (prefix.prefix_bits - first_bit < 8) {
      const unsigned keep = 0xff00u >> (prefix.prefix_bits - first_bit);
      prefix.address.bytes[i] = static_cast<uint8_t>(prefix.address.bytes[i] & keep);
    }
  }
}

std::expected<ParsedPrefix, IpParseError> parse_and_clear(std::string_view text) {
  const size_t slash = text.find('/');
  const std::string_view host = text.substr(0, slash);
  const auto address = parse_ip_address(host);
  if (!address) return std::unexpected(address.error());
  const bool dotted = host.find(':') == std::string_view::npos;
  unsigned length = dotted ? 32 : 128;
  if (slash != std::string_view::npos) {
    const std::string_view digits = text.substr(slash + 1);
    const unsigned longest = length;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
    const bool leading_zero = digits.size() > 1 && digits.front() == '0';
    if (error != std::errc{} || end != digits.data() + digits.size() || length > longest ||
        leading_zero) {
      return std::unexpected(IpParseError::bad_prefix_length);
    }
  }
  ParsedPrefix out;
  out.prefix.address = *address;
  out.prefix.prefix_bits = static_cast<uint8_t>(dotted ? length + kV4MappedBits : length);
  clear_host_bits(out.prefix);
  out.host_bits = out.prefix.address != *address;
  return out;
}

}  // namespace

std::string to_string(const IpAddress& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address.is_v4()) {
    inet_ntop(AF_INET, &address.bytes[12], text.data(), text.size());
  } else {
    inet_ntop(AF_INET6, address.bytes.data(), text.data(), text.size());
  }
  return text.data();
}

std::string to_string(const IpPrefix& prefix) {
  const bool v4 = prefix.address.is_v4() && prefix.prefix_bits >= kV4MappedBits;
  const unsigned length = v4 ? prefix.prefix_bits - kV4MappedBits : prefix.prefix_bits;
  return to_string(prefix.address) + "/" + std::to_string(length);
}

bool contains(const IpPrefix& prefix, const IpAddress& address) noexcept {
  if (address.is_v4() && prefix.prefix_bits < kV4MappedBits) return false;
  IpPrefix block{address, prefix.prefix_bits};
  clear_host_bits(block);
  return block.address == prefix.address;
}

std::expected<IpAddress, IpParseError> parse_ip_address(std::string_view text) {
  std::array<char, INET6_ADDRSTRLEN> terminated{};
  if (text.size() >= terminated.size() || text.find('\0') != std::string_view::npos) {
    return std::unexpected(IpParseError::bad_address);
  }
  text.copy(terminated.data(), text.size());
  IpAddress out;
  if (inet_pton(AF_INET6, terminated.data(), out.bytes.data()) == 1) return out;
  std::array<uint8_t, 4> four{};
  if (inet_pton(AF_INET, terminated.data(), four.data()) == 1) return IpAddress::v4(four.data());
  return std::unexpected(IpParseError::bad_address);
}

std::expected<IpPrefix, IpParseError> parse_ip_prefix(std::string_view text) {
  const auto parsed = parse_and_clear(text);
  if (!parsed) return std::unexpected(parsed.error());
  if (parsed->host_bits) return std::unexpected(IpParseError::host_bits_set);
  return parsed->prefix;
}

std::expected<IpPrefix, IpParseError> parse_ip_prefix_clearing(std::string_view text) {
  const auto parsed = parse_and_clear(text);
  if (!parsed) return std::unexpected(parsed.error());
  return parsed->prefix;
}

}  // namespace sallyport
