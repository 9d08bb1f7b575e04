#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "policy/compile/match.h"

namespace sallyport {

// The single conditions that RuleMatcher puts together.

/// A condition whose facts are known.
Predicate settled(std::string what, std::string wants, std::string has, bool matches);
/// A condition that hangs on `fact`.
Predicate awaited(std::string what, std::string wants, FactBit fact);

/// "a, b, c and 7 more": enough to recognise a list by.
std::string listed(std::span<const std::string> items);

/// What a glob stands for. `**` is any run of bytes; `*` too, unless `segments`: then any without
/// a '/'.
bool glob_matches(std::string_view glob, std::string_view text, bool segments);

/// Compiled domainRegexes, each once.
class RegexCache {
 public:
  RegexCache();
  ~RegexCache();
  RegexCache(const RegexCache&) = delete;
  RegexCache& operator=(const RegexCache&) = delete;

  /// Whether `regex` matches the whole of `name`, which is canonical.
  /// @throws std::runtime_error  When Hyperscan fails.
  bool matches(const std::string& regex, std::string_view name);

 private:
  struct Compiled;
  std::map<std::string, std::unique_ptr<Compiled>, std::less<>> compiled_;
};

/// to.cidrs of the rule and its sets.
Predicate match_addresses(const RuleModel& rule, const FlowFacts& facts);
/// to.domainNames and to.domainRegexes of the rule and its sets.
Predicate match_names(const RuleModel& rule, const FlowFacts& facts, RegexCache& regexes);
/// Whether the rule or one of its sets lists addresses, or names.
bool lists_addresses(const RuleModel& rule);
bool lists_names(const RuleModel& rule);

/// "tls 443, 8000-8099".
std::string term_text(const ProtocolTerm& term);
/// What match_carrier() and match_app() call their conditions.
inline constexpr const char* kCarrierCondition = "protocols";
inline constexpr const char* kAppCondition = "app";

/// IP protocol and port.
Predicate match_carrier(const ProtocolTerm& term, const FlowFacts& facts);
/// What the bytes have to be; nothing for a term that does not ask.
std::vector<Predicate> match_app(const ProtocolTerm& term, const FlowFacts& facts);
/// What the hello or the request has to be.
std::vector<Predicate> match_details(const ProtocolTerm& term, RuleAction action,
                                     const FlowFacts& facts);

}  // namespace sallyport
