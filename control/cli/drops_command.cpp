#include <spdlog/fmt/fmt.h>

#include <chrono>
#include <cstdio>
#include <set>
#include <thread>

#include "control/cli/commands.h"
#include "control/cli/drop_watch.h"
#include "control/cli/text_table.h"
#include "control/common/json_text.h"
#include "control/common/system.h"

namespace sallyport {
namespace {

constexpr int kCell = 10;
constexpr int kReason = 24;

void print_table(const StatsSnapshot& snapshot, const std::vector<DropRow>& rows) {
  std::vector<std::vector<std::string>> cells{{"REASON"}};
  std::vector<bool> numbers{false};
  for (const StatsCoreValues& core : snapshot.cores) {
    cells[0].push_back(fmt::format("CORE {}", core.core));
    numbers.push_back(true);
  }
  cells[0].emplace_back("TOTAL");
  numbers.push_back(true);
  std::vector<std::vector<std::string>> meanings{{"REASON", "MEANING"}};
  for (const DropRow& row : rows) {
    cells.push_back({row.reason});
    for (const uint64_t value : row.by_core) cells.back().push_back(std::to_string(value));
    cells.back().push_back(std::to_string(row.total));
    meanings.push_back({row.reason, row.help});
  }
  fmt::print("{}\n{}\nWhere to look for each: docs/dataplane.md#every-reason-for-a-drop\n",
             align(cells, numbers), align(meanings, {false, false}));
}

Json row_json(const StatsSnapshot& snapshot, const DropRow& row) {
  Json one{{"reason", row.reason}, {"help", row.help}, {"cores", Json::object()}};
  for (size_t i = 0; i < row.by_core.size(); ++i) {
    one["cores"][std::to_string(snapshot.cores[i].core)] = row.by_core[i];
  }
  one["total"] = row.total;
  return one;
}

Json rows_json(const StatsSnapshot& snapshot, const std::vector<DropRow>& rows) {
  Json list = Json::array();
  for (const DropRow& row : rows) list.push_back(row_json(snapshot, row));
  return list;
}

int print_once(const CliOptions& options, Format format) {
  const auto snapshot = read_stats(options.stats);
  if (!snapshot) {
    print_error(snapshot.error().text);
    return kExitBadInput;
  }
  const auto rows = drop_rows(*snapshot, options.all);
  if (snapshot->ended) {
    fmt::print(stderr, "sallyport: note: the data plane has stopped; these are its last counts\n");
  }
  if (format == Format::json) {
    fmt::print("{}\n", dump_pretty({{"drops", rows_json(*snapshot, rows)}}));
  } else if (rows.empty()) {
    fmt::print("no drops\n");
  } else {
    print_table(*snapshot, rows);
  }
  return kExitGood;
}

const char* event_text(DropChange::Event event) {
  switch (event) {
    case DropChange::Event::none:
      break;
    case DropChange::Event::restarted:
      return "restarted";
    case DropChange::Event::stopped:
      return "stopped";
    case DropChange::Event::gone:
      return "gone";
  }
  return "";
}

/// Writes what each look found, as lines.
class RateLines {
 public:
  explicit RateLines(Format format) : format_(format) {}

  void write(const DropChange& change, const StatsSnapshot* snapshot, double seconds) {
    const std::string time = utc_text(unix_now_ns() / 1'000'000'000);
    if (format_ == Format::json) return write_json(change, snapshot, seconds, time);
    write_event(change.event, snapshot);
    if (snapshot == nullptr || change.rows.empty()) return;
    write_header(*snapshot);
    for (const DropRow& row : change.rows) {
      if (told_.insert(row.reason).second) fmt::print("-- {}: {}\n", row.reason, row.help);
      std::string line = fmt::format("{:<8} {:<{}}", time.substr(11, 8), row.reason, kReason);
      for (const uint64_t value : row.by_core) line += rate(value, seconds);
      fmt::print("{}\n", line + rate(row.total, seconds));
    }
  }

 private:
  static std::string rate(uint64_t packets, double seconds) {
    return fmt::format(" {:>{}.0f}", static_cast<double>(packets) / seconds, kCell);
  }

  static void write_event(DropChange::Event event, const StatsSnapshot* snapshot) {
    if (event == DropChange::Event::gone) {
      fmt::print("-- the stats segment cannot be read: waiting for a data plane\n");
    } else if (event == DropChange::Event::stopped) {
      fmt::print("-- the data plane has stopped: waiting for another\n");
    } else if (event == DropChange::Event::restarted && snapshot != nullptr) {
      fmt::print("-- the data plane was restarted, pid {}: its counts begin at zero\n",
                 snapshot->pid);
    }
  }

  /// Another data plane may have other cores.
  void write_header(const StatsSnapshot& snapshot) {
    std::string header = fmt::format("{:<8} {:<{}}", "UTC", "REASON", kReason);
    for (const StatsCoreValues& core : snapshot.cores) {
      header += fmt::format(" {:>{}}", fmt::format("CORE {}/s", core.core), kCell);
    }
    header += fmt::format(" {:>{}}", "TOTAL/s", kCell);
    if (header == header_) return;
    header_ = header;
    fmt::print("{}\n", coloured(header, "1"));
  }

  static void write_json(const DropChange& change, const StatsSnapshot* snapshot, double seconds,
                         const std::string& time) {
    Json out{{"time", time}, {"seconds", seconds}};
    if (change.event != DropChange::Event::none) out["event"] = event_text(change.event);
    out["drops"] = snapshot == nullptr ? Json::array() : rows_json(*snapshot, change.rows);
    fmt::print("{}\n", dump(out));
  }

  Format format_;
  std::string header_;
  std::set<std::string> told_;  ///< Reasons whose meaning was said.
};

/// Until it is interrupted, or standard output takes no more.
int follow(const CliOptions& options, Format format) {
  using Clock = std::chrono::steady_clock;
  DropWatch watch;
  RateLines lines(format);
  watch.look(read_stats(options.stats));
  auto last = Clock::now();
  while (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) {
    std::this_thread::sleep_until(last + std::chrono::seconds(1));
    const auto snapshot = read_stats(options.stats);
    const auto now = Clock::now();
    const std::chrono::duration<double> past = now - last;
    last = now;
    lines.write(watch.look(snapshot), snapshot ? &*snapshot : nullptr, past.count());
  }
  print_error("cannot write to standard output");
  return kExitBadInput;
}

}  // namespace

int run_drops(const CliOptions& options) {
  const Format format = format_of_output(options);
  if (!options.follow) return print_once(options, format);
  // As JSON there is one kind of line.
  if (format == Format::text) {
    if (const int status = print_once(options, format); status != kExitGood) return status;
  } else if (const auto snapshot = read_stats(options.stats); !snapshot) {
    print_error(snapshot.error().text);
    return kExitBadInput;
  }
  return follow(options, format);
}

}  // namespace sallyport
