// What budgets have let out outlives the data plane, in a file that it refuses when it is damaged.
#include <signal.h>

#include <catch2/catch.hpp>
#include <ctime>

#include "policy/runtime/budget_state.h"
#include "tests/process/gateway_process.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

std::vector<BudgetCount> counts() {
  return {{.policy = "p",
           .rule = "r",
           .scope = BudgetScope::source,
           .source = parse_ip_address("10.1.2.3").value(),
           .labels = {},
           .window_seconds = 366 * 86400,
           .window_start = std::time(nullptr) / (366 * 86400) * (366 * 86400),
           .used = 12345,
           .limit = 20000}};
}

std::vector<BudgetCount> kept(const GatewayProcess& gateway) {
  const auto parsed = parse_budget_state(read_text(gateway.budget_state));
  return parsed ? *parsed : std::vector<BudgetCount>{};
}

}  // namespace

TEST_CASE("counts go on after an orderly stop and after a crash", "[process]") {
  GatewayProcess gateway;
  write_text(gateway.budget_state, budget_state_text(counts()));
  for (const int end : {SIGTERM, SIGKILL}) {
    CAPTURE(end);
    gateway.start();
    CHECK(gateway.log().find("1 budgets go on where") != std::string::npos);
    CHECK(gateway.counter("sallyport_budget_state_failures_total", "") == 0);
    gateway.signal(end);
    gateway.wait();
    CHECK(kept(gateway) == counts());
  }
}

TEST_CASE("a damaged file of budgets is refused by name and set aside", "[process]") {
  GatewayProcess gateway;
  std::string text = budget_state_text(counts());
  text[text.find("12345")] = '0';
  write_text(gateway.budget_state, text);
  gateway.start();
  CHECK(gateway.log().find("budgets.state is refused: its digest is wrong; every budget starts "
                           "unspent") != std::string::npos);
  CHECK(read_text(gateway.budget_state.string() + ".damaged") == text);
  CHECK(gateway.stop() == 0);
}

TEST_CASE("a file that cannot be written is said once, and each try counted", "[process]") {
  GatewayProcess gateway;
  write_text(gateway.budget_state, budget_state_text(counts()));
  std::filesystem::create_directory(gateway.budget_state.string() + ".new");
  gateway.start();
  const auto failures = [&] {
    return gateway.counter("sallyport_budget_state_failures_total", "");
  };
  CHECK(eventually([&] { return failures() >= 2; }, std::chrono::seconds(20)));
  CHECK(gateway.stop() == 0);
  const std::string log = gateway.log();
  const size_t said = log.find("budgets.state cannot be written: ");
  CHECK(said != std::string::npos);
  CHECK(log.find("cannot be written", said + 30) == std::string::npos);
  CHECK(kept(gateway) == counts());
}
