#pragma once

#include <rte_common.h>
#include <rte_prefetch.h>

#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/inspect/flow.h"

namespace sallyport {

/// One worker's flows: a hash table from FlowKey to an index into an array of them. Allocated once;
/// belongs to one worker.
///
/// Open addressing with linear probing, at most half full, so that a search looks at one cache line
/// of slots and at the flow itself, which is what its packet needs next. That stays so only while
/// nobody can choose keys whose hashes meet: see FlowHash.
class FlowTable {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;

  /// @param capacity  Flows at most; insert() answers kNone beyond.
  explicit FlowTable(uint32_t capacity);

  /// Looks up as many keys as there are hashes, and prefetches what it finds.
  /// @param hashes  FlowHash::bucket_part of each key; here and below always of the same FlowHash.
  /// @param out     An index or kNone for each.
  void find(const FlowKey* keys, std::span<const uint32_t> hashes, uint32_t* out) const noexcept;
  uint32_t find(const FlowKey& key, uint32_t hash) const noexcept;

  /// @return the index of a fresh flow with `key`, or kNone when the table is full. The key must
  ///         not be in the table.
  uint32_t insert(const FlowKey& key, uint32_t hash) noexcept;
  void erase(uint32_t index, uint32_t hash) noexcept;

  Flow& flow(uint32_t index) noexcept { return flows_[index]; }

  uint32_t capacity() const noexcept { return static_cast<uint32_t>(flows_.size()); }
  uint32_t size() const noexcept { return size_; }

 private:
  struct Slot {
    uint32_t hash = 0;
    uint32_t flow = kNone;
  };

  /// The first flow on the way from a hash's place that has the same hash, or kNone.
  uint32_t first_alike(uint32_t hash) const noexcept {
    for (uint32_t at = hash & mask_;; at = (at + 1) & mask_) {
      if (slots_[at].flow == kNone || slots_[at].hash == hash) return slots_[at].flow;
    }
  }
  void prefetch(uint32_t index) const noexcept {
    const auto* flow = reinterpret_cast<const char*>(&flows_[index]);
    rte_prefetch0(flow);
    rte_prefetch0(flow + RTE_CACHE_LINE_SIZE);
  }

  std::vector<Slot> slots_;
  uint32_t mask_;
  std::vector<Flow> flows_;
  std::vector<uint32_t> free_;  // a stack; its storage never grows after construction
  uint32_t size_ = 0;
};

}  // namespace sallyport
