// The walk that explanations are made of comes to the same end as decide(), on random policies.
#include <catch2/catch.hpp>
#include <random>

#include "policy/compile/explain.h"
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

constexpr unsigned kSeeds = test::cases(150);

TextFact text_fact(Known known, std::string_view value) {
  return {known, known == Known::present ? std::string(value) : ""};
}

FlowDescription describe(const FlowFacts& facts) {
  FlowValues values;
  values.source = facts.source;
  values.destination = facts.destination;
  values.ip_protocol = facts.ip_protocol;
  values.destination_port = facts.destination_port;
  values.unix_seconds = facts.unix_seconds;
  values.app_known = facts.app_known;
  values.app = facts.app;
  values.name = text_fact(facts.name_known, facts.name);
  values.alpns_known = facts.alpns_known;
  values.alpns.assign(facts.alpns.begin(), facts.alpns.end());
  values.ja4 = text_fact(facts.ja4_known, facts.ja4);
  values.ech_known = facts.ech_known;
  values.method = text_fact(facts.method_known, facts.method);
  values.path = text_fact(facts.path_known, facts.path);
  values.headers_known = facts.headers_known;
  for (const HttpHeader& one : facts.headers) values.headers.emplace_back(one.name, one.value);
  values.binding_known = facts.binding_known;
  values.budget_spent = facts.budget_spent;
  return FlowDescription(std::move(values));
}

}  // namespace

TEST_CASE("explanations come to the same end as decide(), whatever is unknown") {
  std::array<size_t, 3> verdicts{};
  size_t explained = 0;
  for (unsigned seed = 1; seed <= kSeeds; ++seed) {
    RandomPolicy random = seeded(seed);
    const std::string text = test::to_yaml(random.models());
    const auto models = load_policies(std::vector{SourceFile{"p.yaml", text}});
    REQUIRE(models);
    const auto table = test::load_table(text);
    Explainer explainer(*models, *table);
    explainer.use_identities(random.identities());
    for (int i = 0; i < 40; ++i) {
      const RandomFlow flow(random);
      const unsigned unknown = random.chance(40) ? 0 : random.below(1024) & kHideable;
      const Explanation got = explainer.explain(describe(flow.hiding(unknown)));
      CAPTURE(seed, unknown, flow.name, text);
      REQUIRE(got.disagreement.empty());
      // Who decides is named, and nobody else.
      REQUIRE((got.decider() != nullptr) == (got.decision.rule != kNoRule));
      if (got.decider() != nullptr) REQUIRE(got.decider()->index == got.decision.rule);
      ++verdicts[static_cast<size_t>(got.decision.verdict)];
      explained += got.tried.size();
    }
  }
  for (const size_t count : verdicts) CHECK(count > size_t{2} * kSeeds);
  CHECK(explained > size_t{60} * kSeeds);
}
