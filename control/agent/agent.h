#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/agent/active_feed.h"
#include "control/agent/active_policy.h"
#include "control/agent/agent_facts.h"
#include "control/agent/dataplane_link.h"
#include "control/agent/state_store.h"
#include "control/common/json_text.h"

namespace sallyport {

struct AgentOptions {
  std::vector<std::filesystem::path> policy_paths;  ///< Empty: serve the last good image.
  std::filesystem::path identities;                 ///< Empty: serve the last good feed.
  std::filesystem::path dataplane_socket;
  std::chrono::milliseconds reply_timeout{5'000};
  std::chrono::milliseconds retry_interval{1'000};
  std::chrono::milliseconds query_interval{2'000};
  std::chrono::milliseconds watch_interval{500};
};

/// Keeps the data plane running the policy that was last found good. One thread drives it with
/// events; nothing here waits for the data plane or a client.
///
/// A policy passes through: candidate (compiled, offered to the data plane) → in force (every core
/// acknowledged it) → stored. Whatever goes wrong on the way leaves the one in force alone. So does
/// an identity feed, independently: neither waits for the other.
class Agent {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Reply = std::function<void(const Json&)>;

  Agent(AgentOptions options, StateStore store);

  /// Reads what is stored, then the files of feed and policy. None has to be good.
  void start(Time now);
  /// Reads the files anew and pushes what they hold. `done` is called once, now or later, with what
  /// became of the policy; without policy files, of the feed.
  void reload(Reply done, Time now);
  /// Compiles `sources` and pushes them.
  void push(std::vector<SourceFile> sources, Reply done, Time now);
  Json status() const;
  AgentFacts facts() const;

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
    FrameType asked = FrameType::query;
    uint64_t id = 0;
    Time deadline;
    uint64_t revision = 0;  ///< Of what was pushed.
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

  void load_stored_identities();
  std::string load_identity_files();
  void watch_identities(Time now);
  bool adopt_identities();
  const ActiveFeed* due_identities() const;
  void settle_identities(uint64_t revision, Refusal refusal);
  std::string store_identities(const ActiveFeed& feed);
  Json identities_json() const;

  void step(Time now);
  void push_policy(const ActivePolicy& policy, Time now);
  void push_identities(const ActiveFeed& feed, Time now);
  void query(Time now);
  bool adopt_without_push();
  const ActivePolicy* drifted_policy() const;

  void handle_reply(const PushReply& reply, Time now);
  void settle_push(uint64_t revision, Refusal refusal);
  void accept(ActivePolicy policy, const Reply& done);
  void refuse(uint64_t revision, Refusal refusal);
  void link_lost(const std::string& why, Time now);
  std::string store(const ActivePolicy& policy);
  void keep_sources(const ActivePolicy& policy);
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
  // The identity feed: agent_identities.cpp.
  std::unique_ptr<FeedWatch> feed_watch_;
  IdentityState dataplane_feed_;            ///< From the data plane's last answer.
  std::optional<ActiveFeed> feed_;          ///< In force or stored: what the data plane must have.
  std::optional<ActiveFeed> feed_to_come_;  ///< Read, and not acknowledged yet.
  std::optional<LastPush> last_feed_;
  uint64_t stored_feed_ = 0;
  uint64_t refused_feed_ = 0;  ///< As refused_revision_.
  Time next_watch_;

  uint64_t stored_revision_ = 0;   ///< 0: nothing good is stored.
  uint64_t refused_revision_ = 0;  ///< Not offered again on this connection unless asked.
  Time next_connect_;
  Time next_query_;
};

}  // namespace sallyport
