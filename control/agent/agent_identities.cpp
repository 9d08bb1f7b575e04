#include <spdlog/spdlog.h>

#include <utility>

#include "control/agent/agent.h"
#include "control/common/system.h"

namespace sallyport {

// The identity feed: where it comes from, and what the data plane says to it.

void Agent::load_stored_identities() {
  auto bytes = store_.load_feed();
  if (!bytes) return spdlog::error("{}", bytes.error());
  std::optional<std::vector<uint8_t>> stored = std::move(*bytes);
  if (!stored) return;
  auto feed = load_stored_feed(std::move(*stored));
  if (!feed) {
    return spdlog::error("stored identity feed {} is not used: {}: {}", store_.feed_path().string(),
                         to_string(feed.error()), explain(feed.error()));
  }
  spdlog::info("stored identity feed: revision {}, {} address(es)", revision_text(feed->revision),
               feed->addresses);
  stored_feed_ = feed->revision;
  feed_ = std::move(*feed);
}

/// Reads the feed that --identities names. One with an error is refused whole.
/// @return what is wrong, or "".
std::string Agent::load_identity_files() {
  feed_watch_->mark_read();
  const auto record = [this](std::string result, uint64_t revision, std::string detail) {
    last_feed_ = LastPush{.unix_seconds = unix_now_ns() / 1'000'000'000,
                          .result = std::move(result),
                          .detail = std::move(detail),
                          .refusal = "",
                          .revision = revision};
  };
  auto feed = read_feed(feed_watch_->path());
  if (!feed) {
    for (const Diagnostic& one : feed.error()) spdlog::error("{}", to_string(one));
    const size_t errors = feed.error().size();
    const std::string what = "the identity feed has " + std::to_string(errors) +
                             (errors == 1 ? " error" : " errors") + ": the labels stay as they are";
    spdlog::error("{}", what);
    record("invalid", 0, what + "; first: " + to_string(feed.error().front()));
    return what;
  }
  // Already there, or on its way.
  const auto& newest = feed_to_come_ ? feed_to_come_ : feed_;
  const bool known = newest && newest->revision == feed->revision;
  if (!known) {
    spdlog::info("read identity feed {}: {} address(es)", revision_text(feed->revision),
                 feed->addresses);
  }
  record("read", feed->revision, "");
  feed_to_come_ = std::move(*feed);
  return "";
}

void Agent::watch_identities(Time now) {
  if (!feed_watch_ || now < next_watch_) return;
  next_watch_ = now + options_.watch_interval;
  if (feed_watch_->changed()) load_identity_files();
}

/// A feed that the data plane already goes by, as after a restart of the agent.
bool Agent::adopt_identities() {
  if (!up_ || !feed_to_come_ || feed_to_come_->revision != dataplane_feed_.revision) return false;
  feed_ = std::move(*feed_to_come_);
  feed_to_come_.reset();
  const std::string warning = store_identities(*feed_);
  if (last_feed_) last_feed_->result = "accepted";
  if (last_feed_) last_feed_->detail = warning;
  return true;
}

/// What is to be pushed now: the newest that the data plane does not go by and has not refused.
const ActiveFeed* Agent::due_identities() const {
  if (!up_) return nullptr;
  if (feed_to_come_ && feed_to_come_->revision != refused_feed_) return &*feed_to_come_;
  if (!feed_ || feed_->revision == refused_feed_) return nullptr;
  return feed_->revision == dataplane_feed_.revision ? nullptr : &*feed_;
}

void Agent::settle_identities(uint64_t revision, Refusal refusal) {
  if (refusal == Refusal::none && dataplane_feed_.revision == revision) {
    spdlog::info("identity feed {} is in force", revision_text(revision));
    return;  // adopt_identities() does the rest.
  }
  if (refusal == Refusal::none) refusal = Refusal::not_acknowledged;
  refused_feed_ = revision;
  spdlog::error("the data plane refused identity feed {}: {}: {}; the labels stay as they are",
                revision_text(revision), to_string(refusal), explain(refusal));
  last_feed_ = LastPush{.unix_seconds = unix_now_ns() / 1'000'000'000,
                        .result = "refused",
                        .detail = std::string(explain(refusal)),
                        .refusal = std::string(to_string(refusal)),
                        .revision = revision};
}

std::string Agent::store_identities(const ActiveFeed& feed) {
  if (feed.revision == stored_feed_) return "";
  const auto saved = store_.save_feed(*feed.bytes);
  if (saved) {
    stored_feed_ = feed.revision;
    return "";
  }
  spdlog::error("identity feed {} is in force but not stored: {}", revision_text(feed.revision),
                saved.error());
  return "in force, but not stored for the next start: " + saved.error();
}

Json Agent::identities_json() const {
  if (!feed_ && !feed_to_come_ && !last_feed_) return nullptr;
  Json out{{"revision", feed_ ? Json(revision_text(feed_->revision)) : Json(nullptr)},
           {"addresses", feed_ ? feed_->addresses : 0},
           {"source", feed_ ? Json(to_string(feed_->source)) : Json(nullptr)}};
  const bool in_force = feed_ && feed_->revision == dataplane_feed_.revision;
  out["since"] =
      in_force ? Json(utc_text(dataplane_feed_.since_unix_ns / 1'000'000'000)) : Json(nullptr);
  if (feed_to_come_) out["pending_revision"] = revision_text(feed_to_come_->revision);
  out["last_load"] = nullptr;
  if (!last_feed_) return out;
  Json last{{"time", utc_text(last_feed_->unix_seconds)}, {"result", last_feed_->result}};
  if (last_feed_->revision != 0) last["revision"] = revision_text(last_feed_->revision);
  if (!last_feed_->refusal.empty()) last["refusal"] = last_feed_->refusal;
  if (!last_feed_->detail.empty()) last["detail"] = last_feed_->detail;
  out["last_load"] = std::move(last);
  return out;
}

}  // namespace sallyport
