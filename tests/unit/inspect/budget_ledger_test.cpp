// Budgets counted by many workers at once: never over, and never under by more than is promised.
#include "dataplane/inspect/budget_ledger.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <barrier>
#include <catch2/catch.hpp>
#include <numeric>
#include <random>
#include <thread>

#include "dataplane/inspect/budget_meter.h"
#include "tests/support/policy_builder.h"

using namespace sallyport;
using namespace sallyport::test;
using Charge = BudgetMeter::Charge;

namespace {

constexpr int64_t kNow = 1'700'006'400;  // a multiple of every window below

std::unique_ptr<PolicyTable> table_with(const std::string& budget) {
  return load_table(
      policy_text("  egress:\n    - {name: r, action: Allow, budget: " + budget + "}\n"));
}

IpAddress address(std::string_view text) {
  return parse_ip_address(text).value();
}

BudgetKey key(std::string_view rule, uint32_t window_seconds = 60) {
  return {
      .policy = "p", .rule = rule, .window_seconds = window_seconds, .source = {}, .labels = {}};
}

BudgetHandle open(BudgetMeter& meter, const PolicyTable& table, std::string_view source) {
  return meter.open(table, table.rule(0), address(source));
}

uint64_t used(const BudgetLedger& ledger, int64_t now = kNow) {
  uint64_t sum = 0;
  for (const BudgetCount& count : ledger.snapshot(now)) sum += count.used;
  return sum;
}

/// Charges random frames until a hundred in a row are refused. @return what was let out.
uint64_t drain(BudgetLedger& ledger, const PolicyTable& table, unsigned seed) {
  BudgetMeter meter(&ledger);
  const BudgetHandle handle = open(meter, table, "10.0.0.1");
  std::mt19937 random(seed);
  // So that ten GiB take a moment: datagrams as long as they get, among ordinary frames.
  std::uniform_int_distribution<uint32_t> any(60, 64'000);
  uint64_t sent = 0;
  for (int refused = 0; refused < 100;) {
    const uint32_t bytes = any(random);
    if (meter.charge(handle, bytes, kNow) == Charge::paid) {
      sent += bytes;
      refused = 0;
    } else {
      ++refused;
    }
  }
  // The shortest frame gets what is left of this worker's own.
  while (meter.charge(handle, 60, kNow) == Charge::paid) sent += 60;
  return sent;
}

}  // namespace

TEST_CASE("ten GiB by any number of workers: never over, and under by no more than their leases",
          "[budget]") {
  constexpr uint64_t kTenGib = uint64_t{10} << 30;
  const auto table = table_with("{bytesOut: 10GiB, window: 24h, scope: rule}");
  for (const unsigned workers : {1u, 2u, 8u}) {
    CAPTURE(workers);
    BudgetLedger ledger(16, workers, 1);
    std::vector<uint64_t> sent(workers);
    {
      std::vector<std::jthread> threads;
      for (unsigned i = 0; i < workers; ++i) {
        threads.emplace_back([&, i] { sent[i] = drain(ledger, *table, 7 * i + workers); });
      }
    }
    const uint64_t total = std::accumulate(sent.begin(), sent.end(), uint64_t{0});
    CHECK(total <= kTenGib);
    CHECK(total + (workers - 1) * BudgetLedger::kLargestLease + 60 > kTenGib);
    CHECK(used(ledger) <= kTenGib);
    CHECK(used(ledger) >= total);
  }
}

TEST_CASE("a worker that falls idle keeps little of a small budget", "[budget]") {
  const auto table = table_with("{bytesOut: 100KB, window: 1h, scope: rule}");
  BudgetLedger ledger(16, 2, 1);
  BudgetMeter idle(&ledger);
  BudgetMeter busy(&ledger);
  const BudgetHandle handle = open(idle, *table, "10.0.0.1");
  CHECK(open(busy, *table, "10.0.0.2") == handle);
  CHECK(idle.charge(handle, 1000, kNow) == Charge::paid);
  uint64_t sent = 1000;
  while (busy.charge(handle, 1000, kNow) == Charge::paid) sent += 1000;
  CHECK(sent <= 100'000);
  CHECK(sent >= 100'000 - 100'000 / 8);
  idle.give_back();
  while (busy.charge(handle, 100, kNow) == Charge::paid) sent += 100;
  CHECK(sent == 100'000);
}

TEST_CASE("the last byte can be spent, and none after it", "[budget]") {
  const auto table = table_with("{bytesOut: 3100, window: 60s, scope: source}");
  BudgetLedger ledger(16, 1, 1);
  BudgetMeter meter(&ledger);
  const BudgetHandle handle = open(meter, *table, "10.0.0.1");
  CHECK(meter.charge(handle, 1500, kNow) == Charge::paid);
  CHECK(meter.charge(handle, 1601, kNow) == Charge::spent);
  CHECK(meter.has_left(handle, kNow));
  CHECK(meter.charge(handle, 1600, kNow) == Charge::paid);
  CHECK(meter.charge(handle, 1, kNow) == Charge::spent);
  CHECK_FALSE(meter.has_left(handle, kNow));
  CHECK(used(ledger) == 3100);

  SECTION("what was paid for and not sent can be spent again") {
    meter.refund(handle, 1600);
    CHECK(meter.charge(handle, 1600, kNow) == Charge::paid);
    CHECK(meter.charge(handle, 1, kNow) == Charge::spent);
  }
  SECTION("with less than a full frame left nothing new begins") {
    meter.refund(handle, 1513);
    CHECK_FALSE(meter.has_left(handle, kNow));
    meter.refund(handle, 1);
    CHECK(meter.has_left(handle, kNow));
  }
  SECTION("another source has a count of its own") {
    const BudgetHandle other = open(meter, *table, "10.0.0.2");
    CHECK(other != handle);
    CHECK(meter.charge(other, 3000, kNow) == Charge::paid);
  }
  SECTION("the next window begins with all of it, at its first second") {
    CHECK(meter.charge(handle, 1500, kNow + 59) == Charge::spent);
    CHECK(meter.has_left(handle, kNow + 60));
    CHECK(meter.charge(handle, 3100, kNow + 60) == Charge::paid);
    CHECK(meter.charge(handle, 1, kNow + 60) == Charge::spent);
    CHECK(used(ledger, kNow + 60) == 3100);
  }
  SECTION("a clock that is set back does not give it again") {
    CHECK(meter.charge(handle, 3100, kNow + 60) == Charge::paid);
    CHECK(meter.charge(handle, 60, kNow) == Charge::spent);
    CHECK_FALSE(meter.has_left(handle, kNow));
  }
  SECTION("windows long past are over, too") {
    for (int64_t now = kNow; now <= kNow + 60 * 1023; now += 60 * 400) ledger.roll(now);
    CHECK(meter.charge(handle, 3000, kNow + 60 * 1023) == Charge::paid);
  }
}

TEST_CASE("what a lease held of a window is not spent in the next", "[budget]") {
  const auto table = table_with("{bytesOut: 10MB, window: 60s, scope: rule}");
  BudgetLedger ledger(16, 1, 1);
  BudgetMeter meter(&ledger);
  const BudgetHandle handle = open(meter, *table, "10.0.0.1");
  CHECK(meter.charge(handle, 1000, kNow) == Charge::paid);
  uint64_t sent = 0;
  while (meter.charge(handle, 1000, kNow + 60) == Charge::paid) sent += 1000;
  CHECK(sent == 10'000'000);
}

TEST_CASE("an audit budget goes on counting beyond its limit", "[budget]") {
  const auto table = table_with("{bytesOut: 3000, window: 60s, scope: rule, onExceed: audit}");
  BudgetLedger ledger(16, 1, 1);
  BudgetMeter meter(&ledger);
  const BudgetHandle handle = open(meter, *table, "10.0.0.1");
  CHECK(meter.charge(handle, 3000, kNow) == Charge::paid);
  CHECK(meter.charge(handle, 1500, kNow) == Charge::over);
  CHECK(meter.charge(handle, 1500, kNow) == Charge::over);
  CHECK(used(ledger) == 6000);
  CHECK(meter.charge(handle, 1500, kNow + 60) == Charge::paid);
}

TEST_CASE("a count outlives its table; another limit holds at once", "[budget]") {
  BudgetLedger ledger(16, 1, 1);
  BudgetMeter meter(&ledger);
  const auto table = table_with("{bytesOut: 1MB, window: 60s, scope: rule}");
  const BudgetHandle handle = open(meter, *table, "10.0.0.1");
  CHECK(meter.charge(handle, 2000, kNow) == Charge::paid);

  const auto lower = table_with("{bytesOut: 3000, window: 60s, scope: rule}");
  CHECK(open(meter, *lower, "10.0.0.1") == handle);
  CHECK(used(ledger) == 2000);  // what was taken under the old limit is back
  CHECK(meter.charge(handle, 1001, kNow) == Charge::spent);
  CHECK(meter.charge(handle, 1000, kNow) == Charge::paid);
  CHECK(ledger.snapshot(kNow).front().limit == 3000);

  const auto longer = table_with("{bytesOut: 3000, window: 120s, scope: rule}");
  CHECK(open(meter, *longer, "10.0.0.1") != handle);
}

TEST_CASE("sources with the same labels share a count; one without has its own", "[budget]") {
  const auto plain = table_with("{bytesOut: 3000, window: 60s, scope: subject}");
  const std::vector<Identity> feed{
      {address("10.0.0.1"), {{"job", "train"}, {"team", "x"}}},
      {address("10.0.0.2"), {{"team", "x"}, {"job", "train"}}},
      {address("10.0.0.3"), {{"job", "train"}}},
  };
  const auto table = plain->with_identities(feed).value();
  BudgetLedger ledger(16, 1, 1);
  BudgetMeter meter(&ledger);
  const BudgetHandle first = open(meter, *table, "10.0.0.1");
  CHECK(open(meter, *table, "10.0.0.2") == first);
  const BudgetHandle third = open(meter, *table, "10.0.0.3");
  const BudgetHandle bare = open(meter, *table, "10.0.0.4");
  CHECK(third != first);
  CHECK(bare != first);
  CHECK(open(meter, *table, "10.0.0.5") != bare);
  CHECK(open(meter, *plain, "10.0.0.1") != first);  // no feed: each by itself
  CHECK(meter.charge(first, 100, kNow) == Charge::paid);
  CHECK(meter.charge(bare, 100, kNow) == Charge::paid);
  std::vector<std::string> keys;
  for (const BudgetCount& count : ledger.snapshot(kNow)) keys.push_back(key_text(count));
  CHECK(keys == std::vector<std::string>{"10.0.0.4", "job=train,team=x"});
}

TEST_CASE("a full ledger begins no counts; the old ones go on", "[budget]") {
  BudgetLedger ledger(16, 1, 1);
  std::vector<BudgetHandle> handles;
  for (int i = 0; i < 16; ++i) handles.push_back(ledger.open(key("r" + std::to_string(i)), 1000));
  CHECK(std::ranges::count(handles, kNoBudget) == 0);
  CHECK(ledger.open(key("more"), 1000) == kNoBudget);
  CHECK(ledger.open(key("r3"), 1000) == handles[3]);
  CHECK(ledger.entries() == 16);
  CHECK(ledger.crowded());
}

TEST_CASE("entries whose window is over make room; no handle of theirs counts for others",
          "[budget]") {
  BudgetLedger ledger(16, 1, 1);
  const BudgetTerms terms{.limit = 1000, .window_seconds = 60};
  std::vector<BudgetHandle> handles;
  for (int i = 0; i < 16; ++i) {
    handles.push_back(ledger.open(key("r" + std::to_string(i)), 1000));
    // Half of them have counted in this window, the rest in the one before.
    CHECK(ledger.take(handles.back(), terms, i % 2 == 0 ? kNow : kNow - 60, 500).bytes == 500);
  }
  SECTION("none while a worker may be in a call; what is asked for meanwhile goes on") {
    ledger.collect(kNow, [] { return false; });
    CHECK(ledger.entries() == 16);
    const BudgetHandle again = ledger.open(key("r1"), 1000);
    REQUIRE(again != kNoBudget);
    CHECK(ledger.take(handles[1], terms, kNow, 1).stale);
    CHECK(ledger.take(again, terms, kNow, 700).bytes == 700);
    ledger.collect(kNow, [] { return true; });
    CHECK(ledger.entries() == 9);
    CHECK(ledger.open(key("r1"), 1000) == again);
    CHECK(ledger.left(again, terms, kNow) == 300);
  }
  SECTION("all that are over") {
    CHECK(ledger.open(key("more"), 1000) == kNoBudget);
    ledger.collect(kNow, [] { return true; });
    CHECK(ledger.entries() == 8);
    for (int i = 0; i < 16; ++i) {
      CAPTURE(i);
      const BudgetHandle again = ledger.open(key("r" + std::to_string(i)), 1000);
      CHECK((again == handles[static_cast<size_t>(i)]) == (i % 2 == 0));
      const bool stale = ledger.take(handles[static_cast<size_t>(i)], terms, kNow, 1).stale;
      CHECK(stale == (i % 2 == 1));
    }
  }
}

TEST_CASE("a crowded ledger goes on beginning counts while it frees others", "[budget]") {
  BudgetLedger ledger(16, 1, 1);
  const BudgetTerms terms{.limit = 1000, .window_seconds = 60};
  for (int i = 0; i < 12; ++i) {
    const BudgetHandle handle = ledger.open(key("r" + std::to_string(i)), 1000);
    (void)ledger.take(handle, terms, kNow - 60, 500);
  }
  REQUIRE(ledger.crowded());
  const auto meanwhile = [&, n = 0]() mutable {
    const std::string name = "new" + std::to_string(n++);
    CHECK(ledger.open(key(name), 1000) != kNoBudget);
    CHECK(ledger.open(key("r3"), 1000) != kNoBudget);  // of a window that is over
    return true;
  };
  ledger.collect(kNow, meanwhile);
  CHECK(ledger.entries() < 12);
}

namespace {

/// Two workers that begin the same counts at the same time, window after window.
class Beginners {
 public:
  static constexpr unsigned kWorkers = 2;
  static constexpr int kKeys = 24;
  static constexpr uint64_t kEach = 10;  // so little that no lease is larger

  void work(unsigned worker, int rounds) {
    for (int r = 0; r < rounds; ++r) {
      while (ledger.entries() > 64 - kKeys) ++rests_[worker];
      barrier_.arrive_and_wait();
      for (int i = 0; i < kKeys; ++i) begin(worker, name(r, i), kNow + 60 * r);
      barrier_.arrive_and_wait();
      if (worker != 0) continue;
      for (int i = 0; i < kKeys; ++i) {
        const BudgetHandle handle = ledger.open(key(name(r, i)), kTerms.limit);
        wrong += ledger.left(handle, kTerms, kNow + 60 * r) != 0;
      }
      clock = kNow + 60 * (r + 1);
    }
    ++done_;
  }
  bool done() const { return done_ == kWorkers; }

  /// Whether each worker came to a rest meanwhile.
  bool all_passed() const {
    const std::array<int, kWorkers> before{rests_[0], rests_[1]};
    for (int i = 0; i < 10'000 && !done(); ++i) {
      if (rests_[0] != before[0] && rests_[1] != before[1]) return true;
      std::this_thread::yield();
    }
    return false;
  }

  BudgetLedger ledger{64, kWorkers, 1};
  std::atomic<int64_t> clock{kNow};
  std::atomic<int> wrong{0};

 private:
  static constexpr BudgetTerms kTerms{.limit = kWorkers * kEach, .window_seconds = 60};

  static std::string name(int round, int i) {
    return "r" + std::to_string(round) + "." + std::to_string(i);
  }
  void begin(unsigned worker, const std::string& rule, int64_t now) {
    // On a busy machine the control thread may stand still while it frees entries.
    for (bool again = true; again; ++rests_[worker]) {
      const BudgetHandle handle = ledger.open(key(rule), kTerms.limit);
      again = handle == kNoBudget || ledger.take(handle, kTerms, now, kEach).stale;
    }
  }

  std::barrier<> barrier_{kWorkers};
  std::array<std::atomic<int>, kWorkers> rests_{};
  std::atomic<unsigned> done_{0};
};

}  // namespace

// Though the control thread frees all that is over as fast as it can.
TEST_CASE("counts that are begun while others are freed are neither doubled nor shared",
          "[budget]") {
  Beginners beginners;
  {
    std::vector<std::jthread> threads;
    for (unsigned w = 0; w < Beginners::kWorkers; ++w) {
      threads.emplace_back([&, w] { beginners.work(w, 500); });
    }
    while (!beginners.done()) {
      beginners.ledger.collect(beginners.clock, [&] { return beginners.all_passed(); });
    }
  }
  CHECK(beginners.wrong == 0);
}

TEST_CASE("places are used again and again, and still found", "[budget]") {
  BudgetLedger ledger(64, 1, 1);
  const BudgetTerms terms{.limit = 1000, .window_seconds = 60};
  for (int round = 0; round < 200; ++round) {
    const int64_t now = kNow + 60 * round;
    std::vector<BudgetHandle> handles;
    for (int i = 0; i < 64; ++i) {
      const std::string name = "r" + std::to_string(round) + "." + std::to_string(i);
      handles.push_back(ledger.open(key(name), 1000));
      REQUIRE(handles.back() != kNoBudget);
      REQUIRE(ledger.take(handles.back(), terms, now, 1000).bytes == 1000);
      REQUIRE(ledger.open(key(name), 1000) == handles.back());
    }
    std::ranges::sort(handles);
    REQUIRE(std::ranges::adjacent_find(handles) == handles.end());
    ledger.collect(now + 60, [] { return true; });
    REQUIRE(ledger.entries() == 0);
  }
}

TEST_CASE("workers that begin counts at the same time get the same ones", "[budget]") {
  constexpr unsigned kWorkers = 2;
  constexpr size_t kKeys = 2000;
  BudgetLedger ledger(4096, kWorkers, 1);
  std::vector<std::vector<BudgetHandle>> handles(kWorkers, std::vector<BudgetHandle>(kKeys));
  std::atomic<size_t> arrived{0};
  {
    std::vector<std::jthread> threads;
    for (unsigned w = 0; w < kWorkers; ++w) {
      threads.emplace_back([&, w] {
        const BudgetTerms terms{.limit = 1'000'000, .window_seconds = 60};
        for (size_t i = 0; i < kKeys; ++i) {
          const std::string name = "r" + std::to_string(i);
          // In step, or they would hardly ever meet.
          for (++arrived; arrived.load() < kWorkers * (i + 1);) {
          }
          handles[w][i] = ledger.open(key(name), 1'000'000);
          (void)ledger.take(handles[w][i], terms, kNow, 100);
        }
      });
    }
    threads.emplace_back([&] {  // the control thread at its work
      for (int i = 0; i < 50; ++i) (void)ledger.snapshot(kNow);
      for (int i = 0; i < 50; ++i) ledger.roll(kNow);
    });
  }
  for (unsigned w = 1; w < kWorkers; ++w) CHECK(handles[w] == handles[0]);
  CHECK(ledger.entries() == kKeys);
  CHECK(ledger.snapshot(kNow).size() == kKeys);
}

TEST_CASE("counts go on where another ledger left them, within their window", "[budget]") {
  BudgetLedger old(16, 1, 1);
  const BudgetTerms terms{.limit = 1000, .window_seconds = 60};
  (void)old.take(old.open(key("r"), 1000), terms, kNow, 600);
  const auto counts = old.snapshot(kNow);
  REQUIRE(counts.size() == 1);
  CHECK(counts[0].window_start == kNow);

  BudgetLedger next(16, 1, 2);
  for (const int64_t later : {int64_t{0}, int64_t{59}, int64_t{-5}}) {
    CAPTURE(later);
    CHECK(next.restore(counts[0], kNow + later));
    const BudgetHandle handle = next.open(key("r"), 1000);
    CHECK(next.left(handle, terms, kNow + later) == 400);
  }
  BudgetLedger late(16, 1, 2);
  CHECK(late.restore(counts[0], kNow + 60));
  CHECK(late.snapshot(kNow + 60).empty());
  CHECK(late.left(late.open(key("r"), 1000), terms, kNow + 60) == 1000);
}
