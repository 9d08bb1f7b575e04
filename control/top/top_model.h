#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/top/top_sample.h"

namespace sallyport {

enum class TopState : uint8_t {
  missing,     ///< No segment: no data plane has run here since boot.
  unreadable,  ///< There is one that cannot be read.
  running,     ///< At least one core turned within the last second.
  gone,        ///< None did, and the segment was not ended: it died, or is stuck.
  stopped,     ///< It ended in order.
};

std::string_view to_string(TopState state);

struct TopCounter {
  uint64_t total = 0;     ///< Since the data plane started; of a gauge, what is there now.
  double per_second = 0;  ///< Over the interval; 0 for a gauge.
};

/// Of what a histogram recorded within the interval, in its unit: nanoseconds or packets.
struct TopQuantiles {
  uint64_t count = 0;  ///< 0: nothing was recorded, and there are no quantiles.
  double mean = 0;
  double p50 = 0;
  double p90 = 0;
  double p99 = 0;
  double p999 = 0;
};

struct TopRule {
  std::string name;  ///< "policy/rule"; in parentheses what is no rule's.
  uint64_t revision = 0;
  TopCounter hits;  ///< Since the core took the policy of `revision`.
};

/// One core, or all of them together.
struct TopCore {
  bool all = false;  ///< All together: what only one core has is 0.
  uint32_t core = 0;
  bool stalled = false;  ///< Its last heartbeat is over a second old.
  uint64_t heartbeat_age_ns = 0;
  uint64_t revision = 0;  ///< 0: no policy.
  uint64_t generation = 0;
  std::vector<TopCounter> counters;      ///< One per TopModel::counters.
  std::vector<TopQuantiles> histograms;  ///< One per TopModel::histograms.

  std::vector<TopRule> rules;  ///< Each of the policy, in its order; then those in parentheses.

  TopCounter packets;                ///< Received from both ports.
  TopCounter bytes;                  ///< Of them, frames without FCS.
  TopCounter drops;                  ///< Of all reasons.
  TopCounter verdicts;               ///< Of all protocols, allowed and denied.
  std::optional<double> busy_ratio;  ///< Share of polls that found packets; none without polls.
  uint64_t pending_flows = 0;
  uint64_t held_packets = 0;
  TopQuantiles latency;          ///< sallyport_packet_latency_seconds
  TopQuantiles time_to_verdict;  ///< sallyport_time_to_verdict_seconds
};

/// Everything that is shown: two samples, and what lies between them.
struct TopModel {
  TopState state = TopState::missing;
  std::string problem;  ///< Why there is nothing to show, when there is nothing.
  uint64_t taken_unix_ns = 0;
  double seconds = 0;  ///< Between the samples; 0: there is one only, and no rates.
  int32_t pid = 0;
  uint64_t started_unix_ns = 0;
  uint64_t uptime_ns = 0;  ///< 0 unless it runs.
  uint64_t identity_revision = 0;
  uint64_t identity_addresses = 0;
  std::vector<StatsCounter> counters;
  std::vector<StatsHistogram> histograms;
  std::vector<TopCore> cores;
  TopCore total;
  std::vector<std::string> alarms;  ///< What an operator has to know, the most urgent first.
};

/// Remembers the sample before, and for a while that the data plane was replaced by another.
class TopHistory {
 public:
  /// @param next  taken after all that were added before.
  TopModel add(TopSample next);

 private:
  std::optional<TopSample> last_;
  std::string restart_;  ///< "the data plane has restarted …"
  uint64_t restarted_ns_ = 0;
};

/// What the samples say. Rates, quantiles and shares are those of the time between them; without
/// `before`, or when it is of another segment, there are none.
TopModel compare(const TopSample* before, const TopSample& after);

/// Of one counter in a model: its labels but for those of other keys, or "" when it is not of
/// `family`. label_of(counter, "sallyport_drops_total", "reason") is "denied".
std::string label_of(const StatsCounter& counter, std::string_view family, const char* key);

struct NamedCounter {
  std::string name;
  TopCounter value;
};
/// Every reason, whichever way the packets were to go.
std::vector<NamedCounter> drops_by_reason(const TopModel& model, const TopCore& core);

}  // namespace sallyport
