#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace sallyport {

/// More extensions than any client sends; GREASE and all, browsers stay under 25.
inline constexpr size_t kMaxHelloExtensions = 64;
inline constexpr size_t kMaxHelloAlpns = 32;
/// About three times as many as IANA has named: scanners offer all of them.
inline constexpr size_t kMaxHelloCiphers = 1024;

/// The fields of one ClientHello that rules, records and fingerprints use, as views into its
/// bytes. Lists of 16-bit values stay as they are on the wire; each has an even number of bytes.
/// A list is empty where the client sent no such extension.
struct ClientHello {
  uint16_t legacy_version = 0;
  uint8_t extension_count = 0;
  uint8_t alpn_count = 0;
  bool has_server_name = false;  ///< The extension stands there, whatever it names.
  bool encrypted_hello = false;  ///< encrypted_client_hello (RFC 9849), real or GREASE.
  bool encrypted_name = false;   ///< The draft extension before it, encrypted_server_name.
  /// The server name as it stands there: not checked, not folded, and perhaps an address. For
  /// records; rules compare the HostName made of it.
  std::string_view server_name;
  std::span<const uint8_t> cipher_suites;         ///< 16-bit each.
  std::span<const uint8_t> alpns;                 ///< Each behind its length byte; none is empty.
  std::span<const uint8_t> supported_versions;    ///< 16-bit each.
  std::span<const uint8_t> supported_groups;      ///< 16-bit each.
  std::span<const uint8_t> signature_algorithms;  ///< 16-bit each.
  std::span<const uint8_t> point_formats;         ///< A byte each.
  std::array<uint16_t, kMaxHelloExtensions> extension_types;  ///< In order; extension_count hold.

  std::span<const uint16_t> extensions() const noexcept {
    return std::span(extension_types).first(extension_count);
  }
};

/// Values that clients throw in so that servers keep ignoring what they do not know (RFC 8701):
/// 0x0a0a, 0x1a1a … 0xfafa.
constexpr bool is_grease(uint16_t value) noexcept {
  return (value & 0x0f0f) == 0x0a0a && (value >> 8) == (value & 0xff);
}

/// The application protocols offered, in order, as FlowFacts has them.
/// @param out  At least `alpn_count` long; kMaxHelloAlpns always is.
/// @return     The part of `out` that is filled; the views borrow the hello's bytes.
std::span<const std::string_view> read_alpns(const ClientHello& hello,
                                             std::span<std::string_view> out) noexcept;

/// The newest version offered, GREASE aside: the highest of supported_versions, or legacy_version
/// where there is none (RFC 8446 section 4.2.1).
uint16_t newest_version(const ClientHello& hello) noexcept;

}  // namespace sallyport
