// A table is freed only when no worker can be looking at it. ASan and TSan builds watch the reads.
#include "dataplane/io/policy_slot.h"

#include <catch2/catch.hpp>
#include <thread>

#include "policy/compile/compile.h"
#include "tests/support/policy_builder.h"

using namespace sallyport;
using namespace sallyport::test;
using namespace std::chrono_literals;

namespace {

std::vector<uint8_t> image_of(const std::string& policy) {
  const std::vector<SourceFile> sources{
      {"p.yaml", policy_text("  egress:\n    - {name: a, action: Allow}\n", policy)}};
  return compile_policy(sources)->image;
}

std::unique_ptr<PolicyTable> table_of(const std::vector<uint8_t>& image, unsigned workers = 2) {
  return std::move(PolicyTable::load(image, workers).value());
}

}  // namespace

TEST_CASE("a slot counts its tables from 1 and starts with none", "[slot]") {
  PolicySlot slot(1);
  CHECK(slot.current() == nullptr);
  CHECK(slot.generation() == 0);
  const auto image = image_of("p");
  for (uint32_t generation = 1; generation <= 3; ++generation) {
    CHECK(slot.publish(table_of(image), 0ms));
    CHECK(slot.generation() == generation);
    REQUIRE(slot.current() != nullptr);
    CHECK(slot.current()->generation == generation);
    CHECK(slot.current()->table->rule_count() == 1);
  }
}

TEST_CASE("a reader keeps its table until its next quiescent state", "[slot]") {
  PolicySlot slot(2);
  const auto image = image_of("p");
  slot.join(0);
  slot.join(1);
  // Nobody had a table before the first, so nothing waits.
  CHECK(slot.publish(table_of(image), 0ms));
  const ActivePolicy* held = slot.current();

  CHECK_FALSE(slot.publish(table_of(image), 0ms));
  CHECK(held->generation == 1);  // not freed: ASan would say so
  CHECK(held->table->rule_count() == 1);
  CHECK(slot.current()->generation == 2);

  slot.quiescent(0);
  CHECK_FALSE(slot.publish(table_of(image), 1ms));  // worker 1 still may look
  CHECK(held->table->rule_count() == 1);
  slot.quiescent(1);
  CHECK_FALSE(slot.publish(table_of(image), 1ms));  // the second and third are younger than that
  slot.quiescent(0);
  slot.quiescent(1);
  CHECK_FALSE(slot.publish(table_of(image), 0ms));
  slot.quiescent(0);
  slot.quiescent(1);
  slot.leave(0);
  slot.leave(1);
  CHECK(slot.publish(table_of(image), 0ms));  // who left holds nothing
  CHECK(slot.generation() == 6);
}

TEST_CASE("two workers read while tables come and go", "[slot]") {
  PolicySlot slot(2);
  const std::vector<std::vector<uint8_t>> images{image_of("p"), image_of("q")};
  std::vector<uint64_t> revisions;
  for (const auto& image : images) revisions.push_back(table_of(image)->revision());
  REQUIRE(revisions[0] != revisions[1]);

  std::atomic<bool> stop{false};
  std::atomic<uint32_t> joined{0};
  std::array<uint64_t, 2> wrong{};
  std::array<std::atomic<uint32_t>, 2> seen{};
  const auto worker = [&](unsigned index) {
    slot.join(index);
    ++joined;
    uint32_t last = 0;
    while (!stop.load(std::memory_order_relaxed)) {
      if (const ActivePolicy* policy = slot.current(); policy != nullptr) {
        const Decision decision =
            decide(*policy->table, {.ip_protocol = kIpProtocolTcp, .destination_port = 1}, index);
        wrong[index] += decision.verdict != Verdict::allow;
        wrong[index] += policy->generation < last;
        wrong[index] += policy->table->revision() != revisions[policy->generation % 2];
        last = policy->generation;
        seen[index].store(last, std::memory_order_relaxed);
      }
      slot.quiescent(index);
    }
    slot.leave(index);
  };
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 2; ++i) threads.emplace_back(worker, i);
  while (joined < 2) std::this_thread::yield();
  for (uint32_t generation = 1; generation <= 300; ++generation) {
    CHECK(slot.publish(table_of(images[generation % 2]), 10s));
  }
  while (seen[0] < 300 || seen[1] < 300) std::this_thread::yield();
  stop = true;
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong[0] == 0);
  CHECK(wrong[1] == 0);
}

TEST_CASE("a worker that is stuck holds the old table, not the push", "[slot]") {
  PolicySlot slot(1);
  const auto image = image_of("p");
  slot.publish(table_of(image), 0ms);
  slot.join(0);
  std::atomic<bool> go_on{false};
  std::atomic<bool> looking{false};
  std::thread worker([&] {
    const ActivePolicy* policy = slot.current();
    looking = true;
    while (!go_on) std::this_thread::yield();
    if (policy->table->rule_count() != 1) std::abort();
    slot.quiescent(0);
    slot.leave(0);
  });
  while (!looking) std::this_thread::yield();
  CHECK_FALSE(slot.publish(table_of(image), 20ms));
  CHECK(slot.current()->generation == 2);
  go_on = true;
  worker.join();
  CHECK(slot.publish(table_of(image), 0ms));
}
