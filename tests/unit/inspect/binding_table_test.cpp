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

DnsResponse alias(std::string_view name, std::string_view target, uint32_t ttl) {
  DnsResponse out;
  REQUIRE(out.name.assign(name) == HostNameFault::none);
  REQUIRE(out.target_list[0].name.assign(target) == HostNameFault::none);
  out.target_list[0].ttl_seconds = ttl;
  out.target_count = 1;
  return out;
}

}  // namespace

TEST_CASE("an address is bound to the name it was given for", "[binding]") {
  BindingTable table(1024, kKey);
  CHECK_FALSE(table.is_bound("a.test", address("198.19.0.1"), kNow));
  table.add(answer("a.test", {"198.19.0.1", "2001:db8::1"}, 60), kNow, kGrace);
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
  table.add(answer("a.test", {"198.19.0.1"}, ttl), kNow, kGrace);
  const auto bound_after = [&](int64_t seconds) {
    return table.is_bound("a.test", address("198.19.0.1"), kNow + seconds);
  };
  CHECK(bound_after(ttl + kGrace));
  CHECK_FALSE(bound_after(ttl + kGrace + 1));
  CHECK_FALSE(bound_after(86'400));

  SECTION("another answer makes it last longer") {
    table.add(answer("a.test", {"198.19.0.1"}, ttl), kNow + 100, kGrace);
    CHECK(bound_after(100 + ttl));
  }
  SECTION("but never shorter") {
    table.add(answer("a.test", {"198.19.0.1"}, 0), kNow, 0);
    CHECK(bound_after(ttl + kGrace));
  }
}

TEST_CASE("a TTL counts for a day at most", "[binding]") {
  BindingTable table(1024, kKey);
  table.add(answer("a.test", {"198.19.0.1"}, UINT32_MAX), kNow, 0);
  CHECK(table.is_bound("a.test", address("198.19.0.1"), kNow + 86'400));
  CHECK_FALSE(table.is_bound("a.test", address("198.19.0.1"), kNow + 86'401));
}

TEST_CASE("what ended stays over, however long the table stands", "[binding]") {
  BindingTable table(GENERATE(64u, 65536u), kKey);
  table.add(answer("a.test", {"198.19.0.1"}, 60), kNow, kGrace);
  table.add(alias("b.test", "a.test", 60), kNow, kGrace);
  table.add(answer("late.test", {"198.19.0.1"}, 60), kNow + 3600, kGrace);
  for (int64_t hour = 1; hour < 24 * 30; ++hour) {
    const int64_t now = kNow + hour * 3600;
    for (int i = 0; i < 1024; ++i) table.forget_ended(now);
    // Two steps of the answer to an alias: the second, honest again, must not revive the first.
    table.add(answer("a.test", {"198.19.0.1"}, 60), now, kGrace);
    CHECK_FALSE(table.is_bound("b.test", address("198.19.0.1"), now));
    CHECK(table.is_bound("a.test", address("198.19.0.1"), now));
    CHECK_FALSE(table.is_bound("a.test", address("198.19.0.1"), now + 3599));
    CHECK(table.is_bound("late.test", address("198.19.0.1"), now) == (hour == 1));
  }
}

TEST_CASE("a name that HTTPS records put in the place of another lends it its addresses",
          "[binding]") {
  BindingTable table(1024, kKey);
  table.add(alias("a.test", "cdn.test", 60), kNow, kGrace);
  CHECK_FALSE(table.is_bound("a.test", address("198.19.0.1"), kNow));
  table.add(answer("cdn.test", {"198.19.0.1"}, 60), kNow, kGrace);
  CHECK(table.is_bound("a.test", address("198.19.0.1"), kNow));
  CHECK_FALSE(table.is_bound("b.test", address("198.19.0.1"), kNow));
  CHECK_FALSE(table.is_bound("a.test", address("198.19.0.1"), kNow + 90));
}

TEST_CASE("a full bucket lets go of what ends first, and says so", "[binding]") {
  BindingTable table(64, kKey);
  for (uint32_t i = 0; i < 1000; ++i) {
    table.add(answer("n" + std::to_string(i) + ".test", {"198.19.0.1"}, 60 + 60 * i), kNow, 0);
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
    table.add(answer("late.test", {"198.19.0.1"}, 60), kNow + 2 * 86'400, 0);
    CHECK(table.evicted() == before);
    CHECK(table.is_bound("late.test", address("198.19.0.1"), kNow + 2 * 86'400));
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
        table.add(one, kNow, kGrace);
        missing += !table.is_bound(name, one.address_list[0].address, kNow);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(missing == 0);
}
