#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "policy/runtime/host_name.h"

namespace sallyport {

/// A host name as it is scanned: labels from the right, each followed by a tag over everything up
/// to it, between sentinels. "a.b.org" is
///
///   \x02 org <tag of org> . b <tag of b.org> . a <tag of a.b.org> \x01
///
/// An exact literal is this whole text; the literal of "*.b.org" is its part up to and including
/// the '.' in front of the first label under b.org, so it is found by one or more labels more.
///
/// The tags change no answer, for the labels are compared as well. They are there because
/// Hyperscan tells literals apart by their last eight bytes first and then tries, one by one, all
/// that agree in those: without tags, ten thousand names under one domain cost ten thousand
/// comparisons a scan.
class FramedName {
 public:
  /// False for what no canonical name is: over 253 bytes, or a byte outside '!' to '~'. Sentinels
  /// and tags lie outside that range, so no name can pose as another.
  [[nodiscard]] bool assign(std::string_view name) noexcept;

  /// What is scanned, and the literal of the name itself.
  std::string_view exact() const noexcept { return {bytes_.data(), size_}; }

 private:
  static constexpr size_t kTagBytes = 7;
  static constexpr size_t kMaxLabels = kMaxHostNameBytes + 1;

  /// @return  Behind the tag. A byte more than the tag has is written.
  static char* put_tag(uint64_t hash, char* out) noexcept;

  std::array<char, 2 + kMaxHostNameBytes + kMaxLabels * kTagBytes> bytes_;
  size_t size_ = 0;
};

inline constexpr char kNameStart = '\x02';
inline constexpr char kNameEnd = '\x01';

}  // namespace sallyport
