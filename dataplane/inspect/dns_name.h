#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "policy/runtime/host_name.h"

namespace sallyport {

/// A domain name as text: labels between dots, "" for the root. A byte that is not printable, or a
/// dot inside a label, stands as '?'.
class DnsName {
 public:
  /// Reads a name (RFC 1035 sections 3.1 and 4.1.4).
  ///
  /// @param message  The whole message, from its header on.
  /// @param at       Where the name starts; moves behind it, or behind its first pointer.
  /// @return         False when it runs past the message or is over 255 bytes, for an unknown label
  ///                 type, or a pointer that does not lead to an earlier place behind the header.
  ///                 Each pointer leads to before where the labels that led to it began, so it
  ///                 ends.
  [[nodiscard]] bool read(std::span<const uint8_t> message, size_t& at) noexcept;

  /// The same, but a pointer ends the name, unread: compressed() says so.
  [[nodiscard]] bool read_labels(std::span<const uint8_t> message, size_t& at) noexcept;

  std::string_view text() const noexcept { return {text_.data(), size_}; }
  bool compressed() const noexcept { return compressed_; }

  /// The name as policy and packets are compared in.
  /// @param out  Empty for the root and for what looks like an IPv4 address: both name no host.
  /// @return     False when it is none of these and no host name either.
  [[nodiscard]] bool to_host(HostName& out) const noexcept;

 private:
  void start() noexcept;
  bool read_run(std::span<const uint8_t> message, size_t& at) noexcept;
  bool put_label(std::span<const uint8_t> label) noexcept;

  std::array<char, 255> text_;
  uint8_t size_ = 0;
  uint16_t wire_bytes_ = 0;
  bool compressed_ = false;
};

}  // namespace sallyport
