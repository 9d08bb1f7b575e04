#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "control/agent/active_policy.h"
#include "control/agent/dataplane_link.h"
#include "control/agent/state_store.h"
#include "control/common/json_text.h"

namespace sallyport {

struct AgentOptions {
  std::vector<std::filesystem::path> policy_paths;  ///< Empty: serve the last good image.
  std::filesystem::path dataplane_socket;
  std::chrono::milliseconds reply_timeout{5'000};
  std::chrono::milliseconds retry_interval{1'000};
  std::chrono::milliseconds query_interval{2'000};
};

/// Keeps the data plane running the policy that was last found good. One thread drives it with
/// events; nothing here waits for the data plane or a client.
///
/// A policy passes through: candidate (compiled, offered to the data plane) → in force (every core
/// acknowledged it) → stored. Whatever goes wrong on the way leaves the one in force alone.
class Agent {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Reply = std::function<void(const Json&)>;

  Agent(AgentOptions options, StateStore store);

  /// Reads the stored image, then the policy files. Neither has to be good.
  void start(Time now);
  /// Compiles the policy files anew and pushes them. `done` is called once, now or later.
  void reload(Reply done, Time now);
  /// Compiles `sources` and pushes them.
  void push(std::vector<SourceFile> sources, Reply done, Time now);
  Json status() const;

  int dataplane_fd() const noexcept { return link_.fd(); }  ///< -1 while not connected.
  void on_dataplane_readable(Time now);
  /// Does what is due. @return when to call next.
  Time tick(Time now);

 private:
  /// A policy on its way, and who waits to hear of it.
  struct Candidate {
    ActivePolicy policy;
    Reply done;  ///< Null when nobody waits.
  };
  struct Job {
    std::optional<std::vector<SourceFile>> sources;  ///< nullopt: reload the files.
    Reply done;
  };
  struct InFlight {
    uint64_t id = 0;
    Time deadline;
    std::optional<uint64_t> pushed_revision;  ///< nullopt for a query.
  };
  struct LastPush {
    uint64_t unix_seconds = 0;
    std::string result;  ///< accepted, refused, failed or invalid.
    std::string detail;
    std::string refusal;
    uint64_t revision = 0;
  };

  void load_stored();

  void start_job(Job job);
  void offer(ActivePolicy policy, Reply done);
  void reject(const std::string& what, std::vector<Diagnostic> diagnostics, const Reply& done);

  void step(Time now);
  void push_policy(const ActivePolicy& policy, Time now);
  void query(Time now);
  bool adopt_without_push();
  const ActivePolicy* drifted_policy() const;

  void handle_reply(const PushReply& reply, Time now);
  void settle_push(uint64_t revision, Refusal refusal);
  void accept(ActivePolicy policy, const Reply& done);
  void refuse(uint64_t revision, Refusal refusal);
  void link_lost(const std::string& why, Time now);
  std::string store(const ActivePolicy& policy);
  bool all_cores_run(uint64_t revision) const;
  void record(std::string result, uint64_t revision, std::string detail, std::string refusal = "");
  std::string kept_text() const;

  AgentOptions options_;
  StateStore store_;
  DataplaneLink link_;
  bool up_ = false;  ///< The data plane has answered on this connection.
  std::string down_reason_;
  std::vector<CorePolicy> cores_;  ///< From its last answer.
  std::optional<ActivePolicy> in_force_;
  std::optional<Candidate> candidate_;
  std::deque<Job> jobs_;
  std::optional<InFlight> in_flight_;
  std::optional<LastPush> last_push_;
  uint64_t stored_revision_ = 0;   ///< 0: nothing good is stored.
  uint64_t refused_revision_ = 0;  ///< Not offered again on this connection unless asked.
  Time next_connect_;
  Time next_query_;
};

}  // namespace sallyport
