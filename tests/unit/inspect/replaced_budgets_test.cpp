#include "dataplane/inspect/replaced_budgets.h"

#include <catch2/catch.hpp>
#include <vector>

using namespace sallyport;

namespace {

std::vector<BudgetHandle> handles(const ReplacedBudgets::Due& due) {
  return {due.all().begin(), due.all().end()};
}
using Handles = std::vector<BudgetHandle>;

}  // namespace

TEST_CASE("bytes are charged to what they were decided by") {
  // Sequence numbers come round in the midst of it.
  const uint32_t base = GENERATE(1000u, 0u, 0xffffff80u);
  ReplacedBudgets budgets;
  CHECK(budgets.empty());
  CHECK(budgets.due(base, base + 10).own);
  budgets.replace(1, base + 100);          // 1 up to 100
  budgets.replace(kNoBudget, base + 200);  // nobody up to 200
  budgets.replace(2, base + 300);          // 2 up to 300, and then the flow's own
  CHECK_FALSE(budgets.empty());
  const auto due = [&](uint32_t from, uint32_t to) { return budgets.due(base + from, base + to); };
  CHECK(handles(due(0, 100)) == Handles{1});
  CHECK_FALSE(due(0, 300).own);
  CHECK(handles(due(100, 200)).empty());
  CHECK(handles(due(99, 201)) == Handles{1, 2});
  CHECK(handles(due(200, 301)) == Handles{2});
  CHECK(due(200, 301).own);
  CHECK(handles(due(300, 400)).empty());
  CHECK(due(300, 400).own);
  CHECK(due(300, 300).own);

  budgets.forget_before(base + 100);
  CHECK(handles(due(0, 400)) == Handles{2});
  CHECK_FALSE(due(100, 200).own);
  budgets.forget_before(base + 300);
  CHECK(budgets.empty());
}

TEST_CASE("two parts of one count are charged once") {
  ReplacedBudgets budgets;
  budgets.replace(1, 100);
  budgets.replace(2, 200);
  budgets.replace(1, 300);
  auto due = budgets.due(50, 350);
  CHECK(handles(due) == Handles{1, 2});
  CHECK(handles(budgets.due(100, 200)) == Handles{2});
  due.take_out(1);
  CHECK(handles(due) == Handles{2});
}

TEST_CASE("over eight parts those of one count become one, and over eight counts nobody pays") {
  ReplacedBudgets budgets;
  for (uint32_t i = 0; i < 20; ++i) budgets.replace(i % 2, 100 * (i + 1));
  budgets.replace(7, 2100);
  for (uint32_t i = 0; i < 20; ++i) {
    const auto due = budgets.due(100 * i, 100 * (i + 1));
    CHECK(std::ranges::count(due.all(), i % 2) == 1);
    CHECK_FALSE(due.own);
    CHECK_FALSE(due.too_many);
  }
  CHECK(handles(budgets.due(2000, 2100)) == Handles{7});
  for (uint32_t i = 0; i < 5; ++i) budgets.replace(10 + i, 2200 + 100 * i);
  CHECK_FALSE(budgets.due(0, 5000).too_many);
  CHECK(budgets.due(0, 5000).count == 8);
  budgets.replace(20, 5000);
  CHECK(budgets.due(0, 5000).too_many);
  budgets.forget_all();
  CHECK_FALSE(budgets.due(0, 5000).too_many);
}
