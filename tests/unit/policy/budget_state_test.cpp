// The budgets' state file: read back as written, or refused.
#include "policy/runtime/budget_state.h"

#include <catch2/catch.hpp>

using namespace sallyport;

namespace {

std::vector<BudgetCount> counts() {
  return {{.policy = "a",
           .rule = "by-labels",
           .scope = BudgetScope::subject,
           .source = {},
           .labels = "job=train,team=x",
           .window_seconds = 86400,
           .window_start = 1'700'006'400,
           .used = 12345,
           .limit = 20'000'000},
          {.policy = "a",
           .rule = "by-source",
           .scope = BudgetScope::source,
           .source = parse_ip_address("2001:db8::1").value(),
           .labels = {},
           .window_seconds = 60,
           .window_start = 0,
           .used = UINT64_MAX,
           .limit = 1},
          {.policy = "b",
           .rule = "No_2.x",
           .scope = BudgetScope::subject,
           .source = parse_ip_address("10.0.0.1").value(),
           .labels = {},
           .window_seconds = 1,
           .window_start = 5,
           .used = 0,
           .limit = 0},
          {.policy = "b",
           .rule = "whole",
           .scope = BudgetScope::rule,
           .source = {},
           .labels = {},
           .window_seconds = 3600,
           .window_start = 3600,
           .used = 7,
           .limit = 8}};
}

std::string labels_of(std::vector<std::pair<std::string, std::string>> labels) {
  return labels_text(std::move(labels));
}

}  // namespace

TEST_CASE("a budget state is read back as it was written", "[budget]") {
  const auto all = counts();
  const std::string text = budget_state_text(all);
  CHECK(parse_budget_state(text).value() == all);
  CHECK(
      text.find("a\tby-labels\tsubject\tjob=train,team=x\t86400\t1700006400\t12345\t20000000\n") !=
      std::string::npos);
  CHECK(parse_budget_state(budget_state_text({})).value().empty());
  CHECK(std::ranges::is_sorted(all, before));
}

TEST_CASE("a budget state that was cut anywhere is refused", "[budget]") {
  const std::string text = budget_state_text(counts());
  for (size_t size = 0; size < text.size(); ++size) {
    CAPTURE(size);
    CHECK_FALSE(parse_budget_state(text.substr(0, size)));
  }
  CHECK_FALSE(parse_budget_state(text + "\n"));
  CHECK_FALSE(parse_budget_state(text + text));
}

TEST_CASE("a budget state with any bit changed is refused", "[budget]") {
  const std::string text = budget_state_text(counts());
  for (size_t at = 0; at < text.size(); ++at) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      CAPTURE(at, bit);
      std::string other = text;
      other[at] = static_cast<char>(other[at] ^ (1u << bit));
      CHECK_FALSE(parse_budget_state(other));
    }
  }
}

TEST_CASE("labels have one text, whatever their order, and no two sets the same", "[budget]") {
  CHECK(labels_of({}).empty());
  CHECK(labels_of({{"team", "x"}, {"job", "train"}}) == "job=train,team=x");
  CHECK(labels_of({{"a", "b,c=d"}}) == "a=b%2Cc%3Dd");
  CHECK(labels_of({{"a", "b"}, {"c", "d"}}) != labels_of({{"a", "b,c=d"}}));
  CHECK(labels_of({{"a", "\t\n%\x7f\xc3"}}) == "a=%09%0A%25%7F%C3");
  const std::string longest(2000, 'x');
  const std::string text = labels_of({{"spiffeId", longest}});
  CHECK(text.size() == kMostBudgetLabelsBytes);
  CHECK(text != labels_of({{"spiffeId", longest + "y"}}));
  const std::string key = labels_of({{longest, "v"}});
  BudgetCount count = counts()[0];
  count.labels = key;
  CHECK(parse_budget_state(budget_state_text(std::vector{count})).value()[0] == count);
}
