#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>

namespace sallyport {

/// What the agent knows of itself and its metrics say.
struct AgentFacts {
  bool dataplane_connected = false;
  uint64_t revision = 0;  ///< Of the policy in force; 0: none.
  uint32_t rules = 0;
  std::string source;            ///< Of that policy: files, api or last-good; "" without one.
  std::string last_push_result;  ///< accepted, refused, failed or invalid; "" before the first.
  uint64_t last_push_unix_seconds = 0;
};

/// Where the agent's loop leaves its facts for the threads of the metrics server: those never touch
/// the agent itself, and are answered while it compiles.
class AgentBoard {
 public:
  using Time = std::chrono::steady_clock::time_point;
  struct Note {
    AgentFacts facts;
    Time at;  ///< When the loop came by last.
  };

  void post(AgentFacts facts, Time now) {
    const std::lock_guard lock(mutex_);
    note_ = {.facts = std::move(facts), .at = now};
  }
  Note read() const {
    const std::lock_guard lock(mutex_);
    return note_;
  }

 private:
  mutable std::mutex mutex_;
  Note note_;
};

}  // namespace sallyport
