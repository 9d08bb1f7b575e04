#include "control/agent/health.h"

#include <algorithm>
#include <chrono>
#include <map>

#include "policy/runtime/image.h"

namespace sallyport {
namespace {

constexpr const char* kLostFamily = "sallyport_events_lost_total";
// A sink may be slow, and is written to in batches; a disk that takes none for so long is stuck.
constexpr uint64_t kLogWriterStuckAfterNs = 5'000'000'000;
constexpr std::chrono::seconds kLately{60};
// A policy of 100,000 names takes seconds to compile, and the loop waits for it.
constexpr std::chrono::seconds kLoopStuckAfter{120};

std::map<std::string, uint64_t> lost_by_cause(const StatsSnapshot& snapshot) {
  std::map<std::string, uint64_t> lost;
  for (size_t i = 0; i < snapshot.counters.size(); ++i) {
    if (snapshot.counters[i].family != kLostFamily) continue;
    uint64_t& sum = lost[label_value(snapshot.counters[i].labels, "cause")];
    for (const StatsCoreValues& core : snapshot.cores) sum += core.values[i];
  }
  return lost;
}

std::string seconds_text(uint64_t nanoseconds) {
  return std::to_string(nanoseconds / 1'000'000'000) + " s";
}

void add_core_reasons(const StatsSnapshot& snapshot, uint64_t now, std::vector<std::string>& out) {
  for (const StatsCoreValues& core : snapshot.cores) {
    const uint64_t age = heartbeat_age_ns(core, now);
    if (age > kStalledAfterNs) {
      out.push_back("core " + std::to_string(core.core) + " is stalled: no heartbeat for " +
                    seconds_text(age));
    }
  }
}

void add_policy_reasons(const StatsSnapshot& snapshot, std::vector<std::string>& out) {
  std::string text;
  bool same = true;
  for (const StatsCoreValues& core : snapshot.cores) {
    same = same && core.revision == snapshot.cores.front().revision;
    text += (text.empty() ? "core " : ", core ") + std::to_string(core.core) + " " +
            (core.revision == 0 ? "none" : revision_text(core.revision));
  }
  if (!same) {
    out.push_back("the cores run different policies: " + text);
  } else if (snapshot.cores.front().revision == 0) {
    out.emplace_back("no policy is in force: everything is denied; push one");
  }
}

}  // namespace

bool dataplane_runs(const SegmentResult& segment, uint64_t now_unix_ns) noexcept {
  if (!segment || segment->ended) return false;
  return std::any_of(segment->cores.begin(), segment->cores.end(), [&](const auto& core) {
    return heartbeat_age_ns(core, now_unix_ns) <= kStalledAfterNs;
  });
}

LossWatch::Loss LossWatch::look(const StatsSnapshot& snapshot, AgentBoard::Time now) {
  const auto lost = lost_by_cause(snapshot);
  uint64_t total = 0;
  std::string causes;
  for (const auto& [cause, count] : lost) {
    total += count;
    if (count == 0) continue;
    causes += (causes.empty() ? "" : ", ") + cause + " " + std::to_string(count);
  }
  if (snapshot.started_unix_ns != started_unix_ns_) {
    // What one that was there before the agent lost may be long ago; a new one began at nothing.
    base_ = last_ = looked_ ? 0 : total;
    started_unix_ns_ = snapshot.started_unix_ns;
    looked_ = true;
    grew_ = false;
  }
  if (total > last_) {
    grew_ = true;
    grew_at_ = now;
  }
  last_ = std::max(last_, total);
  if (!grew_ || now - grew_at_ > kLately) return {};
  const auto age = std::chrono::duration_cast<std::chrono::seconds>(now - grew_at_);
  return {.events = last_ - base_,
          .age_seconds = static_cast<uint64_t>(std::max<int64_t>(age.count(), 0)),
          .causes = causes};
}

std::vector<std::string> unreadiness(const SegmentResult& segment, const LossWatch::Loss& loss,
                                     uint64_t now_unix_ns) {
  if (!segment) return {segment.error().text};
  if (segment->ended) return {"the data plane has stopped; start sallyport-dataplane"};
  if (segment->cores.empty()) return {"the data plane has no worker cores"};
  std::vector<std::string> out;
  if (!dataplane_runs(segment, now_unix_ns)) {
    out.emplace_back("the data plane is gone or stuck: none of its cores turns");
  }
  add_core_reasons(*segment, now_unix_ns, out);
  add_policy_reasons(*segment, out);
  const uint64_t writer_age = log_writer_age_ns(*segment, now_unix_ns);
  if (dataplane_runs(segment, now_unix_ns) && writer_age > kLogWriterStuckAfterNs) {
    out.push_back("the flow log's writer is stuck or has ended: it has not turned for " +
                  seconds_text(writer_age));
  }
  if (loss.events != 0) {
    out.push_back("the flow log lost " + std::to_string(loss.events) + " events, the last " +
                  std::to_string(loss.age_seconds) + " s ago (" + loss.causes + ")");
  }
  return out;
}

std::vector<std::string> illness(const AgentBoard::Note& note, AgentBoard::Time now) {
  const auto age = std::chrono::duration_cast<std::chrono::seconds>(now - note.at);
  if (age <= kLoopStuckAfter) return {};
  return {"the agent has been busy with one thing for " + std::to_string(age.count()) +
          " s; restart it, traffic is not affected"};
}

}  // namespace sallyport
