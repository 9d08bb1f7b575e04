#include <rapidcheck.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <random>

#include "tests/support/cases.h"
#include "tests/support/policy_builder.h"
#include "tests/support/random_policy.h"
#include "tests/support/reference_policy.h"

using namespace sallyport;
using test::kHideable;
using test::RandomFlow;
using test::RandomPolicy;
using test::seeded;

namespace {

constexpr unsigned kSeeds = test::cases(600);

/// A random policy, compiled, and the feed it is decided with.
struct Case {
  PolicyModels models;
  std::optional<std::vector<Identity>> identities;
  std::string text;
  std::unique_ptr<PolicyTable> table;

  explicit Case(RandomPolicy& random)
      : models(random.models()),
        identities(random.identities()),
        text(test::to_yaml(models)),
        table(test::load_table(text)) {
    if (identities) table = table->with_identities(*identities).value();
  }
};

/// Whether hiding facts ever gives another final answer than `flow` with all of them has, or
/// another answer than the walk over every rule.
std::string disagreement(const Case& policy, const RandomFlow& flow, unsigned unknown,
                         unsigned revealed) {
  const FlowFacts facts = flow.hiding(unknown);
  const Decision got = decide(*policy.table, facts, 0);
  const Decision want = test::reference_decide(policy.models, policy.identities, facts);
  if (got != want) {
    return "decide() says " + test::say(*policy.table, got) + ", the walk " +
           test::say(*policy.table, want);
  }
  if (got.verdict == Verdict::pending) {
    const bool explained = got.waits_for != 0 && (got.waits_for & ~unknown & kHideable) == 0;
    return explained ? "" : "pending for a fact that is known";
  }
  const Decision later = decide(*policy.table, flow.hiding(unknown & ~revealed), 0);
  return later.verdict == got.verdict ? "" : "a final answer changed as facts arrived";
}

}  // namespace

TEST_CASE("decide() agrees with a walk over every rule, whatever is unknown") {
  for (unsigned seed = 1; seed <= kSeeds; ++seed) {
    RandomPolicy random = seeded(seed);
    const Case policy(random);
    for (int i = 0; i < 60; ++i) {
      const RandomFlow flow(random);
      // Nothing hidden, all hidden, and any mixture.
      for (const unsigned unknown :
           {0u, kHideable, random.below(1024) & kHideable, random.below(1024) & kHideable}) {
        const std::string wrong = disagreement(policy, flow, unknown, random.below(1024));
        if (wrong.empty()) continue;
        CAPTURE(seed, policy.text, unknown, flow.name);
        FAIL(wrong);
      }
    }
  }
}

TEST_CASE("decide() agrees with the walk on policies that shrink") {
  const bool ok = rc::check([] {
    RandomPolicy random([](unsigned limit) { return *rc::gen::inRange(0u, limit); });
    const Case policy(random);
    const RandomFlow flow(random);
    const unsigned unknown = random.below(1024) & kHideable;
    const std::string wrong = disagreement(policy, flow, unknown, random.below(1024));
    if (!wrong.empty()) RC_FAIL(wrong + "\n" + policy.text);
  });
  CHECK(ok);
}

TEST_CASE("decide() agrees where clauses span many words and summaries") {
  RandomPolicy random = seeded(7);
  PolicyModels models;
  models.policies.resize(1);
  models.policies[0].name = "p0";
  for (unsigned i = 0; i < 6000; ++i) {
    RuleModel rule = random.rule(i, models.policies[0], models);
    // Mostly rules that nothing meets, so that the first match is deep inside.
    if (!random.chance(1)) {
      rule.any_destination = false;
      rule.destinations = {};
      rule.destinations.names = {{"n" + std::to_string(i) + ".example", random.chance(30)}};
    }
    models.policies[0].rules.push_back(std::move(rule));
  }
  const auto table = test::load_table(test::to_yaml(models));
  for (int i = 0; i < 300; ++i) {
    RandomFlow flow(random);
    if (random.chance(60)) flow.name = "n" + std::to_string(random.below(6000)) + ".example";
    if (random.chance(20)) flow.name = "x." + flow.name;
    for (const unsigned unknown : {0u, unsigned{kFactName}, unsigned{kFactApp}, kHideable}) {
      const FlowFacts facts = flow.hiding(unknown);
      CAPTURE(unknown, flow.name);
      REQUIRE(decide(*table, facts, 0) == test::reference_decide(models, {}, facts));
    }
  }
}

TEST_CASE("the order of files and documents does not change the image") {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    RandomPolicy random = seeded(seed);
    const PolicyModels models = random.models();
    std::vector<SourceFile> sources;
    for (const auto& policy : models.policies) {
      sources.push_back({policy.name, test::to_yaml(policy)});
    }
    for (const auto& set : models.sets) sources.push_back({set->name, test::to_yaml(*set)});
    const auto forward = compile_policy(sources);
    std::ranges::reverse(sources);
    const auto backward = compile_policy(sources);
    const auto joined = compile_policy(std::vector{SourceFile{"all", test::to_yaml(models)}});
    REQUIRE((forward && backward && joined));
    CHECK(forward->image == backward->image);
    CHECK(forward->image == joined->image);
    CHECK(forward->revision == joined->revision);
    CHECK(PolicyTable::load(forward->image, 1).value()->revision() == forward->revision);
  }
}
