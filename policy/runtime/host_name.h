#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sallyport {

inline constexpr size_t kMaxHostNameBytes = 253;  ///< RFC 1035 section 2.3.4, without the root dot.

enum class HostNameFault : uint8_t {
  none,
  empty,      ///< No bytes, or only a dot.
  too_long,   ///< Over 253 bytes after the trailing dot is stripped.
  bad_label,  ///< An empty label, or one over 63 bytes.
  bad_byte,   ///< Not a letter, digit, '-', '_' or '.'. Includes NUL, space and every byte over
              ///< 0x7f.
  address_literal,  ///< An IPv4 dotted quad or a bracketed IPv6 address: an address, not a name.
};

/// A host name in the one canonical form that policy and packets are compared in: lower-case
/// A-labels, no trailing dot. Owns its bytes and never allocates.
class HostName {
 public:
  HostName() noexcept {}  // Not "= default", with which "HostName{}" would clear the bytes, too.

  /// Canonicalises `text`: folds ASCII case, strips one trailing dot. On any fault the name is
  /// left empty. Reads nothing beyond `text`; never throws or allocates. RFC 1123 section 2.1,
  /// with '_' allowed because real names carry it (RFC 8552).
  [[nodiscard]] HostNameFault assign(std::string_view text) noexcept;

  void clear() noexcept { size_ = 0; }
  bool empty() const noexcept { return size_ == 0; }
  std::string_view view() const noexcept { return {bytes_.data(), size_}; }

 private:
  std::array<char, kMaxHostNameBytes> bytes_;
  uint8_t size_ = 0;
};

/// "" for none, otherwise a sentence part such as "a label is empty or over 63 bytes".
std::string_view to_string(HostNameFault fault) noexcept;

}  // namespace sallyport
