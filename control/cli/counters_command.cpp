#include <spdlog/fmt/fmt.h>

#include <numeric>

#include "control/cli/commands.h"
#include "control/cli/text_table.h"
#include "control/common/json_text.h"
#include "control/common/stats_reader.h"

namespace sallyport {
namespace {

/// One counter across all cores.
struct Row {
  const StatsCounter* counter = nullptr;
  std::vector<uint64_t> by_core;
  uint64_t total = 0;
};

std::vector<Row> select_rows(const StatsSnapshot& snapshot, bool all) {
  std::vector<Row> rows;
  for (size_t i = 0; i < snapshot.counters.size(); ++i) {
    const StatsCounter& counter = snapshot.counters[i];
    Row row{.counter = &counter, .by_core = {}, .total = 0};
    for (const StatsCoreValues& core : snapshot.cores) row.by_core.push_back(core.values[i]);
    row.total = std::accumulate(row.by_core.begin(), row.by_core.end(), uint64_t{0});
    if (all || row.total != 0) rows.push_back(std::move(row));
  }
  return rows;
}

std::string full_name(const StatsCounter& counter) {
  return counter.labels.empty() ? counter.family
                                : fmt::format("{}{{{}}}", counter.family, counter.labels);
}

void print_table(const StatsSnapshot& snapshot, const std::vector<Row>& rows) {
  std::vector<std::vector<std::string>> cells{{"COUNTER"}};
  std::vector<bool> numbers{false};
  for (const StatsCoreValues& core : snapshot.cores) {
    cells[0].push_back(fmt::format("CORE {}", core.core));
    numbers.push_back(true);
  }
  cells[0].emplace_back("TOTAL");
  numbers.push_back(true);
  for (const Row& row : rows) {
    cells.push_back({full_name(*row.counter)});
    for (const uint64_t value : row.by_core) cells.back().push_back(std::to_string(value));
    cells.back().push_back(std::to_string(row.total));
  }
  fmt::print("{}", align(cells, numbers));
}

Json rows_json(const StatsSnapshot& snapshot, const std::vector<Row>& rows) {
  Json list = Json::array();
  for (const Row& row : rows) {
    Json one{{"family", row.counter->family}, {"labels", row.counter->labels}};
    one["help"] = row.counter->help;
    one["kind"] = row.counter->kind == StatsKind::gauge ? "gauge" : "counter";
    one["cores"] = Json::object();
    for (size_t i = 0; i < row.by_core.size(); ++i) {
      one["cores"][std::to_string(snapshot.cores[i].core)] = row.by_core[i];
    }
    one["total"] = row.total;
    list.push_back(std::move(one));
  }
  return {{"counters", std::move(list)}};
}

}  // namespace

int run_counters(const CliOptions& options) {
  const auto snapshot = read_stats(options.stats);
  if (!snapshot) {
    print_error(snapshot.error().text);
    return kExitBadInput;
  }
  const auto rows = select_rows(*snapshot, options.all);
  if (snapshot->ended) {
    fmt::print(stderr, "sallyport: note: the data plane has stopped; these are its last counts\n");
  }
  if (options.format == Format::json) {
    fmt::print("{}\n", dump_pretty(rows_json(*snapshot, rows)));
  } else if (rows.empty()) {
    fmt::print("every counter is zero\n");
  } else {
    print_table(*snapshot, rows);
  }
  return kExitGood;
}

}  // namespace sallyport
