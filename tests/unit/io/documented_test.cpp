// Every name that a counter or a record may carry is explained in docs/dataplane.md.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include "dataplane/inspect/drop_reason.h"
#include "dataplane/inspect/fault_info.h"
#include "dataplane/inspect/flow.h"
#include "dataplane/io/counters.h"

using namespace sallyport;

TEST_CASE("each counter, drop reason, fault and flow reason has its row in docs/dataplane.md",
          "[docs]") {
  const char* source = std::getenv("SALLYPORT_SOURCE");
  REQUIRE(source != nullptr);
  std::ifstream in(std::string(source) + "/docs/dataplane.md");
  const std::string text(std::istreambuf_iterator<char>(in), {});
  const auto check = [&](std::string_view name) {
    CAPTURE(name);
    CHECK(text.find("\n| `" + std::string(name) + "` |") != std::string::npos);
  };
  for (const auto& counter : kCounterInfo) check(counter.family);
  for (const auto& reason : kDropReasonInfo) check(reason.name);
  for (size_t i = 1; i < kDecodeFaultInfo.size(); ++i) check(kDecodeFaultInfo[i].name);
  for (size_t i = 1; i < kInspectFaultInfo.size(); ++i) check(kInspectFaultInfo[i].name);
  for (int i = 1; i < static_cast<int>(FlowReason::count_); ++i) {
    const auto reason = static_cast<FlowReason>(i);
    if (reason != FlowReason::inbound_pass) check(to_string(reason));
  }
}
