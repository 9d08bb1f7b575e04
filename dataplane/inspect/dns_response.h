#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "policy/runtime/host_name.h"
#include "policy/runtime/ip_address.h"

namespace sallyport {

inline constexpr size_t kMaxDnsAddresses = 64;
inline constexpr size_t kMaxDnsTargets = 4;
inline constexpr size_t kMaxDnsAlpns = 16;

/// What one response tells about the name that was asked for. For the destination binding: who
/// trusts the resolver may take these addresses for the name's.
struct DnsResponse {
  struct Address {
    IpAddress address;
    uint32_t ttl_seconds = 0;  ///< The least on the way to it.
  };
  /// A name that HTTPS or SVCB records put in place of the one asked for (RFC 9460 section 2.4):
  /// clients look it up next, and go to its addresses under the old name.
  struct Target {
    HostName name;
    uint32_t ttl_seconds = 0;
  };

  uint16_t id = 0;
  uint16_t type = 0;  ///< Of the question.
  HostName name;      ///< Of the question.
  std::span<const Address> addresses() const noexcept {
    return std::span(address_list).first(address_count);
  }
  std::span<const Target> targets() const noexcept {
    return std::span(target_list).first(target_count);
  }
  /// Protocols the name speaks, by HTTPS or SVCB records. Borrows the message.
  std::span<const std::string_view> alpns() const noexcept {
    return std::span(alpn_list).first(alpn_count);
  }
  bool ech = false;      ///< Such a record carries a key for Encrypted Client Hello.
  bool cut_off = false;  ///< Something did not fit the lists and was left out.

  std::array<Address, kMaxDnsAddresses> address_list;
  std::array<Target, kMaxDnsTargets> target_list;
  std::array<std::string_view, kMaxDnsAlpns> alpn_list;
  size_t address_count = 0;
  size_t target_count = 0;
  size_t alpn_count = 0;
};

enum class DnsResponseStatus : uint8_t {
  done,
  not_response,  ///< No response to one question about a host name.
  failed,        ///< An error code instead of an answer (RFC 1035 section 4.1.1): tells nothing.
  malformed,     ///< A length or pointer leads astray: tells nothing.
};

/// Reads A, AAAA, CNAME, HTTPS and SVCB records of a response's answer section (RFC 1035 section 4,
/// RFC 9460). Records count for the name asked for, and behind a CNAME for the name it leads to, in
/// the order in which they stand, as stub resolvers read them. The other sections are not read:
/// whoever answers may put anything there.
///
/// @param message  A UDP payload, or a message of a TCP stream behind its length. Borrowed.
/// @param out      Overwritten. Its lists are empty unless done. About 3 KiB: one a worker.
///
/// Cost: one pass over the answers; at most 255 bytes of pointers followed for each name. Never
/// allocates, logs or throws.
[[nodiscard]] DnsResponseStatus parse_dns_response(std::span<const uint8_t> message,
                                                   DnsResponse& out) noexcept;

}  // namespace sallyport
