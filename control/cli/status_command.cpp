#include <signal.h>
#include <spdlog/fmt/fmt.h>

#include <cerrno>
#include <set>

#include "control/cli/agent_client.h"
#include "control/cli/budget_status.h"
#include "control/cli/commands.h"
#include "control/cli/text_table.h"
#include "control/common/json_text.h"
#include "control/common/stats_reader.h"
#include "control/common/system.h"
#include "policy/runtime/image.h"

namespace sallyport {
namespace {

constexpr std::chrono::seconds kStatusTimeout{2};

struct CoreStatus {
  uint32_t core = 0;
  uint64_t revision = 0;
  uint64_t generation = 0;
  uint64_t heartbeat_age_ns = 0;
  const char* state = "";
};

struct DataplaneStatus {
  std::string state = "stopped";  ///< running, stopped or missing.
  std::string problem;            ///< Why there are no numbers, or what is wrong with them.
  int32_t pid = 0;
  uint64_t started_unix_ns = 0;
  uint64_t uptime_ns = 0;
  uint64_t identity_revision = 0;  ///< 0: no identity feed.
  uint64_t identity_addresses = 0;
  uint64_t identity_since_unix_ns = 0;
  std::vector<CoreStatus> cores;
};

uint64_t age_ns(uint64_t now, uint64_t then) {
  return then < now ? now - then : 0;
}

bool process_lives(int32_t pid) {
  return pid > 0 && (::kill(pid, 0) == 0 || errno == EPERM);
}

std::string revision_or_none(uint64_t revision) {
  return revision == 0 ? "none" : revision_text(revision);
}

/// What an operator has to know first, or "".
std::string find_problem(const DataplaneStatus& status) {
  if (status.state != "running") return "the data plane is not running";
  std::set<uint64_t> revisions;
  for (const CoreStatus& core : status.cores) {
    if (std::string_view(core.state) == "stalled") {
      return fmt::format("core {} is stalled: no heartbeat for {}", core.core,
                         duration_text(core.heartbeat_age_ns));
    }
    revisions.insert(core.revision);
  }
  if (status.cores.empty()) return "the data plane has no worker cores";
  if (revisions.size() > 1) return "the cores run different revisions";
  return "";
}

DataplaneStatus dataplane_status(const StatsSnapshot& snapshot) {
  const uint64_t now = unix_now_ns();
  DataplaneStatus out;
  const bool running = !snapshot.ended && process_lives(snapshot.pid);
  out.state = running ? "running" : "stopped";
  out.pid = snapshot.pid;
  out.started_unix_ns = snapshot.started_unix_ns;
  out.uptime_ns = running ? age_ns(now, snapshot.started_unix_ns) : 0;
  out.identity_revision = snapshot.identity_revision;
  out.identity_addresses = snapshot.identity_addresses;
  out.identity_since_unix_ns = snapshot.identity_since_unix_ns;
  for (const StatsCoreValues& core : snapshot.cores) {
    const uint64_t age = heartbeat_age_ns(core, now);
    const char* alive = age > kStalledAfterNs ? "stalled" : "running";
    out.cores.push_back({.core = core.core,
                         .revision = core.revision,
                         .generation = core.generation,
                         .heartbeat_age_ns = age,
                         .state = running ? alive : "stopped"});
  }
  out.problem = find_problem(out);
  return out;
}

std::string agent_line(const std::filesystem::path& socket,
                       const std::expected<Json, std::string>& agent) {
  if (!agent) {
    return fmt::format("not reachable at {}: {} (traffic is not affected)", socket.string(),
                       agent.error());
  }
  const std::string revision = text_member(*agent, "revision");
  std::string line = revision.empty() ? "running, no policy" : "running, revision " + revision;
  const Json push = agent->value("last_push", Json());
  if (!push.is_object()) return line + ", no push yet";
  line +=
      fmt::format(", last push {} at {}", text_member(push, "result"), text_member(push, "time"));
  for (const char* key : {"refusal", "detail"}) {
    if (const auto text = text_member(push, key); !text.empty()) line += ": " + text;
  }
  return line;
}

/// Which labels the cores go by, and why not by newer ones.
std::string identities_line(const DataplaneStatus& status,
                            const std::expected<Json, std::string>& agent) {
  std::string line = "none: labels are unknown";
  if (status.identity_revision != 0) {
    line = fmt::format("revision {}, {} addresses, since {}",
                       revision_text(status.identity_revision), status.identity_addresses,
                       utc_text(status.identity_since_unix_ns / 1'000'000'000));
  }
  const Json known = agent ? agent->value("identities", Json()) : Json();
  const Json last = known.is_object() ? known.value("last_load", Json()) : Json();
  const std::string result = text_member(last, "result");
  if (result == "invalid" || result == "refused") {
    line += fmt::format(", last feed {} at {}: {}", result, text_member(last, "time"),
                        text_member(last, "detail"));
  }
  return line;
}

void print_text(const DataplaneStatus& status, const std::string& agent,
                const std::string& identities, const BudgetStatus& budgets) {
  const bool running = status.state == "running";
  std::string line = coloured(status.state, running ? "32" : "31");
  if (status.pid != 0) line += fmt::format(", {}pid {}", running ? "" : "was ", status.pid);
  if (running) line += ", up " + duration_text(status.uptime_ns);
  fmt::print("data plane  {}\nagent       {}\n", line, agent);
  if (status.pid != 0) fmt::print("identities  {}\n", identities);
  if (!status.cores.empty()) {
    std::vector<std::vector<std::string>> rows{
        {"CORE", "REVISION", "GENERATION", "HEARTBEAT", "STATE"}};
    for (const CoreStatus& core : status.cores) {
      const bool good = std::string_view(core.state) == "running";
      rows.push_back({std::to_string(core.core), revision_or_none(core.revision),
                      std::to_string(core.generation),
                      duration_text(core.heartbeat_age_ns) + " ago",
                      coloured(core.state, good ? "32" : "31")});
    }
    fmt::print("\n{}", align(rows, {false, false, true, true, false}));
  }
  const std::string table = budget_table(budgets, unix_now_ns() / 1'000'000'000);
  if (!table.empty()) fmt::print("\n{}", table);
  if (!budgets.problem.empty()) fmt::print("\nbudgets     unknown: {}\n", budgets.problem);
}

Json status_json(const DataplaneStatus& status, const std::expected<Json, std::string>& agent,
                 const BudgetStatus& budgets) {
  Json cores = Json::array();
  for (const CoreStatus& core : status.cores) {
    cores.push_back(
        {{"core", core.core},
         {"revision", core.revision == 0 ? Json(nullptr) : Json(revision_text(core.revision))},
         {"generation", core.generation},
         {"heartbeat_age_seconds", static_cast<double>(core.heartbeat_age_ns) / 1e9},
         {"state", core.state}});
  }
  Json out{{"ok", status.problem.empty()}};
  out["problem"] = status.problem.empty() ? Json(nullptr) : Json(status.problem);
  out["dataplane"] = {{"state", status.state},
                      {"pid", status.pid},
                      {"started", utc_text(status.started_unix_ns / 1'000'000'000)},
                      {"uptime_seconds", static_cast<double>(status.uptime_ns) / 1e9}};
  out["cores"] = std::move(cores);
  out["identities"] = nullptr;
  if (status.identity_revision != 0) {
    out["identities"] = {{"revision", revision_text(status.identity_revision)},
                         {"addresses", status.identity_addresses},
                         {"since", utc_text(status.identity_since_unix_ns / 1'000'000'000)}};
  }
  out["budgets"] = budget_json(budgets);
  if (agent) {
    out["agent"] = *agent;
    out["agent"]["reachable"] = true;
  } else {
    out["agent"] = {{"reachable", false}, {"error", agent.error()}};
  }
  return out;
}

}  // namespace

int run_status(const CliOptions& options) {
  if (options.show_books) return run_books(options);
  DataplaneStatus status;
  const auto snapshot = read_stats(options.stats);
  if (snapshot) {
    status = dataplane_status(*snapshot);
  } else {
    status.state = snapshot.error().fault == StatsFault::missing ? "not running" : "unknown";
    status.problem = snapshot.error().text;
  }
  const auto agent = ask_agent(options.control_socket, {{"op", "status"}}, kStatusTimeout);
  const auto budgets = read_budget_status(options.budgets, unix_now_ns() / 1'000'000'000);
  if (options.format == Format::json) {
    fmt::print("{}\n", dump_pretty(status_json(status, agent, budgets)));
  } else {
    print_text(status, agent_line(options.control_socket, agent), identities_line(status, agent),
               budgets);
    if (!status.problem.empty()) print_error(status.problem);
  }
  if (!snapshot && snapshot.error().fault != StatsFault::missing) return kExitBadInput;
  return status.problem.empty() ? kExitGood : kExitNo;
}

}  // namespace sallyport
