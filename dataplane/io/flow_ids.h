#pragma once

#include <cstdint>

#include "policy/runtime/frames.h"

namespace sallyport {

/// The ids of one worker's flows: who gave them, and a count that goes on from the time of the
/// start. Of a worker that opens fewer flows than one in each unit of time, on average since its
/// start, no earlier one of that node has had the same. Under 2^53, so that jq, JavaScript and
/// Grafana, which know no whole numbers but doubles, keep them.
class FlowIds {
 public:
  static constexpr unsigned kWorkerBits = 7;
  static constexpr unsigned kCountBits = 46;
  /// 125,000 flows a second and worker. The count comes round after 17 years.
  static constexpr uint64_t kUnitNs = 8'000;
  static_assert(kWorkerBits + kCountBits == 53);
  static_assert(kMaxCores < 1U << kWorkerBits);

  FlowIds(unsigned worker, uint64_t start_unix_ns) noexcept
      : worker_(uint64_t{worker + 1} << kCountBits), count_(start_unix_ns / kUnitNs) {}

  uint64_t next() noexcept { return worker_ | (++count_ & ((uint64_t{1} << kCountBits) - 1)); }

 private:
  uint64_t worker_;  // from 1: no flow has the id 0
  uint64_t count_;
};

}  // namespace sallyport
