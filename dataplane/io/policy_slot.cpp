#include "dataplane/io/policy_slot.h"

#include <cstdlib>
#include <map>
#include <new>
#include <thread>

namespace sallyport {
namespace {

// A rule goes by its names: those of a document are unique, and documents are in a policy.
std::vector<uint32_t> rules_moved(const PolicyTable& before, const PolicyTable& now) {
  std::map<std::pair<std::string_view, std::string_view>, uint32_t> by_name;
  for (uint32_t i = 0; i < now.rule_count(); ++i) {
    const RuleInfo rule = now.rule(i);
    by_name.emplace(std::pair(rule.policy, rule.name), i);
  }
  std::vector<uint32_t> moved(before.rule_count(), kNoRule);
  for (uint32_t i = 0; i < before.rule_count(); ++i) {
    const RuleInfo rule = before.rule(i);
    const auto found = by_name.find({rule.policy, rule.name});
    if (found != by_name.end()) moved[i] = found->second;
  }
  return moved;
}

}  // namespace

PolicySlot::PolicySlot(unsigned workers) {
  const size_t size = rte_rcu_qsbr_get_memsize(workers);
  qsbr_ = static_cast<rte_rcu_qsbr*>(std::aligned_alloc(
      RTE_CACHE_LINE_SIZE,
      (size + RTE_CACHE_LINE_SIZE - 1) / RTE_CACHE_LINE_SIZE * RTE_CACHE_LINE_SIZE));
  if (qsbr_ == nullptr || rte_rcu_qsbr_init(qsbr_, workers) != 0) throw std::bad_alloc();
}

PolicySlot::~PolicySlot() {
  delete active_.load();
  std::free(qsbr_);
}

void PolicySlot::join(unsigned worker) noexcept {
  rte_rcu_qsbr_thread_register(qsbr_, worker);
  rte_rcu_qsbr_thread_online(qsbr_, worker);
}

void PolicySlot::leave(unsigned worker) noexcept {
  rte_rcu_qsbr_thread_offline(qsbr_, worker);
  rte_rcu_qsbr_thread_unregister(qsbr_, worker);
}

bool PolicySlot::publish(std::unique_ptr<PolicyTable> table, std::chrono::milliseconds patience) {
  auto next = std::make_unique<ActivePolicy>();
  next->table = std::move(table);
  next->generation = ++generation_;
  const ActivePolicy* before = active_.load(std::memory_order_relaxed);
  if (before != nullptr && before->table != nullptr && next->table != nullptr) {
    next->rules_now = rules_moved(*before->table, *next->table);
  }
  const ActivePolicy* old = active_.exchange(next.release(), std::memory_order_acq_rel);
  // The inline start and check pair, so that a race checker can see the handshake.
  const uint64_t token = rte_rcu_qsbr_start(qsbr_);
  if (old != nullptr) retired_.push_back({std::unique_ptr<const ActivePolicy>(old), token});
  return free_retired(patience);
}

bool PolicySlot::wait_for_workers(std::chrono::milliseconds patience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  const uint64_t token = rte_rcu_qsbr_start(qsbr_);
  while (rte_rcu_qsbr_check(qsbr_, token, /*wait=*/false) != 1) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(20));
  }
  return true;
}

bool PolicySlot::free_retired(std::chrono::milliseconds patience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (!retired_.empty()) {
    if (rte_rcu_qsbr_check(qsbr_, retired_.front().token, /*wait=*/false) == 1) {
      retired_.erase(retired_.begin());
    } else if (std::chrono::steady_clock::now() >= deadline) {
      return false;
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
  }
  return true;
}

}  // namespace sallyport
