#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "control/agent/agent.h"
#include "control/common/system.h"

namespace sallyport {

// Where policies come from, and what the agent says about itself. agent.cpp: the data plane.

void Agent::start(Time now) {
  next_connect_ = now;
  load_stored();
  load_stored_identities();
  if (feed_watch_) load_identity_files();
  if (options_.policy_paths.empty()) {
    if (!in_force_) {
      spdlog::warn(
          "no --policy and no stored policy: waiting for a push; meanwhile the data "
          "plane denies everything");
    }
  } else {
    start_job({});  // Nobody waits for it, and it pushes when the data plane is there.
  }
}

void Agent::load_stored() {
  auto bytes = store_.load();
  if (!bytes) return spdlog::error("{}", bytes.error());
  std::optional<std::vector<uint8_t>> image = std::move(*bytes);
  if (!image) return;
  auto policy = load_stored_policy(std::move(*image));
  if (!policy) {
    return spdlog::error("stored policy {} is not used: {}: {}", store_.image_path().string(),
                         to_string(policy.error()), explain(policy.error()));
  }
  spdlog::info("stored policy: revision {}, {} rule(s)", revision_text(policy->revision),
               policy->rules);
  stored_revision_ = policy->revision;
  in_force_ = std::move(*policy);
}

void Agent::reload(Reply done, Time now) {
  if (feed_watch_) {
    refused_feed_ = 0;  // Asked for: worth another try.
    const std::string problem = load_identity_files();
    if (options_.policy_paths.empty()) {
      step(now);
      if (!done) return;
      if (problem.empty()) return done({{"ok", true}, {"identities", identities_json()}});
      return done({{"ok", false}, {"error", problem}});
    }
  }
  const bool queued = std::any_of(jobs_.begin(), jobs_.end(),
                                  [](const Job& job) { return !job.sources && !job.done; });
  if (!done && queued) return;  // A burst of SIGHUPs is one reload.
  jobs_.push_back({.sources = std::nullopt, .done = std::move(done)});
  step(now);
}

void Agent::push(std::vector<SourceFile> sources, Reply done, Time now) {
  jobs_.push_back({.sources = std::move(sources), .done = std::move(done)});
  step(now);
}

void Agent::start_job(Job job) {
  const bool from_files = !job.sources;
  if (from_files && options_.policy_paths.empty()) {
    spdlog::warn("nothing to reload: the agent was started without --policy");
    if (job.done) {
      job.done(
          {{"ok", false}, {"error", "nothing to reload: the agent was started without --policy"}});
    }
    return;
  }
  if (from_files) {
    auto read = read_sources(options_.policy_paths);
    if (!read) return reject("the policy files have", std::move(read.error()), job.done);
    job.sources = std::move(*read);
  }
  auto policy = build_policy(*job.sources, from_files ? PolicySource::files : PolicySource::api);
  if (!policy) {
    return reject(from_files ? "the policy files have" : "the pushed policy has",
                  std::move(policy.error()), job.done);
  }
  offer(std::move(*policy), std::move(job.done));
}

/// Makes `policy` the candidate. step() pushes it as soon as the data plane is there.
void Agent::offer(ActivePolicy policy, Reply done) {
  if (!up_ && policy.source == PolicySource::api) {
    record("failed", policy.revision, "the data plane is not reachable");
    if (done) {
      done({{"ok", false},
            {"error", "the data plane is not reachable at " + options_.dataplane_socket.string() +
                          " (" + down_reason_ + "): nothing was pushed; " + kept_text()}});
    }
    return;
  }
  spdlog::info("compiled revision {}: {} rule(s)", revision_text(policy.revision), policy.rules);
  if (!up_ && done) {
    done({{"ok", false},
          {"revision", revision_text(policy.revision)},
          {"pending", true},
          {"error", "the data plane is not reachable at " + options_.dataplane_socket.string() +
                        " (" + down_reason_ + "): the policy is pushed when it is back"}});
    done = nullptr;
  }
  candidate_ = Candidate{.policy = std::move(policy), .done = std::move(done)};
}

void Agent::reject(const std::string& what, std::vector<Diagnostic> diagnostics,
                   const Reply& done) {
  for (const Diagnostic& one : diagnostics) spdlog::error("{}", to_string(one));
  const size_t errors = diagnostics.size();
  const std::string summary = what + " " + std::to_string(errors) +
                              (errors == 1 ? " error" : " errors") + ": nothing was pushed";
  spdlog::error("{}; {}", summary, kept_text());
  record("invalid", 0, summary);
  if (done) {
    done({{"ok", false},
          {"error", summary + "; " + kept_text()},
          {"diagnostics", diagnostics_json(diagnostics)}});
  }
}

void Agent::record(std::string result, uint64_t revision, std::string detail, std::string refusal) {
  last_push_ = LastPush{.unix_seconds = unix_now_ns() / 1'000'000'000,
                        .result = std::move(result),
                        .detail = std::move(detail),
                        .refusal = std::move(refusal),
                        .revision = revision};
}

/// What a failed change leaves in place.
std::string Agent::kept_text() const {
  if (!in_force_) return "no policy is in force";
  return "revision " + revision_text(in_force_->revision) + " stays in force";
}

Json Agent::status() const {
  Json out{{"ok", true}};
  out["revision"] = in_force_ ? Json(revision_text(in_force_->revision)) : Json(nullptr);
  out["rules"] = in_force_ ? in_force_->rules : 0;
  out["policies"] = in_force_ ? in_force_->policies : 0;
  out["source"] = in_force_ ? Json(to_string(in_force_->source)) : Json(nullptr);
  if (candidate_) out["pending_revision"] = revision_text(candidate_->policy.revision);
  out["dataplane"] = up_ ? "connected" : "unreachable";
  if (!up_ && !down_reason_.empty()) out["dataplane_reason"] = down_reason_;
  out["cores"] = cores_json(cores_);
  out["identities"] = identities_json();
  out["last_push"] = nullptr;
  if (last_push_) {
    Json push{{"time", utc_text(last_push_->unix_seconds)}, {"result", last_push_->result}};
    if (last_push_->revision != 0) push["revision"] = revision_text(last_push_->revision);
    if (!last_push_->refusal.empty()) push["refusal"] = last_push_->refusal;
    if (!last_push_->detail.empty()) push["detail"] = last_push_->detail;
    out["last_push"] = std::move(push);
  }
  return out;
}

AgentFacts Agent::facts() const {
  AgentFacts out{.dataplane_connected = up_};
  if (in_force_) {
    out.revision = in_force_->revision;
    out.rules = in_force_->rules;
    out.source = to_string(in_force_->source);
  }
  if (last_push_) {
    out.last_push_result = last_push_->result;
    out.last_push_unix_seconds = last_push_->unix_seconds;
  }
  return out;
}

}  // namespace sallyport
