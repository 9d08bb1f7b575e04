#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "control/agent/agent_facts.h"
#include "control/common/stats_reader.h"

namespace sallyport {

using SegmentResult = std::expected<StatsSnapshot, StatsError>;

/// Whether the data plane runs: it has not ended, and at least one of its cores turns. Not by its
/// process id, which means nothing in the agent's own container.
bool dataplane_runs(const SegmentResult& segment, uint64_t now_unix_ns) noexcept;

/// Notices when the flow log loses events.
class LossWatch {
 public:
  struct Loss {
    uint64_t events = 0;       ///< Since the data plane started, or the agent if that was later.
    uint64_t age_seconds = 0;  ///< Since it was last seen to grow.
    std::string causes;        ///< "ring_full 3, write_failed 1".
  };

  /// Looks at the numbers. @return what was lost within the last minute; zero events for nothing.
  Loss look(const StatsSnapshot& snapshot, AgentBoard::Time now);

 private:
  uint64_t started_unix_ns_ = 0;  ///< Of the data plane that was looked at.
  bool looked_ = false;
  uint64_t base_ = 0;
  uint64_t last_ = 0;
  bool grew_ = false;
  AgentBoard::Time grew_at_;
};

/// Why the gateway is not in order, a line each; empty: it is.
std::vector<std::string> unreadiness(const SegmentResult& segment, const LossWatch::Loss& loss,
                                     uint64_t now_unix_ns);

/// Why the agent itself should be restarted; empty: it should not.
std::vector<std::string> illness(const AgentBoard::Note& note, AgentBoard::Time now);

}  // namespace sallyport
