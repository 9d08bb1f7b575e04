#pragma once

#include <rte_common.h>
#include <rte_hash.h>
#include <rte_prefetch.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "dataplane/inspect/flow.h"

namespace sallyport {

/// One worker's flows: an rte_hash from FlowKey to an index into an array of them. Allocated once;
/// belongs to one worker.
class FlowTable {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;

  /// @param name      Unique in the process: rte_hash keeps a registry.
  /// @param capacity  Flows at most; insert() answers kNone beyond.
  /// Throws std::runtime_error when memory is short. Start-up only.
  FlowTable(const char* name, uint32_t capacity, int socket);

  /// Looks up as many keys as there are hashes, at most RTE_HASH_LOOKUP_BULK_MAX (64) of them.
  /// @param hashes  FlowHash::bucket_part of each key; here and below always of the same FlowHash.
  /// @param out     An index or kNone for each.
  void find(const FlowKey* keys, std::span<uint32_t> hashes, uint32_t* out) const noexcept;
  uint32_t find(const FlowKey& key, uint32_t hash) const noexcept;

  /// @return the index of a fresh flow with `key`, or kNone when the table is full. The key must
  ///         not be in the table.
  uint32_t insert(const FlowKey& key, uint32_t hash) noexcept;
  void erase(uint32_t index, uint32_t hash) noexcept;

  void prefetch(uint32_t index) const noexcept {
    const auto* flow = reinterpret_cast<const char*>(&flows_[index]);
    rte_prefetch0(flow);
    rte_prefetch0(flow + RTE_CACHE_LINE_SIZE);
  }
  Flow& flow(uint32_t index) noexcept { return flows_[index]; }

  uint32_t capacity() const noexcept { return static_cast<uint32_t>(flows_.size()); }
  uint32_t size() const noexcept { return size_; }

 private:
  struct FreeHash {
    void operator()(rte_hash* hash) const noexcept { rte_hash_free(hash); }
  };

  std::unique_ptr<rte_hash, FreeHash> hash_;
  std::vector<Flow> flows_;
  std::vector<uint32_t> free_;  // a stack; its storage never grows after construction
  uint32_t size_ = 0;
};

}  // namespace sallyport
