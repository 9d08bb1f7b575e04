#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "dataplane/inspect/flow.h"

namespace sallyport {

/// What was asked: id, name and type of a question (RFC 1035 section 4.1).
struct AskedQuestion {
  uint16_t id = 0;
  uint16_t type = 0;
  std::string_view name;  ///< Canonical (HostName::assign).
};

/// The DNS queries over UDP of one worker's flows that have left and are not answered yet: an
/// answer that is none to them may be anybody's. Belongs to that worker. Memory is fixed: where
/// there is no room, the oldest of a few is forgotten.
class AskedQueries {
 public:
  /// As long as resolvers and their clients have patience (RFC 1035 section 4.2.1, and some more).
  static constexpr uint64_t kAnswerWithinNs = 10'000'000'000;
  static constexpr uint32_t kPlaces = 8192;

  /// @param key  Secret.
  AskedQueries(uint32_t places, std::array<uint64_t, 2> key);

  void note(const FlowKey& flow, const AskedQuestion& question, uint64_t now_ns) noexcept;

  /// Whether the question was asked on this flow, not too long ago; then it is answered, and no
  /// other answer to it counts.
  bool take(const FlowKey& flow, const AskedQuestion& question, uint64_t now_ns) noexcept;

 private:
  static constexpr uint32_t kWays = 4;
  struct Place {
    uint64_t tag = 0;
    uint64_t asked_ns = 0;  // 0: empty
  };
  struct alignas(64) Bucket {
    std::array<Place, kWays> places;
  };

  uint64_t hash(const FlowKey& flow, const AskedQuestion& question) const noexcept;
  Bucket& bucket_of(uint64_t tag) noexcept { return buckets_[tag % buckets_.size()]; }

  const std::array<uint64_t, 2> key_;
  std::vector<Bucket> buckets_;
};

}  // namespace sallyport
