// Which addresses were given for which names, and for how long.
#include <catch2/catch.hpp>
#include <thread>
#include <vector>

#include "dataplane/inspect/binding_table.h"

using namespace sallyport;

namespace {

constexpr std::array<uint64_t, 2> kKey{1, 2};
constexpr int64_t kNow = 1'800'000'000;
constexpr uint32_t kGrace = 10;
constexpr bool kAskedFor = true;

IpAddress address(std::string_view text) {
  return parse_ip_address(text).value();
}

DnsResponse answer(std::string_view name, const std::vector<std::string_view>& addresses,
                   uint32_t ttl) {
  DnsResponse out;
  REQUIRE(out.name.assign(name) == HostNameFault::none);
  for (const auto text : addresses) out.address_list[out.address_count++] = {address(text), ttl};
  return out;
}

DnsResponse alias(std::string_view name, const std::vector<std::string>& targets, uint32_t ttl) {
  DnsResponse out;
  REQUIRE(out.name.assign(name) == HostNameFault::none);
  for (const auto& target : targets) {
    DnsResponse::Target& to = out.target_list[out.target_count++];
    REQUIRE(to.name.assign(target) == HostNameFault::none);
    to.ttl_seconds = ttl;
  }
  return out;
}

}  // namespace

TEST_CASE("an address is bound to the name it was given for", "[binding]") {
  BindingTable table(1024, kKey);
  CHECK_FALSE(table.is_bound("a.test", address("198.19.0.1"), kNow));
  table.add(answer("a.test", {"198.19.0.1", "2001:db8::1"}, 60), kAskedFor, kNow, kGrace);
  CHECK(table.is_bound("a.test", address("198.19.0.1"), kNow));
  CHECK(table.is_bound("a.test", address("2001:db8::1"), kNow));
  CHECK_FALSE(table.is_bound("a.test", address("198.19.0.2"), kNow));
  CHECK_FALSE(table.is_bound("b.test", address("198.19.0.1"), kNow));
  CHECK_FALSE(table.is_bound("", address("198.19.0.1"), kNow));
  CHECK(table.learnt() == 2);
}

TEST_CASE("for its TTL and the grace, and no longer", "[binding]") {
  BindingTable table(1024, kKey);
  const uint32_t ttl = GENERATE(0u, 5u, 300u);
  table.add(answer("a.test", {"198.19.0.1"}, ttl), kAskedFor, kNow, kGrace);
  const auto bound_after = [&](int64_t seconds) {
    return table.is_bound("a.test", address("198.19.0.1"), kNow + seconds);
  };
  CHECK(bound_after(ttl + kGrace));
  CHECK_FALSE(bound_after(ttl + kGrace + 1));
  CHECK_FALSE(bound_after(86'400));

  SECTION("another answer makes it last longer") {
    table.add(answer("a.test", {"198.19.0.1"}, ttl), kAskedFor, kNow + 100, kGrace);
    CHECK(bound_after(100 + ttl));
  }
  SECTION("but never shorter") {
    table.add(answer("a.test", {"198.19.0.1"}, 0), kAskedFor, kNow, 0);
    CHECK(bound_after(ttl + kGrace));
  }
}

TEST_CASE("a TTL counts for an hour at most", "[binding]") {
  BindingTable table(1024, kKey);
  table.add(answer("a.test", {"198.19.0.1"}, UINT32_MAX), kAskedFor, kNow, 0);
  CHECK(table.is_bound("a.test", address("198.19.0.1"), kNow + 3600));
  CHECK_FALSE(table.is_bound("a.test", address("198.19.0.1"), kNow + 3601));
}

TEST_CASE("what ended stays over, however long the table stands", "[binding]") {
  BindingTable table(GENERATE(64u, 65536u), kKey);
  table.add(answer("a.test", {"198.19.0.1"}, 60), kAskedFor, kNow, kGrace);
  table.add(alias("b.test", {"a.test"}, 60), kAskedFor, kNow, kGrace);
  table.add(answer("late.test", {"198.19.0.1"}, 60), kAskedFor, kNow + 3600, kGrace);
  for (int64_t hour = 1; hour < 24 * 30; ++hour) {
    const int64_t now = kNow + hour * 3600;
    for (int i = 0; i < 1024; ++i) table.forget_ended(now);
    // Two steps of the answer to an alias: the second, honest again, must not revive the first.
    table.add(answer("a.test", {"198.19.0.1"}, 60), kAskedFor, now, kGrace);
    CHECK_FALSE(table.is_bound("b.test", address("198.19.0.1"), now));
    CHECK(table.is_bound("a.test", address("198.19.0.1"), now));
    CHECK_FALSE(table.is_bound("a.test", address("198.19.0.1"), now + 3599));
    CHECK(table.is_bound("late.test", address("198.19.0.1"), now) == (hour == 1));
  }
}

TEST_CASE("a name that HTTPS records put in the place of another lends it its addresses",
          "[binding]") {
  BindingTable table(1024, kKey);
  table.add(alias("a.test", {"cdn.test"}, 60), kAskedFor, kNow, kGrace);
  CHECK_FALSE(table.is_bound("a.test", address("198.19.0.1"), kNow));
  table.add(answer("cdn.test", {"198.19.0.1"}, 60), kAskedFor, kNow, kGrace);
  CHECK(table.is_bound("a.test", address("198.19.0.1"), kNow));
  CHECK_FALSE(table.is_bound("b.test", address("198.19.0.1"), kNow));
  CHECK_FALSE(table.is_bound("a.test", address("198.19.0.1"), kNow + 90));
}

TEST_CASE("and so does each of several that one answer names", "[binding]") {
  BindingTable table(1024, kKey);
  const std::vector<std::string> targets{"a.cdn.test", "b.cdn.test", "c.cdn.test", "d.cdn.test"};
  static_assert(kMaxDnsTargets == 4);
  table.add(alias("a.test", targets, 60), kAskedFor, kNow, kGrace);
  table.add(alias("b.test", {targets[0]}, 600), kAskedFor, kNow, kGrace);
  for (uint32_t i = 0; i < targets.size(); ++i) {
    const std::string at = "198.19.0." + std::to_string(i);
    table.add(answer(targets[i], {at}, 600), kAskedFor, kNow, kGrace);
    INFO(targets[i]);
    CHECK(table.is_bound("a.test", address(at), kNow));
    CHECK(table.is_bound("b.test", address(at), kNow) == (i == 0));
    CHECK_FALSE(table.is_bound("a.test", address(at), kNow + 90));
  }
  SECTION("a later answer lets them last longer, and takes none of the others' place") {
    table.add(alias("a.test", {targets[3]}, 200), kAskedFor, kNow, kGrace);
    CHECK(table.is_bound("a.test", address("198.19.0.3"), kNow + 200));
    CHECK(table.is_bound("a.test", address("198.19.0.2"), kNow));
  }
  CHECK(table.evicted() == 0);
}

TEST_CASE("an alias that finds no place pushes out what ends first, and says so", "[binding]") {
  BindingTable table(1024, kKey);
  constexpr uint32_t kNames = 20'000;  // more than there are places
  for (uint32_t i = 0; i < kNames; ++i) {
    table.add(alias("n" + std::to_string(i) + ".test", {"cdn.test"}, 60 + i), kAskedFor, kNow, 0);
  }
  table.add(answer("cdn.test", {"198.19.0.1"}, 60), kAskedFor, kNow, 0);
  size_t kept = 0;
  for (uint32_t i = 0; i < kNames; ++i) {
    kept += table.is_bound("n" + std::to_string(i) + ".test", address("198.19.0.1"), kNow);
  }
  CHECK(kept + table.evicted() == kNames);
  CHECK(kept <= 8192);
  CHECK(table.is_bound("n19999.test", address("198.19.0.1"), kNow));
}

TEST_CASE("a full bucket lets go of what ends first, and says so", "[binding]") {
  BindingTable table(64, kKey);
  for (uint32_t i = 0; i < 1000; ++i) {
    table.add(answer("n" + std::to_string(i) + ".test", {"198.19.0.1"}, 60 + 60 * i), kAskedFor,
              kNow, 0);
  }
  CHECK(table.evicted() > 800);
  size_t kept = 0;
  for (uint32_t i = 0; i < 1000; ++i) {
    kept += table.is_bound("n" + std::to_string(i) + ".test", address("198.19.0.1"), kNow);
  }
  CHECK(kept > 0);
  CHECK(kept <= 64);
  CHECK(table.is_bound("n999.test", address("198.19.0.1"), kNow));

  SECTION("what is over costs nothing to push out") {
    const uint64_t before = table.evicted();
    table.add(answer("late.test", {"198.19.0.1"}, 60), kAskedFor, kNow + 2 * 86'400, 0);
    CHECK(table.evicted() == before);
    CHECK(table.is_bound("late.test", address("198.19.0.1"), kNow + 2 * 86'400));
  }
}

TEST_CASE("names that no rule asks for push none out that one does", "[binding]") {
  BindingTable table(1024, kKey);
  constexpr int kHonest = 256;
  const auto honest = [](int i) { return "n" + std::to_string(i) + ".good.test"; };
  const auto learn_honest = [&] {
    for (int i = 0; i < kHonest; ++i) {
      table.add(answer(honest(i), {"198.19.0.1"}, 5), kAskedFor, kNow, 0);
    }
  };
  const auto bound = [&] {
    int count = 0;
    for (int i = 0; i < kHonest; ++i)
      count += table.is_bound(honest(i), address("198.19.0.1"), kNow);
    return count;
  };
  // All that an owner of a zone can: far more names than there is room for, and for long.
  const auto flood = [&](std::string_view zone) {
    for (int i = 0; i < 20'000; ++i) {
      const std::string name = std::to_string(i) + "." + std::string(zone);
      table.add(answer(name, {"198.19.0.9"}, UINT32_MAX), !kAskedFor, kNow, 0);
      table.add(alias(name, {"x." + name}, UINT32_MAX), !kAskedFor, kNow, 0);
    }
  };
  learn_honest();
  const int before = bound();
  CHECK(before > kHonest - 10);  // but for what meets in one bucket
  const uint64_t evicted = table.evicted();
  flood("evil.test");
  CHECK(bound() == before);
  CHECK(table.evicted() == evicted);
  CHECK(table.crowded_out() > 30'000);

  SECTION("nor are they kept out by them") {
    BindingTable late(1024, kKey);
    for (int i = 0; i < 20'000; ++i) {
      late.add(answer(std::to_string(i) + ".evil.test", {"198.19.0.9"}, UINT32_MAX), !kAskedFor,
               kNow, 0);
    }
    int count = 0;
    for (int i = 0; i < kHonest; ++i) {
      late.add(answer(honest(i), {"198.19.0.1"}, 5), kAskedFor, kNow, 0);
      count += late.is_bound(honest(i), address("198.19.0.1"), kNow);
    }
    CHECK(count == kHonest);
  }
  SECTION("what stands in the place of a name is asked for as the name is") {
    table.add(alias("good.test", {"cdn.test"}, 60), kAskedFor, kNow, 0);
    table.add(answer("cdn.test", {"198.19.0.1"}, 60), !kAskedFor, kNow, 0);
    CHECK(table.is_bound("good.test", address("198.19.0.1"), kNow));
    flood("other.test");
    CHECK(table.is_bound("good.test", address("198.19.0.1"), kNow));
  }
  SECTION("one that a rule asks for later is learnt with the next answer") {
    table.add(answer("late.test", {"198.19.0.1"}, 60), !kAskedFor, kNow, 0);
    table.add(answer("late.test", {"198.19.0.1"}, 5), kAskedFor, kNow, 0);
    CHECK(table.is_bound("late.test", address("198.19.0.1"), kNow + 5));
  }
}

TEST_CASE("several workers write and read at the same time", "[binding]") {
  BindingTable table(65536, kKey);
  constexpr int kNames = 500;
  std::vector<std::thread> threads;
  std::atomic<int> missing = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&table, &missing, t] {
      for (int i = 0; i < kNames; ++i) {
        const std::string name = "n" + std::to_string(i) + "." + std::to_string(t) + ".test";
        DnsResponse one;
        missing += one.name.assign(name) != HostNameFault::none;
        one.address_list[0] = {parse_ip_address("198.19.0.1").value(), 60};
        one.address_count = 1;
        table.add(one, kAskedFor, kNow, kGrace);
        missing += !table.is_bound(name, one.address_list[0].address, kNow);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(missing == 0);
}
