#include "control/cli/drop_watch.h"

#include <numeric>

namespace sallyport {
namespace {

constexpr const char* kDropFamily = "sallyport_drops_total";

std::string reason_of(const StatsCounter& counter) {
  const std::string reason = label_value(counter.labels, "reason");
  return reason.empty() ? counter.labels : reason;
}

}  // namespace

std::vector<DropRow> drop_rows(const StatsSnapshot& snapshot, bool all) {
  std::vector<DropRow> rows;
  for (size_t i = 0; i < snapshot.counters.size(); ++i) {
    const StatsCounter& counter = snapshot.counters[i];
    if (counter.family != kDropFamily) continue;
    DropRow row{.reason = reason_of(counter), .help = counter.help, .by_core = {}, .total = 0};
    for (const StatsCoreValues& core : snapshot.cores) row.by_core.push_back(core.values[i]);
    row.total = std::accumulate(row.by_core.begin(), row.by_core.end(), uint64_t{0});
    if (rows.empty() || rows.back().reason != row.reason) {
      rows.push_back(std::move(row));
      continue;
    }
    // The same towards the other side: their counters stand one behind the other.
    DropRow& both = rows.back();
    for (size_t core = 0; core < row.by_core.size(); ++core)
      both.by_core[core] += row.by_core[core];
    both.total += row.total;
  }
  if (!all) std::erase_if(rows, [](const DropRow& row) { return row.total == 0; });
  return rows;
}

std::vector<DropRow> DropWatch::rows_since(const StatsSnapshot& now) {
  std::vector<DropRow> out;
  for (DropRow& row : drop_rows(now, true)) {
    row.total = 0;
    for (size_t i = 0; i < row.by_core.size(); ++i) {
      uint64_t& before = counted_[{row.reason, now.cores[i].core}];
      const uint64_t value = row.by_core[i];
      row.by_core[i] = value - (before <= value ? before : 0);
      row.total += row.by_core[i];
      before = value;
    }
    if (row.total != 0) out.push_back(std::move(row));
  }
  return out;
}

DropChange DropWatch::look(const std::expected<StatsSnapshot, StatsError>& now) {
  if (!now) {
    const bool news = seen_ && !gone_;
    gone_ = true;
    return {.event = news ? DropChange::Event::gone : DropChange::Event::none, .rows = {}};
  }
  DropChange out;
  const bool other = now->pid != pid_ || now->started_unix_ns != started_unix_ns_;
  if (other) counted_.clear();
  if (other && seen_) out.event = DropChange::Event::restarted;
  if (now->ended && (!ended_ || other)) out.event = DropChange::Event::stopped;
  pid_ = now->pid;
  started_unix_ns_ = now->started_unix_ns;
  ended_ = now->ended;
  gone_ = false;
  out.rows = rows_since(*now);
  // What was counted before the first look is not of any second.
  if (!seen_) out.rows.clear();
  seen_ = true;
  return out;
}

}  // namespace sallyport
