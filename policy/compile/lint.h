#pragma once

#include <cstdint>
#include <vector>

#include "policy/compile/model.h"
#include "policy/yaml/document.h"

namespace sallyport {

/// What lint found in a policy without errors.
struct LintReport {
  /// W001 to W009 as docs/policy.md lists them, in the order of their places.
  std::vector<Diagnostic> warnings;
  /// Rules too complex to prove anything of: they are given no W001, W002, W007 or W008.
  uint32_t unproved_rules = 0;
};

/// Looks for rules that do not do what their author may think. Never wrong about W001, W002, W007
/// and W008: those are proved on every flow that can be, from `now` on. A rule may still be flagged
/// wrongly as alive where the proof needs a domainRegexes entry that region_language.h does not
/// understand.
///
/// Bounded by work, which is counted in clauses and automaton states looked at and not in time, so
/// the answer is the same on every machine: a rule that costs too much, or that comes after many
/// that did, is unproved. A few seconds at most for any 1,000 rules.
///
/// Control-side only: allocates; a second or two for 10,000 rules. Needs no lock; writes nothing.
///
/// @param now  Unix seconds: what is expired, and when flows begin to matter.
LintReport lint_policies(const PolicyModels& models, int64_t now);

}  // namespace sallyport
