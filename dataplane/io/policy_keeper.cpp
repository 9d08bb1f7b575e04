#include "dataplane/io/policy_keeper.h"

#include <spdlog/spdlog.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <thread>
#include <utility>

#include "policy/runtime/identity_codec.h"

namespace sallyport {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

constexpr auto kAcknowledgeWithin = 3s;

// Nothing when there is no such file.
std::optional<std::vector<uint8_t>> read_stored(const std::string& path) {
  std::error_code ignored;
  std::ifstream in(path, std::ios::binary);
  if (!in.is_open() || !fs::is_regular_file(path, ignored)) return std::nullopt;
  return std::vector<uint8_t>(std::istreambuf_iterator<char>(in), {});
}

uint64_t unix_now_ns() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::nanoseconds(now).count());
}

}  // namespace

// A restart must not leave the node without what it had. The feed comes first: flows must not meet
// the policy without their labels.
void PolicyKeeper::load_stored(const std::string& policy_image, const std::string& identity_feed) {
  load_stored_feed(identity_feed);
  load_stored_policy(policy_image);
}

void PolicyKeeper::load_stored_feed(const std::string& path) {
  const auto bytes = read_stored(path);
  if (!bytes) {
    spdlog::info("no stored identity feed at {}: labels are unknown until one is pushed", path);
  } else if (push_identities(*bytes) != Refusal::none) {
    spdlog::error("stored identity feed {} is not used: labels are unknown until one is pushed",
                  path);
  }
}

void PolicyKeeper::load_stored_policy(const std::string& path) {
  const auto bytes = read_stored(path);
  if (!bytes) {
    spdlog::warn("no stored policy at {}: everything is denied until one is pushed", path);
    return;
  }
  auto table = load(*bytes);
  if (!table) {
    spdlog::error("stored policy {} is refused ({}): {}; everything is denied until one is pushed",
                  path, to_string(table.error()), explain(table.error()));
    return;
  }
  publish(std::move(*table), 0ms);
  image_ = *bytes;
  spdlog::info("policy {} is in force, from {}", revision_text(revision_), path);
}

std::expected<std::unique_ptr<PolicyTable>, Refusal> PolicyKeeper::load(
    std::span<const uint8_t> image) const {
  auto table = PolicyTable::load(image, shared_.workers);
  if (!table || !feed_.content) return table;
  return (*table)->with_feed(*feed_.content);
}

// @return whether every core took it in time.
bool PolicyKeeper::publish(std::unique_ptr<PolicyTable> table, std::chrono::milliseconds patience) {
  revision_ = table->revision();
  // A little before now: the workers' clock may be a little behind, and once too often is no harm.
  rules_in_time_ = table->rules_in_time(static_cast<int64_t>(unix_now_ns() / 1'000'000'000) - 1);
  shared_.names.add(shared_.policies.generation() + 1, *table, feed_.content);
  shared_.stats.name_rules(*table);
  const bool freed = shared_.policies.publish(std::move(table), patience);
  return freed && (patience == 0ms || acknowledged());
}

Refusal PolicyKeeper::push(std::span<const uint8_t> image) {
  auto table = load(image);
  if (!table) {
    spdlog::error("a pushed policy is refused ({}): {}", to_string(table.error()),
                  explain(table.error()));
    return table.error();
  }
  if (!publish(std::move(*table), kAcknowledgeWithin)) {
    spdlog::error("policy {}: a worker core did not take it in time", revision_text(revision_));
    put_back();
    return Refusal::not_acknowledged;
  }
  image_.assign(image.begin(), image.end());
  spdlog::info("policy {} is in force on {} cores, generation {}", revision_text(revision_),
               shared_.workers, shared_.policies.generation());
  return Refusal::none;
}

void PolicyKeeper::tick(int64_t unix_seconds) {
  const ActivePolicy* active = shared_.policies.current();
  if (active == nullptr || active->table == nullptr ||
      active->table->rules_in_time(unix_seconds) == rules_in_time_) {
    return;
  }
  publish(active->table->again(), 0ms);
  rules_in_time_ = shared_.policies.current()->table->rules_in_time(unix_seconds);
  spdlog::info("a rule's time has begun or ended: live flows are decided anew");
}

Refusal PolicyKeeper::push_identities(std::span<const uint8_t> bytes) {
  auto decoded = decode_identities(bytes);
  if (!decoded) {
    spdlog::error("an identity feed is refused ({}): {}", to_string(decoded.error()),
                  explain(decoded.error()));
    return decoded.error();
  }
  if (decoded->revision == feed_.state.revision) return Refusal::none;  // Flows need not notice.
  Feed next{.content = std::make_shared<const IdentityFeed>(std::move(decoded->feed)), .state = {}};
  next.state = {.revision = decoded->revision,
                .since_unix_ns = unix_now_ns(),
                .addresses = next.content->entries.size()};
  const Feed old = feed_;
  const ActivePolicy* active = shared_.policies.current();
  if (active == nullptr || active->table == nullptr) {
    use(std::move(next));
    return Refusal::none;
  }
  auto table = active->table->with_feed(*next.content);
  if (!table) {
    spdlog::error("identity feed {} is refused ({}): {}", revision_text(next.state.revision),
                  to_string(table.error()), explain(table.error()));
    return table.error();
  }
  use(std::move(next));
  if (publish(std::move(*table), kAcknowledgeWithin)) return Refusal::none;
  spdlog::error("identity feed {}: a worker core did not take it in time",
                revision_text(feed_.state.revision));
  use(old);
  put_back();
  return Refusal::not_acknowledged;
}

void PolicyKeeper::use(Feed feed) {
  feed_ = std::move(feed);
  shared_.stats.note_identities(feed_.state);
  if (!feed_.content) return;
  spdlog::info("identity feed {} with {} addresses gives the labels",
               revision_text(feed_.state.revision), feed_.state.addresses);
}

// All or nothing: the cores that took what another did not get what they had before it again.
void PolicyKeeper::put_back() {
  auto table = load(image_);
  if (!table) {  // there was none before: back to denying everything
    revision_ = 0;
    shared_.names.add_none(shared_.policies.generation() + 1);
    shared_.policies.publish(nullptr, 0ms);
    spdlog::warn("no policy is in force: everything is denied until one is pushed");
    return;
  }
  publish(std::move(*table), 0ms);
  spdlog::warn("policy {} is put back", revision_text(revision_));
}

bool PolicyKeeper::acknowledged() const {
  const uint32_t generation = shared_.policies.generation();
  const auto deadline = std::chrono::steady_clock::now() + kAcknowledgeWithin;
  for (size_t i = 0; i < shared_.workers; ++i) {
    while (shared_.stats.core(i).generation.load(std::memory_order_acquire) < generation) {
      if (std::chrono::steady_clock::now() >= deadline) return false;
      std::this_thread::sleep_for(100us);
    }
  }
  return true;
}

IdentityState PolicyKeeper::identities() const noexcept {
  return feed_.state;
}

}  // namespace sallyport
