#include "dataplane/io/policy_names.h"

#include <array>
#include <catch2/catch.hpp>

#include "tests/support/policy_builder.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

std::unique_ptr<PolicyTable> two_rules(const std::string& policy) {
  return load_table(
      policy_text("  egress:\n    - {name: first, action: Deny, to: {cidrs: "
                  "[203.0.113.0/24]}}\n    - {name: second, action: Allow}\n",
                  policy));
}

}  // namespace

TEST_CASE("a rule is found by its table's generation and its index", "[names]") {
  PolicyNames names;
  const auto old_table = two_rules("old");
  const auto new_table = two_rules("new");
  names.add(1, *old_table);
  names.add(2, *new_table);
  struct Row {
    uint32_t generation, rule;
    std::string policy, name;
  };
  for (const Row& row : {Row{1, 0, "old", "first"}, Row{1, 1, "old", "second"},
                         Row{2, 0, "new", "first"}, Row{2, 1, "new", "second"}}) {
    const auto found = names.find(row.generation, row.rule);
    CHECK(found.policy == row.policy);
    CHECK(found.rule == row.name);
    CHECK(found.revision == (row.generation == 1 ? old_table : new_table)->revision());
  }
}

TEST_CASE("no rule decided, or the table is not known any more", "[names]") {
  PolicyNames names;
  CHECK(names.find(0, kNoRule).revision == 0);
  const auto table = two_rules("p");
  names.add(1, *table);
  for (const uint32_t rule : {2u, kNoRule}) {
    CHECK(names.find(1, rule).rule.empty());
    CHECK(names.find(1, rule).policy.empty());
    CHECK(names.find(1, rule).revision == table->revision());
  }
  CHECK(names.find(2, 0).rule.empty());
  CHECK(names.find(2, 0).revision == 0);
}

TEST_CASE("only the latest policies' names are kept", "[names]") {
  PolicyNames names;
  const std::array tables{two_rules("even"), two_rules("odd")};
  constexpr auto kKept = static_cast<uint32_t>(PolicyNames::kPoliciesKept);
  for (uint32_t generation = 1; generation <= 3 * kKept; ++generation) {
    names.add(generation, *tables[generation % 2]);
    for (uint32_t past = 1; past <= generation; ++past) {
      CHECK((names.find(past, 0).revision != 0) == (past + kKept > generation));
    }
  }
}

TEST_CASE("generations that only a feed made do not push a policy's names out", "[names]") {
  PolicyNames names;
  const auto table = two_rules("p");
  const auto feed = std::make_shared<const IdentityFeed>();
  for (uint32_t generation = 2; generation <= 100; ++generation) {
    names.add(generation, *table, generation % 3 == 0 ? nullptr : feed);
  }
  for (uint32_t generation = 0; generation <= 101; ++generation) {
    const bool known = generation >= 2 && generation <= 100;
    CHECK(names.find(generation, 1).rule == (known ? "second" : ""));
  }
  names.add_none(101);
  CHECK(names.find(101, kNoRule).revision == 0);
  CHECK(names.find(100, 1).rule == "second");
}

TEST_CASE("an address has the SPIFFE ID of its time", "[names]") {
  PolicyNames names;
  const auto table = two_rules("p");
  const IpAddress inside = parse_ip_address("10.0.0.1").value();
  const auto feed = [&](const char* id) {
    const Identity identity{.address = inside, .labels = {{"job", "a"}, {kSpiffeIdLabel, id}}};
    return std::make_shared<const IdentityFeed>(make_identity_feed({&identity, 1}));
  };
  names.add(1, *table);
  names.add(2, *table, feed("spiffe://x/2"));
  names.add(5, *table, feed("spiffe://x/5"));
  const std::vector<std::string> expected{
      "", "", "spiffe://x/2", "spiffe://x/2", "spiffe://x/2", "spiffe://x/5", ""};
  for (uint32_t generation = 0; generation < expected.size(); ++generation) {
    CAPTURE(generation);
    CHECK(names.spiffe_id(generation, inside) == expected[generation]);
  }
  CHECK(names.spiffe_id(5, parse_ip_address("10.0.0.2").value()).empty());
  for (uint32_t generation = 6; generation < 6 + PolicyNames::kFeedsKept; ++generation) {
    names.add(generation, *table, feed("spiffe://x/new"));
  }
  CHECK(names.spiffe_id(5, inside).empty());
  CHECK(names.spiffe_id(6, inside) == "spiffe://x/new");
}

TEST_CASE("names outlive the table they came from", "[names]") {
  PolicyNames names;
  names.add(1, *two_rules("gone"));
  CHECK(names.find(1, 1).policy == "gone");
}
