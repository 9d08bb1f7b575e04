#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "policy/compile/model.h"
#include "policy/runtime/facts.h"
#include "policy/runtime/identity.h"
#include "policy/runtime/verdict.h"

namespace sallyport::test {

/// Random policies and flows out of small pools, so that rules and flows meet often. Where the
/// numbers come from is the caller's: a seeded engine for many, rapidcheck for ones that shrink.
class RandomPolicy {
 public:
  /// Gives a number below its argument.
  using Source = std::function<unsigned(unsigned)>;
  explicit RandomPolicy(Source source) : source_(std::move(source)) {}

  unsigned below(unsigned limit) { return source_(limit); }
  bool chance(unsigned percent) { return below(100) < percent; }

  std::string name();
  IpAddress address();
  IpPrefix prefix();
  uint16_t port();
  Destinations destinations();
  ProtocolTerm term();
  /// `sets` may be empty. Its place in the policy gives the rule its name.
  RuleModel rule(unsigned index, const PolicyModel& policy, const PolicyModels& models);
  PolicyModels models();
  /// Nothing: no feed is loaded.
  std::optional<std::vector<Identity>> identities();

 private:
  std::string pick(std::initializer_list<const char*> pool);
  std::vector<std::string> some(std::initializer_list<const char*> pool);
  void hello_conditions(ProtocolTerm& term);
  void request_conditions(ProtocolTerm& term);
  void terms(RuleModel& rule);
  Labels labels();

  Source source_;
};

/// Draws from an engine of its own: the same policies for the same seed.
RandomPolicy seeded(unsigned seed);

/// Facts that a test may hide from decide(). Labels are the table's.
inline constexpr unsigned kHideable = ((1u << kFactBits) - 1) & ~unsigned{kFactLabels};

/// A flow with every fact settled, and the bytes that the facts point to.
class RandomFlow {
 public:
  explicit RandomFlow(RandomPolicy& random);
  RandomFlow(const RandomFlow&) = delete;
  RandomFlow& operator=(const RandomFlow&) = delete;

  /// With the facts in `unknown` (FactBit) hidden; labels are the table's and not hidden here.
  FlowFacts hiding(unsigned unknown) const;

  std::string name;

 private:
  Known known(RandomPolicy& random) { return random.chance(85) ? Known::present : Known::absent; }

  std::vector<std::string_view> alpns_;
  std::string ja4_;
  std::string method_;
  std::string path_;
  std::vector<HttpHeader> headers_;
  FlowFacts facts_;
};

}  // namespace sallyport::test
