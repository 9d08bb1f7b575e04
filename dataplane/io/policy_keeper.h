#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "dataplane/io/policy_names.h"
#include "dataplane/io/policy_slot.h"
#include "dataplane/io/stats_segment.h"
#include "policy/runtime/frames.h"
#include "policy/runtime/identity.h"

namespace sallyport {

/// What the workers decide by, a policy and the labels of an identity feed: takes either from the
/// agent or from disk, and puts both in force as one table. Each is taken whole or not at all, and
/// whichever comes first waits for the other. Control thread only.
class PolicyKeeper {
 public:
  struct Shared {
    PolicySlot& policies;
    PolicyNames& names;
    StatsSegment& stats;
    unsigned workers;
  };
  explicit PolicyKeeper(Shared shared) : shared_(shared) {}

  /// Before the workers run: what an earlier process had in force. A file that is missing or
  /// damaged is logged and leaves that part unknown.
  void load_stored(const std::string& policy_image, const std::string& identity_feed);

  /// Puts an image in force, with the labels of the last feed. Anything but none leaves the old
  /// one.
  Refusal push(std::span<const uint8_t> image);
  /// Gives the policy in force, and those to come, the labels of this feed. Live flows are decided
  /// anew as after a push. Anything but none leaves the old feed.
  Refusal push_identities(std::span<const uint8_t> feed);

  /// Called now and then. When a rule's notBefore or expiresAt has passed, the policy is put in
  /// force anew, so that live flows are decided by it on their next packet.
  void tick(int64_t unix_seconds);

  /// The part of a reply that is not a core's.
  IdentityState identities() const noexcept;
  uint64_t revision() const noexcept { return revision_; }  ///< 0: no policy.

 private:
  struct Feed {
    std::shared_ptr<const IdentityFeed> content;
    IdentityState state;
  };

  std::expected<std::unique_ptr<PolicyTable>, Refusal> load(std::span<const uint8_t> image) const;
  bool publish(std::unique_ptr<PolicyTable> table, std::chrono::milliseconds patience);
  bool acknowledged() const;
  void load_stored_feed(const std::string& path);
  void load_stored_policy(const std::string& path);
  void put_back();
  void use(Feed feed);

  Shared shared_;
  std::vector<uint8_t> image_;  // of the policy that every core runs; empty: none yet
  Feed feed_;                   // without content: none yet
  uint64_t revision_ = 0;
  uint32_t rules_in_time_ = 0;  // when the policy was last put in force
};

}  // namespace sallyport
