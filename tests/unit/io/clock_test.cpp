#include "dataplane/io/clock.h"

#include <catch2/catch.hpp>
#include <chrono>
#include <thread>

#include "tests/support/eal.h"

using namespace sallyport;
using namespace std::chrono_literals;

namespace {

uint64_t wall_ns() {
  return static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch() / 1ns);
}

// Wide enough for a machine that is busy with other things.
constexpr uint64_t kSlackNs = 500'000'000;

}  // namespace

TEST_CASE("time goes on, by itself and with the wall", "[clock]") {
  test::start_eal();
  Clock clock;
  const Now first = clock.now();
  CHECK(first.ms < 500);
  CHECK(first.unix_ns + kSlackNs > wall_ns());
  CHECK(first.unix_ns < wall_ns() + kSlackNs);

  const uint64_t before = wall_ns();
  std::this_thread::sleep_for(150ms);
  const Now second = clock.now();
  const uint64_t passed_ns = wall_ns() - before;
  CHECK(second.ms - first.ms >= 145);
  CHECK(second.unix_ns - first.unix_ns + kSlackNs > passed_ns);
  CHECK(second.unix_ns - first.unix_ns < passed_ns + kSlackNs);
  CHECK(second.ms - first.ms <= (second.unix_ns - first.unix_ns) / 1'000'000 + 1);
}

TEST_CASE("readings never go back while the wall clock is not corrected", "[clock]") {
  test::start_eal();
  const Clock clock;
  Now last = clock.now();
  for (int i = 0; i < 200'000; ++i) {
    const Now now = clock.now();
    REQUIRE(now.ms - last.ms < 60'000);
    REQUIRE(now.unix_ns >= last.unix_ns);
    last = now;
  }
}

TEST_CASE("a worker reads while the control thread corrects", "[clock]") {
  test::start_eal();
  Clock clock;
  std::atomic<bool> stop{false};
  std::thread control([&] {
    while (!stop) clock.follow_wall_clock();
  });
  for (int i = 0; i < 20'000; ++i) {
    const Now now = clock.now();
    REQUIRE(now.unix_ns + kSlackNs > wall_ns());
    REQUIRE(now.unix_ns < wall_ns() + kSlackNs);
  }
  stop = true;
  control.join();
}
