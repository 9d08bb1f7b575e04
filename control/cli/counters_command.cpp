#include <spdlog/fmt/fmt.h>

#include <numeric>

#include "control/cli/commands.h"
#include "control/cli/text_table.h"
#include "control/common/json_text.h"
#include "control/common/stats_reader.h"

namespace sallyport {
namespace {

constexpr const char* kDropFamily = "sallyport_drops_total";

/// One counter across all cores.
struct Row {
  const StatsCounter* counter = nullptr;
  std::vector<uint64_t> by_core;
  uint64_t total = 0;
};

std::vector<Row> select_rows(const StatsSnapshot& snapshot, bool drops_only, bool all) {
  std::vector<Row> rows;
  for (size_t i = 0; i < snapshot.counters.size(); ++i) {
    const StatsCounter& counter = snapshot.counters[i];
    if (drops_only && counter.family != kDropFamily) continue;
    Row row{.counter = &counter, .by_core = {}, .total = 0};
    for (const StatsCoreValues& core : snapshot.cores) row.by_core.push_back(core.values[i]);
    row.total = std::accumulate(row.by_core.begin(), row.by_core.end(), uint64_t{0});
    if (all || row.total != 0) rows.push_back(std::move(row));
  }
  return rows;
}

std::string reason_of(const StatsCounter& counter) {
  const std::string reason = label_value(counter.labels, "reason");
  return reason.empty() ? counter.labels : reason;
}

std::string full_name(const StatsCounter& counter) {
  return counter.labels.empty() ? counter.family
                                : fmt::format("{}{{{}}}", counter.family, counter.labels);
}

void print_table(const StatsSnapshot& snapshot, const std::vector<Row>& rows, bool drops_only) {
  std::vector<std::vector<std::string>> cells{{drops_only ? "REASON" : "COUNTER"}};
  std::vector<bool> numbers{false};
  for (const StatsCoreValues& core : snapshot.cores) {
    cells[0].push_back(fmt::format("CORE {}", core.core));
    numbers.push_back(true);
  }
  cells[0].emplace_back("TOTAL");
  numbers.push_back(true);
  for (const Row& row : rows) {
    cells.push_back({drops_only ? reason_of(*row.counter) : full_name(*row.counter)});
    for (const uint64_t value : row.by_core) cells.back().push_back(std::to_string(value));
    cells.back().push_back(std::to_string(row.total));
  }
  fmt::print("{}", align(cells, numbers));
}

Json rows_json(const StatsSnapshot& snapshot, const std::vector<Row>& rows, bool drops_only) {
  Json list = Json::array();
  for (const Row& row : rows) {
    Json one = drops_only ? Json{{"reason", reason_of(*row.counter)}}
                          : Json{{"family", row.counter->family}, {"labels", row.counter->labels}};
    one["help"] = row.counter->help;
    if (!drops_only) one["kind"] = row.counter->kind == StatsKind::gauge ? "gauge" : "counter";
    one["cores"] = Json::object();
    for (size_t i = 0; i < row.by_core.size(); ++i) {
      one["cores"][std::to_string(snapshot.cores[i].core)] = row.by_core[i];
    }
    one["total"] = row.total;
    list.push_back(std::move(one));
  }
  return {{drops_only ? "drops" : "counters", std::move(list)}};
}

int print_counters(const CliOptions& options, bool drops_only) {
  const auto reader = StatsReader::open(options.stats);
  const auto snapshot =
      reader ? reader->snapshot()
             : std::expected<StatsSnapshot, StatsError>(std::unexpected(reader.error()));
  if (!snapshot) {
    print_error(snapshot.error().text);
    return kExitBadInput;
  }
  const auto rows = select_rows(*snapshot, drops_only, options.all);
  if (snapshot->ended) {
    fmt::print(stderr, "sallyport: note: the data plane has stopped; these are its last counts\n");
  }
  if (options.format == Format::json) {
    fmt::print("{}\n", dump_pretty(rows_json(*snapshot, rows, drops_only)));
  } else if (rows.empty()) {
    fmt::print("{}\n", drops_only ? "no drops" : "every counter is zero");
  } else {
    print_table(*snapshot, rows, drops_only);
  }
  return kExitGood;
}

}  // namespace

int run_drops(const CliOptions& options) {
  return print_counters(options, true);
}
int run_counters(const CliOptions& options) {
  return print_counters(options, false);
}

}  // namespace sallyport
