#include <algorithm>
#include <catch2/catch.hpp>
#include <memory>
#include <random>

#include "policy/compile/diff_regions.h"
#include "policy/compile/lint_reach.h"
#include "policy/compile/region_text.h"
#include "tests/support/cases.h"
#include "tests/support/policy_builder.h"
#include "tests/support/random_policy.h"
#include "tests/support/reference_policy.h"
#include "tests/support/region_member.h"

using namespace sallyport;
using test::RandomFlow;
using test::RandomPolicy;
using test::seeded;

namespace {

constexpr unsigned kSeeds = test::cases(60);

/// Before the first of the times that random rules speak of.
constexpr int64_t kNow = 900;

std::unique_ptr<PolicyTable> table_of(const PolicyModels& models) {
  return test::load_table(test::to_yaml(models));
}

Decision decide_as(const PolicyTable& table, const FlowFacts& facts, const Labels& labels) {
  const std::vector<Identity> source{{facts.source, {labels.begin(), labels.end()}}};
  return decide(*table.with_identities(source).value(), facts, 0);
}

/// Facts that one flow can have together: both ends of one family, an application that its IP
/// protocol carries, and a name only where there is an application to state it.
FlowFacts consistent(FlowFacts facts) {
  if (facts.source.is_v4() != facts.destination.is_v4()) facts.source = facts.destination;
  const bool udp = facts.ip_protocol == kIpProtocolUdp;
  const bool carries = (udp && facts.app == AppProtocol::quic) ||
                       (udp && facts.app == AppProtocol::dns) ||
                       (facts.ip_protocol == kIpProtocolTcp && facts.app != AppProtocol::quic);
  if (!carries) facts.app_known = Known::absent;
  if (facts.app_known != Known::present) facts.name_known = Known::absent;
  facts.budget_spent = false;
  return facts;
}

Labels some_labels(RandomPolicy& random) {
  Labels out;
  for (const char* key : {"job", "team"}) {
    if (random.chance(60)) out[key] = random.chance(50) ? "x" : "y";
  }
  return out;
}

/// A few edits of the kind that people make.
void edit(RandomPolicy& random, PolicyModels& models) {
  for (unsigned edits = 1 + random.below(3); edits > 0; --edits) {
    PolicyModel& policy = models.policies[random.below(unsigned(models.policies.size()))];
    const unsigned at = random.below(unsigned(policy.rules.size()));
    RuleModel& rule = policy.rules[at];
    switch (random.below(6)) {
      case 0: {
        RuleModel fresh = random.rule(100 + edits, policy, models);
        fresh.name += "-" + std::to_string(policy.rules.size());
        policy.rules.insert(policy.rules.begin() + at, std::move(fresh));
        break;
      }
      case 1:
        if (policy.rules.size() > 1) policy.rules.erase(policy.rules.begin() + at);
        break;
      case 2:
        std::swap(policy.rules.front(), policy.rules.back());
        break;
      case 3:
        if (!rule.any_destination) rule.destinations.names.push_back({random.name(), true});
        break;
      case 4:
        if (!rule.protocols.empty()) rule.protocols.push_back(random.term());
        break;
      default:
        rule.terms.log = static_cast<LogLevel>(random.below(4));
        rule.terms.on_deny = rule.terms.on_deny == OnDeny::drop ? OnDeny::reset : OnDeny::drop;
    }
  }
}

struct Pair {
  PolicyModels before;
  PolicyModels after;
  std::unique_ptr<PolicyTable> old_table;
  std::unique_ptr<PolicyTable> new_table;

  explicit Pair(unsigned seed) {
    RandomPolicy first = seeded(seed);
    before = first.models();
    RandomPolicy second = seeded(seed);
    after = second.models();
    edit(second, after);
    old_table = table_of(before);
    new_table = table_of(after);
  }
};

bool logs(const PolicyTable& table, const Decision& decision) {
  const bool denial = decision.verdict == Verdict::deny || decision.would_deny;
  const LogLevel log =
      decision.rule == kNoRule ? LogLevel::decisions : table.rule(decision.rule).terms.log;
  return log != LogLevel::none && (log != LogLevel::denies || denial);
}

/// More may leave than before: no budget any more, or one that stops less or later.
bool looser_budget(const Pair& pair, const Decision& before, const Decision& after) {
  if (before.rule == kNoRule || after.rule == kNoRule) return false;
  const Budget was = pair.old_table->rule(before.rule).terms.budget;
  const Budget is = pair.new_table->rule(after.rule).terms.budget;
  constexpr unsigned kLooseness[] = {1, 2, 0};  // subject, source, rule
  const bool stopped = was.bytes_out != 0 && was.on_exceed == OnExceed::deny;
  const bool stops = is.bytes_out != 0 && is.on_exceed == OnExceed::deny;
  return stopped &&
         (!stops || is.bytes_out > was.bytes_out || is.window_seconds < was.window_seconds ||
          kLooseness[static_cast<size_t>(is.scope)] > kLooseness[static_cast<size_t>(was.scope)]);
}

/// What a change is, from what decide() says; nothing where the difference, if any, is minor.
std::optional<ChangeKind> kind_between(const Pair& pair, const Decision& before,
                                       const Decision& after) {
  if (before.verdict != after.verdict) {
    return after.verdict == Verdict::allow ? ChangeKind::newly_allowed : ChangeKind::newly_denied;
  }
  if (before.verdict == Verdict::allow && looser_budget(pair, before, after)) {
    return ChangeKind::newly_allowed;
  }
  if (logs(*pair.old_table, before) && !logs(*pair.new_table, after)) {
    return ChangeKind::no_longer_logged;
  }
  if (before.would_deny != after.would_deny) return ChangeKind::other;
  return std::nullopt;
}

/// "r1" of the region's rules must have decided.
bool names_decider(const PolicyComparison& comparison, const std::set<uint32_t>& rules,
                   const PolicyTable& table, const Decision& decision) {
  return std::ranges::any_of(rules, [&](uint32_t rule) {
    if (rule == kDefaultDeny) return decision.rule == kNoRule;
    const auto& info = comparison.space().rules()[rule];
    return decision.rule != kNoRule && table.rule(decision.rule).policy == info.policy->name &&
           table.rule(decision.rule).name == info.model->name;
  });
}

/// What is wrong with the regions, asked of one flow.
std::string wrong_about(PolicyComparison& comparison, const std::vector<Region>& regions,
                        const Pair& pair, const FlowFacts& facts, const Labels& labels) {
  const Decision before = decide_as(*pair.old_table, facts, labels);
  const Decision after = decide_as(*pair.new_table, facts, labels);
  const auto kind = kind_between(pair, before, after);
  const Region* in = nullptr;
  for (const Region& region : regions) {
    if (!test::holds(comparison.space(), region, comparison.names(), facts, labels)) continue;
    if (in != nullptr) return "two regions hold it";
    in = &region;
  }
  if (in == nullptr) return kind ? "missing: " + std::string(to_string(*kind)) : "";
  const ChangeOutcome& outcome = comparison.outcome(*in);
  if (kind.value_or(ChangeKind::other) != outcome.kind) {
    return "reported as " + std::string(to_string(outcome.kind));
  }
  const bool named = names_decider(comparison, outcome.before, *pair.old_table, before) &&
                     names_decider(comparison, outcome.after, *pair.new_table, after);
  return named ? "" : "names the wrong rules";
}

void check_pair(unsigned seed) {
  const Pair pair(seed);
  PolicyComparison comparison(pair.before, pair.after, {.now = kNow, .max_changes = 100'000});
  const auto regions = comparison.run();
  CAPTURE(seed, test::to_yaml(pair.before), test::to_yaml(pair.after));
  REQUIRE(comparison.end() == SearchEnd::complete);
  REQUIRE(comparison.left_out() == 0);
  for (const Region& region : regions) {
    const RegionText text =
        describe(comparison.space(), region, comparison.names(), comparison.time());
    CAPTURE(text.subject, text.destination, text.protocol, text.condition);
    const SampleFlow sample = comparison.sample(region);
    SampleFlow::Storage storage;
    const FlowFacts facts = sample.facts(storage);
    CAPTURE(to_string(facts.source), to_string(facts.destination), facts.destination_port,
            sample.name, sample.path);
    CHECK(test::holds(comparison.space(), region, comparison.names(), facts, sample.labels));
    CHECK(wrong_about(comparison, regions, pair, facts, sample.labels).empty());
  }
  RandomPolicy random = seeded(seed + 1'000'000);
  for (int i = 0; i < 100; ++i) {
    const RandomFlow flow(random);
    const FlowFacts facts = consistent(flow.hiding(0));
    const Labels labels = some_labels(random);
    const std::string wrong = wrong_about(comparison, regions, pair, facts, labels);
    if (wrong.empty()) continue;
    CAPTURE(i, to_string(facts.source), to_string(facts.destination), facts.destination_port,
            facts.ip_protocol, facts.name, static_cast<int>(facts.app_known),
            static_cast<int>(facts.app));
    FAIL_CHECK(wrong);
  }
}

/// A Pass decides nothing itself: the policy with a Deny in its place. None where a Deny would
/// match other flows than the Pass.
std::unique_ptr<PolicyTable> table_with_deny(const PolicyModels& models, RuleModel& rule) {
  const bool offers = std::ranges::any_of(
      rule.protocols, [](const ProtocolTerm& term) { return !term.alpns.empty(); });
  if (offers) return nullptr;
  rule.terms.action = RuleAction::deny;
  auto table = table_of(models);
  rule.terms.action = RuleAction::pass;
  return table;
}

/// A rule that decides has a flow for it; any other has none among many.
void check_rule(RandomPolicy& random, RuleReach& reach, const RuleReach::Answer& answer,
                const PolicyTable& table, uint32_t rule) {
  if (answer.region) {
    const SampleFlow sample = reach.sample(*answer.region);
    SampleFlow::Storage storage;
    CHECK(decide_as(table, sample.facts(storage), sample.labels).rule == rule);
    return;
  }
  for (int i = 0; i < 100; ++i) {
    const RandomFlow flow(random);
    REQUIRE(decide_as(table, consistent(flow.hiding(0)), some_labels(random)).rule != rule);
  }
}

}  // namespace

TEST_CASE("every flow that two policies treat differently is in one region, and no other flow") {
  for (unsigned seed = 1; seed <= 2 * kSeeds; ++seed) check_pair(seed);
}

TEST_CASE("a rule decides nothing exactly where lint says so") {
  unsigned found[3] = {};
  unsigned undecided = 0;  // Given up on: lint's work is bounded.
  for (unsigned seed = 1; seed <= kSeeds; ++seed) {
    RandomPolicy random = seeded(seed);
    PolicyModels models = random.models();
    CAPTURE(seed, test::to_yaml(models));
    RuleReach reach(models, kNow);
    const auto table = table_of(models);
    uint32_t id = 0;
    for (PolicyModel& policy : models.policies) {
      for (RuleModel& rule : policy.rules) {
        const auto answer = reach.reach(id);
        CAPTURE(policy.name, rule.name);
        if (answer.kind == RuleReach::Answer::Kind::undecided) {
          ++undecided;
          ++id;
          continue;
        }
        ++found[static_cast<size_t>(answer.kind)];
        if (rule.terms.action == RuleAction::pass) {
          if (const auto as_deny = table_with_deny(models, rule)) {
            check_rule(random, reach, answer, *as_deny, id);
          }
        } else {
          check_rule(random, reach, answer, *table, id);
        }
        ++id;
      }
    }
  }
  for (const unsigned count : found) CHECK(count > 0);
  CHECK(undecided <= 60);  // Of about a thousand.
}
