#include "control/agent/agent.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "control/common/system.h"

namespace sallyport {

// What the agent does with the data plane. agent_policy.cpp: where policies come from, status.
// agent_identities.cpp: the identity feed.

Agent::Agent(AgentOptions options, StateStore store)
    : options_(std::move(options)), store_(std::move(store)), link_(options_.dataplane_socket) {
  if (!options_.identities.empty()) {
    feed_watch_ = std::make_unique<FeedWatch>(options_.identities);
  }
}

Agent::Time Agent::tick(Time now) {
  if (in_flight_ && in_flight_->deadline <= now) {
    link_lost("it did not answer within " + std::to_string(options_.reply_timeout.count()) + " ms",
              now);
  }
  if (!link_.connected() && next_connect_ <= now) {
    if (const auto connected = link_.connect(); !connected) {
      link_lost(connected.error(), now);
    } else {
      query(now);
    }
  }
  watch_identities(now);
  step(now);
  const Time next = in_flight_          ? in_flight_->deadline
                    : link_.connected() ? next_query_
                                        : next_connect_;
  return feed_watch_ ? std::min(next, next_watch_) : next;
}

/// Starts what comes next, if nothing is on its way. At most one message is unanswered at a time,
/// so an answer always belongs to the policy at hand.
void Agent::step(Time now) {
  while (!in_flight_) {
    // Labels first: flows must not meet a new policy without those that it asks for.
    if (adopt_identities()) continue;
    if (const ActiveFeed* feed = due_identities(); feed != nullptr) {
      return push_identities(*feed, now);
    }
    if (adopt_without_push()) continue;
    if (candidate_ && up_) return push_policy(candidate_->policy, now);
    if (!jobs_.empty()) {
      Job job = std::move(jobs_.front());
      jobs_.pop_front();
      start_job(std::move(job));
      continue;
    }
    if (const ActivePolicy* drifted = drifted_policy(); drifted != nullptr) {
      spdlog::info("the data plane does not run revision {}: pushing it again",
                   revision_text(drifted->revision));
      return push_policy(*drifted, now);
    }
    if (link_.connected() && next_query_ <= now) query(now);
    return;
  }
}

void Agent::push_policy(const ActivePolicy& policy, Time now) {
  const auto id = link_.send_push(FrameType::push, *policy.image);
  if (!id) return link_lost(id.error(), now);
  in_flight_ = InFlight{.asked = FrameType::push,
                        .id = *id,
                        .deadline = now + options_.reply_timeout,
                        .revision = policy.revision};
}

void Agent::push_identities(const ActiveFeed& feed, Time now) {
  const auto id = link_.send_push(FrameType::push_identities, *feed.bytes);
  if (!id) return link_lost(id.error(), now);
  in_flight_ = InFlight{.asked = FrameType::push_identities,
                        .id = *id,
                        .deadline = now + options_.reply_timeout,
                        .revision = feed.revision};
}

void Agent::query(Time now) {
  next_query_ = now + options_.query_interval;
  const auto id = link_.send_query();
  if (!id) return link_lost(id.error(), now);
  in_flight_ = InFlight{.id = *id, .deadline = now + options_.reply_timeout};
}

/// A candidate that nobody waits for and every core already runs, as after a restart of the agent.
bool Agent::adopt_without_push() {
  if (!up_ || !candidate_ || candidate_->done) return false;
  if (!all_cores_run(candidate_->policy.revision)) return false;
  ActivePolicy policy = std::move(candidate_->policy);
  candidate_.reset();
  spdlog::info("every core already runs revision {}", revision_text(policy.revision));
  store(policy);
  in_force_ = std::move(policy);
  return true;
}

/// The policy in force, when some core runs another and it was not refused already.
const ActivePolicy* Agent::drifted_policy() const {
  if (!up_ || !in_force_ || in_force_->revision == refused_revision_) return nullptr;
  return all_cores_run(in_force_->revision) ? nullptr : &*in_force_;
}

bool Agent::all_cores_run(uint64_t revision) const {
  return !cores_.empty() && std::all_of(cores_.begin(), cores_.end(), [&](const CorePolicy& core) {
    return core.revision == revision;
  });
}

void Agent::on_dataplane_readable(Time now) {
  while (link_.connected()) {
    const auto reply = link_.receive();
    if (!reply) return link_lost(reply.error(), now);
    const std::optional<PushReply>& answer = *reply;
    if (!answer) return;
    if (!in_flight_ || answer->header.request_id != in_flight_->id) continue;
    handle_reply(*answer, now);
    step(now);
  }
}

void Agent::handle_reply(const PushReply& reply, Time now) {
  const InFlight answered = in_flight_.value_or(InFlight{});
  in_flight_.reset();
  next_query_ = now + options_.query_interval;
  if (answered.asked == FrameType::query && reply.refusal != Refusal::none) {
    return link_lost("it refused: " + std::string(to_string(reply.refusal)) + ": " +
                         std::string(explain(reply.refusal)),
                     now);
  }
  cores_.assign(reply.cores.begin(), reply.cores.begin() + reply.core_count);
  dataplane_feed_ = reply.identities;
  if (!up_) {
    up_ = true;
    down_reason_.clear();
    spdlog::info("data plane reachable at {}, {} core(s)", options_.dataplane_socket.string(),
                 cores_.size());
  }
  if (answered.asked == FrameType::push) settle_push(answered.revision, reply.refusal);
  if (answered.asked == FrameType::push_identities) {
    settle_identities(answered.revision, reply.refusal);
  }
}

/// What becomes of a push that was answered.
void Agent::settle_push(uint64_t revision, Refusal refusal) {
  if (refusal != Refusal::none) return refuse(revision, refusal);
  if (!all_cores_run(revision)) return refuse(revision, Refusal::not_acknowledged);
  if (candidate_ && candidate_->policy.revision == revision) {
    Candidate taken = std::move(*candidate_);
    candidate_.reset();
    return accept(std::move(taken.policy), taken.done);
  }
  spdlog::info("revision {} is in force again on {} core(s)", revision_text(revision),
               cores_.size());
}

void Agent::accept(ActivePolicy policy, const Reply& done) {
  spdlog::info("revision {} is in force on {} core(s), {} rule(s)", revision_text(policy.revision),
               cores_.size(), policy.rules);
  refused_revision_ = 0;
  const std::string warning = store(policy);
  record("accepted", policy.revision, warning);
  Json answer{{"ok", true},
              {"revision", revision_text(policy.revision)},
              {"rules", policy.rules},
              {"policies", policy.policies},
              {"cores", cores_json(cores_)}};
  if (!warning.empty()) answer["warning"] = warning;
  in_force_ = std::move(policy);
  if (done) done(answer);
}

void Agent::refuse(uint64_t revision, Refusal refusal) {
  refused_revision_ = revision;
  std::optional<Candidate> dropped;
  if (candidate_ && candidate_->policy.revision == revision) dropped.swap(candidate_);
  const std::string why = std::string(to_string(refusal)) + ": " + std::string(explain(refusal));
  spdlog::error("the data plane refused revision {}: {}; {}", revision_text(revision), why,
                kept_text());
  record("refused", revision, std::string(explain(refusal)), std::string(to_string(refusal)));
  if (!dropped || !dropped->done) return;
  dropped->done({{"ok", false},
                 {"error", "the data plane refused the policy: " + why},
                 {"refusal", to_string(refusal)},
                 {"revision", revision_text(revision)},
                 {"cores", cores_json(cores_)}});
}

/// The connection failed or could not be made. A candidate from the files stays and is pushed when
/// the data plane is back; one from the API is dropped, because its sender is told that it failed.
void Agent::link_lost(const std::string& why, Time now) {
  link_.close();
  const bool was_push = in_flight_ && in_flight_->asked == FrameType::push;
  in_flight_.reset();
  refused_revision_ = 0;
  refused_feed_ = 0;
  dataplane_feed_ = {};
  next_connect_ = now + options_.retry_interval;
  cores_.clear();
  if (up_ || down_reason_ != why) {
    spdlog::warn("data plane not reachable at {}: {}; trying again every {} ms",
                 options_.dataplane_socket.string(), why, options_.retry_interval.count());
  }
  up_ = false;
  down_reason_ = why;
  if (!candidate_) return;
  if (was_push) record("failed", candidate_->policy.revision, why);
  const Reply done = std::exchange(candidate_->done, nullptr);
  const bool from_api = candidate_->policy.source == PolicySource::api;
  if (from_api) candidate_.reset();
  if (!done) return;
  done({{"ok", false},
        {"error", "the data plane was lost during the push: " + why + "; " +
                      (from_api ? kept_text() : "the policy is pushed when it is back")}});
}

/// For whoever asks later why a flow was denied. Nothing hangs on it.
void Agent::keep_sources(const ActivePolicy& policy) {
  if (!policy.sources) return;
  const auto kept = store_.archive().keep(policy.revision, *policy.sources);
  if (kept) return;
  spdlog::warn("the sources of revision {} are not kept: {}", revision_text(policy.revision),
               kept.error());
}

std::string Agent::store(const ActivePolicy& policy) {
  keep_sources(policy);
  if (policy.revision == stored_revision_) return "";
  const auto saved = store_.save(*policy.image);
  if (saved) {
    stored_revision_ = policy.revision;
    return "";
  }
  spdlog::error("revision {} is in force but not stored: {}", revision_text(policy.revision),
                saved.error());
  return "in force, but not stored for the next start: " + saved.error();
}

}  // namespace sallyport
