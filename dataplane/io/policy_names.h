#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "policy/runtime/identity.h"
#include "policy/runtime/table.h"

namespace sallyport {

/// What the rules of recent tables are called, and which workload had which address, for records of
/// flows that outlive their table. Written by the control thread, read by the log writer; no worker
/// comes here.
class PolicyNames {
 public:
  static constexpr size_t kPoliciesKept = 16;
  static constexpr size_t kFeedsKept = 16;

  struct Found {
    uint64_t revision = 0;  ///< 0: the generation is no longer known.
    std::string policy;
    std::string rule;  ///< Empty: no rule decided.
    Tier tier{};
    PolicyMode mode{};
  };

 private:
  struct Names {
    Found none;  // what is known where no rule decided
    std::vector<Found> rules;
  };

 public:
  /// All that is known of one generation. It never changes, so who has many records to name keeps
  /// it and takes no lock for each.
  class View {
   public:
    /// Whether the generation is known at all; one that is not may be later, or never again.
    bool known() const noexcept { return policy_ != nullptr; }
    const Found& rule(uint32_t rule) const noexcept;
    /// The SPIFFE ID that `inside` had; empty without one.
    std::string_view spiffe_id(const IpAddress& inside) const;

   private:
    friend class PolicyNames;
    std::shared_ptr<const Names> policy_;
    std::shared_ptr<const IdentityFeed> feed_;
  };

  /// A new generation, of another policy or with another feed. `feed`: null for none.
  void add(uint32_t generation, const PolicyTable& table,
           std::shared_ptr<const IdentityFeed> feed = nullptr);
  /// A new generation without a policy.
  void add_none(uint32_t generation);
  View view(uint32_t generation) const;
  Found find(uint32_t generation, uint32_t rule) const;
  /// The SPIFFE ID that `inside` had under that generation; empty when it had none, or when that
  /// is no longer known.
  std::string spiffe_id(uint32_t generation, const IpAddress& inside) const;

 private:
  // By the first generation that each holds for: a feed changes far more often than the policy.
  mutable std::mutex mutex_;
  uint32_t latest_ = 0;
  std::map<uint32_t, std::shared_ptr<const Names>> policies_;
  std::map<uint32_t, std::shared_ptr<const IdentityFeed>> feeds_;
};

}  // namespace sallyport
