#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <type_traits>
#include <vector>

#include "policy/runtime/image.h"

namespace sallyport {

/// Messages between sallyport-control and sallyport-dataplane: one per seqpacket datagram on
/// /run/sallyport/dataplane.sock, host byte order (both ends are on one machine).
///
///   control → dataplane   push             header, and the image as one sealed memfd (SCM_RIGHTS)
///   control → dataplane   push_identities  the same with an identity feed: see identity_codec.h
///   control → dataplane   query            header alone
///   dataplane → control   push_reply       to each: refusal or none, and what is in force now
///
/// Policy and feed come in any order, and neither waits for the other: the labels of the last feed
/// belong to whatever policy is in force.
inline constexpr uint32_t kFrameMagic = 0x31465053;  // "SPF1"
inline constexpr uint16_t kFrameVersion = 2;
inline constexpr size_t kMaxCores = 64;

enum class FrameType : uint16_t { push = 1, query = 2, push_reply = 3, push_identities = 4 };

struct FrameHeader {
  uint32_t magic = kFrameMagic;
  uint16_t version = kFrameVersion;
  FrameType type{};
  uint64_t request_id = 0;  ///< Chosen by the asker, echoed in the reply.
};
static_assert(sizeof(FrameHeader) == 16 && std::is_trivially_copyable_v<FrameHeader>);

struct CorePolicy {
  uint32_t core = 0;  ///< DPDK lcore id.
  uint32_t reserved = 0;
  uint64_t revision = 0;    ///< 0: no policy, everything is denied.
  uint64_t generation = 0;  ///< Counts the tables this process has put in force, from 1.
};
static_assert(sizeof(CorePolicy) == 24);

/// The identity feed that a data plane goes by.
struct IdentityState {
  uint64_t revision = 0;       ///< 0: none, labels are unknown.
  uint64_t since_unix_ns = 0;  ///< When this process took it.
  uint64_t addresses = 0;
};
static_assert(sizeof(IdentityState) == 24 && std::is_trivially_copyable_v<IdentityState>);

struct PushReply {
  FrameHeader header{.type = FrameType::push_reply};
  Refusal refusal = Refusal::none;
  uint32_t core_count = 0;
  IdentityState identities;
  std::array<CorePolicy, kMaxCores> cores{};
};
static_assert(sizeof(PushReply) == 48 + kMaxCores * sizeof(CorePolicy));
static_assert(std::is_trivially_copyable_v<PushReply>);

/// What a message asks of the data plane.
/// @return the header, or bad_frame for anything but a whole push, push_identities or query.
std::expected<FrameHeader, Refusal> read_request(std::span<const uint8_t> message) noexcept;

/// Seals a pushed memfd must carry: F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE.
int required_seals() noexcept;

/// Copies `image`, of a policy or of a feed, into a new memfd and seals it. The caller closes the
/// descriptor.
/// @return the descriptor, or errno.
std::expected<int, int> make_sealed_memfd(std::span<const uint8_t> image);

/// Maps and copies a received descriptor after checking its seals and size.
/// @return the bytes, or not_sealed, too_short, too_large, unreadable or no_memory.
std::expected<std::vector<uint8_t>, Refusal> read_sealed_memfd(int fd,
                                                               size_t max_bytes = kMaxImageBytes);

}  // namespace sallyport
