// A policy is put in force anew when a rule's time begins or ends, and only then.
#include "dataplane/io/policy_keeper.h"

#include <unistd.h>
#include <array>
#include <catch2/catch.hpp>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <fstream>

#include "tests/support/policy_builder.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

int64_t unix_now() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string utc(int64_t unix_seconds) {
  const std::time_t time = unix_seconds;
  std::tm parts{};
  gmtime_r(&time, &parts);
  std::array<char, 32> text{};
  return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

constexpr std::array<unsigned, 1> kCores{0};

/// A keeper whose worker never runs, and what it publishes to.
struct Keeper {
  PolicySlot slot{1};
  PolicyNames names;
  std::unique_ptr<StatsSegment> stats = StatsSegment::create("", kCores).value();
  PolicyKeeper keeper{{.policies = slot, .names = names, .stats = *stats, .workers = 1}};
  std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("keeper_test_" + std::to_string(getpid()));

  Keeper() { std::filesystem::create_directory(folder); }
  ~Keeper() { std::filesystem::remove_all(folder); }
  Keeper(const Keeper&) = delete;
  Keeper& operator=(const Keeper&) = delete;

  void load(const std::string& rules) {
    const std::vector<SourceFile> sources{{"p.yaml", policy_text("  egress:\n" + rules)}};
    const auto image = compile_policy(sources)->image;
    std::ofstream(folder / "image", std::ios::binary)
        .write(reinterpret_cast<const char*>(image.data()),
               static_cast<std::streamsize>(image.size()));
    keeper.load_stored(folder / "image", folder / "feed");
  }
  /// @return how often it was put in force by that.
  uint32_t tick(int64_t unix_seconds) {
    const uint32_t before = slot.generation();
    keeper.tick(unix_seconds);
    return slot.generation() - before;
  }
};

}  // namespace

TEST_CASE("a rule's begin and end put the policy in force anew, once each", "[keeper]") {
  const int64_t now = unix_now();
  Keeper node;
  node.load("    - {name: shut, action: Deny, to: {domainNames: [a.test]}, notBefore: " +
            utc(now + 1000) + ", expiresAt: " + utc(now + 2000) +
            "}\n    - {name: open, action: Allow}\n");
  REQUIRE(node.slot.generation() == 1);
  const uint64_t revision = node.keeper.revision();
  struct Row {
    int64_t seconds;
    uint32_t times;
  };
  // At 1000 it begins, at 2000 it has ended. Then the clock is set back into its time, and before
  // it; what holds before and behind its time is the same.
  for (const Row row :
       {Row{0, 0}, Row{999, 0}, Row{1000, 1}, Row{1000, 0}, Row{1999, 0}, Row{2000, 1},
        Row{2001, 0}, Row{90'000, 0}, Row{1500, 1}, Row{500, 1}, Row{3000, 0}}) {
    CAPTURE(row.seconds);
    CHECK(node.tick(now + row.seconds) == row.times);
    CHECK(node.keeper.revision() == revision);
    CHECK(node.slot.current()->table->revision() == revision);
    CHECK(node.slot.current()->table->rule_count() == 2);
  }
}

TEST_CASE("two rules that change at once put it in force once", "[keeper]") {
  const int64_t now = unix_now();
  Keeper node;
  node.load(
      "    - {name: a, action: Allow, to: {domainNames: [a.test]}, expiresAt: " + utc(now + 1000) +
      "}\n    - {name: b, action: Deny, notBefore: " + utc(now + 1000) + "}\n");
  CHECK(node.tick(now + 999) == 0);
  CHECK(node.tick(now + 5000) == 1);
  CHECK(node.tick(now + 5001) == 0);
}

TEST_CASE("without times, or without a policy, nothing is put in force anew", "[keeper]") {
  const int64_t now = unix_now();
  Keeper node;
  CHECK(node.tick(now) == 0);
  node.load("    - {name: open, action: Allow}\n");
  CHECK(node.slot.generation() == 1);
  for (const int64_t seconds : {int64_t{0}, int64_t{1}, int64_t{1} << 33}) {
    CHECK(node.tick(now + seconds) == 0);
  }
}
