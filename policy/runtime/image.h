#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace sallyport {

/// Why an image or an identity feed, or the push that carried it, was refused. Each value is one
/// documented refusal; after any of them what was in force stays in force.
enum class Refusal : uint32_t {
  none,
  too_short,           ///< Smaller than its header.
  too_large,           ///< Over kMaxImageBytes, or over a limit of identity_codec.h.
  bad_magic,           ///< Not a policy image, or not an identity feed.
  unsupported_format,  ///< Made by an older or newer format than this program reads.
  bad_length,          ///< Cut short, or bytes behind its end.
  bad_digest,          ///< SHA-256 does not match: altered.
  bad_structure,       ///< FlatBuffers verification failed, or a length leads past the end.
  bad_content,         ///< An index, order or range inside does not hold.
  foreign_cpu,         ///< Its Hyperscan database is for another CPU or Hyperscan version.
  no_memory,           ///< An allocation failed while loading.
  bad_frame,           ///< The message was not a well-formed push.
  no_descriptor,       ///< The push carried no file descriptor, or more than one.
  not_sealed,          ///< The memfd lacks the seals that make it immutable.
  unreadable,          ///< The memfd could not be mapped.
  not_permitted,       ///< The peer's user may not push.
  not_acknowledged,    ///< A worker core did not take the table in time.
};

inline constexpr size_t kMaxImageBytes = size_t{1} << 30;

/// Bytes in front of the FlatBuffer: magic, format, length and SHA-256 of what follows.
struct ImageHeader {
  static constexpr size_t kBytes = 64;
};

/// The snake_case name of the value ("bad_digest").
std::string_view to_string(Refusal refusal) noexcept;
/// What is wrong and what to do, one sentence.
std::string_view explain(Refusal refusal) noexcept;

/// A policy revision as users see it: 12 hex digits. The number is the first 48 bits of the
/// payload's SHA-256, so the same policy has the same revision on every node.
std::array<char, 12> revision_digits(uint64_t revision) noexcept;
std::string revision_text(uint64_t revision);

}  // namespace sallyport
