#include "policy/compile/clauses.h"

#include <algorithm>

namespace sallyport {
namespace {

void add_protocols(Clause clause, std::vector<Clause>& out) {
  if (clause.model->protocols.empty()) out.push_back(clause);
  for (const ProtocolTerm& term : clause.model->protocols) {
    clause.protocol = &term;
    out.push_back(clause);
  }
}

bool has_cidrs(const RuleModel& rule) {
  return !rule.destinations.cidrs.empty() ||
         std::ranges::any_of(rule.sets, [](const DestinationSetModel* set) {
           return !set->destinations.cidrs.empty();
         });
}

bool has_names(const RuleModel& rule) {
  return rule.destinations.has_names() ||
         std::ranges::any_of(rule.sets, [](const DestinationSetModel* set) {
           return set->destinations.has_names();
         });
}

}  // namespace

ClauseList expand_clauses(std::span<const PolicyModel> policies) {
  ClauseList out;
  for (uint32_t i = 0; i < policies.size(); ++i) {
    for (const RuleModel& rule : policies[i].rules) {
      Clause clause{
          .rule = static_cast<uint32_t>(out.rules.size()), .policy = &policies[i], .model = &rule};
      out.rules.push_back({i, &rule});
      if (rule.any_destination) add_protocols(clause, out.clauses);
      if (has_cidrs(rule)) {
        clause.destination = Clause::Destination::addresses;
        add_protocols(clause, out.clauses);
      }
      if (has_names(rule)) {
        clause.destination = Clause::Destination::names;
        add_protocols(clause, out.clauses);
      }
    }
  }
  return out;
}

}  // namespace sallyport
