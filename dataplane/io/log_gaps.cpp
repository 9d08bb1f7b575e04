#include "dataplane/io/log_gaps.h"

#include <algorithm>
#include <utility>

#include "dataplane/io/eve_text.h"
#include "dataplane/io/json_line.h"

namespace sallyport {

std::string_view to_string(LogLoss cause) noexcept {
  static constexpr std::array<std::string_view, kLogLosses> kNames{"ring_full", "write_failed",
                                                                   "sink_gone", "sink_slow"};
  return kNames[static_cast<size_t>(cause)];
}

LogGaps::LogGaps(std::vector<unsigned> cores) : cores_(std::move(cores)), gaps_(cores_.size()) {}

void LogGaps::note(size_t worker, LogLoss cause, const LogGap& gap) noexcept {
  if (gap.events == 0) return;
  LogGap& known = gaps_[worker][static_cast<size_t>(cause)];
  const bool first = known.events == 0;
  known.events += gap.events;
  known.from_unix_ns = first ? gap.from_unix_ns : std::min(known.from_unix_ns, gap.from_unix_ns);
  known.to_unix_ns = std::max(known.to_unix_ns, gap.to_unix_ns);
  any_ = true;
}

void LogGaps::note(const LogGaps& more) noexcept {
  if (!more.any_) return;
  for (size_t worker = 0; worker < gaps_.size(); ++worker) {
    for (size_t cause = 0; cause < kLogLosses; ++cause) {
      note(worker, static_cast<LogLoss>(cause), more.gaps_[worker][cause]);
    }
  }
}

void LogGaps::append(uint64_t now_unix_ns, std::string& out) {
  for (size_t worker = 0; worker < gaps_.size(); ++worker) {
    for (size_t cause = 0; cause < kLogLosses; ++cause) {
      const LogGap& gap = gaps_[worker][cause];
      if (gap.events == 0) continue;
      JsonLine json(out);
      json.open();
      json.word("timestamp", time_(now_unix_ns));
      json.word("event_type", "gap");
      json.open("gap");
      json.number("events", gap.events);
      json.word("cause", to_string(static_cast<LogLoss>(cause)));
      json.word("start", time_(gap.from_unix_ns));
      json.word("end", time_(gap.to_unix_ns));
      json.close();
      json.number("core", cores_[worker]);
      json.number("schema", kEventSchema);
      json.close();
      out += '\n';
    }
  }
}

void LogGaps::clear() noexcept {
  for (auto& by_cause : gaps_) by_cause = {};
  any_ = false;
}

uint64_t LogGaps::events() const noexcept {
  uint64_t sum = 0;
  for (const auto& by_cause : gaps_) {
    for (const LogGap& gap : by_cause) sum += gap.events;
  }
  return sum;
}

}  // namespace sallyport
