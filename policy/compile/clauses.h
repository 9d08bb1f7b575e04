#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "policy/compile/model.h"

namespace sallyport {

/// A conjunction: at most one constraint per dimension. A rule matches when any of its clauses
/// does. Borrows from the model.
struct Clause {
  enum class Destination : uint8_t { any, addresses, names };

  uint32_t rule = 0;  ///< Index into ClauseList::rules.
  const PolicyModel* policy = nullptr;
  const RuleModel* model = nullptr;
  Destination destination{};
  const ProtocolTerm* protocol = nullptr;  ///< None = any protocol.
};

struct ClauseList {
  struct Rule {
    uint32_t policy = 0;
    const RuleModel* model = nullptr;
  };
  std::vector<Rule> rules;      ///< In the order they are tried.
  std::vector<Clause> clauses;  ///< In rule order.
};

/// Expands every rule into {address, name} × protocol clauses.
ClauseList expand_clauses(std::span<const PolicyModel> policies);

}  // namespace sallyport
