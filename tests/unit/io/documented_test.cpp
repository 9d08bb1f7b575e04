// Every name that a counter or a record may carry is explained in docs/dataplane.md.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include "dataplane/inspect/drop_reason.h"
#include "dataplane/inspect/fault_info.h"
#include "dataplane/inspect/flow.h"
#include "dataplane/io/counter_units.h"
#include "dataplane/io/counters.h"
#include "dataplane/io/histograms.h"

using namespace sallyport;

namespace {

std::string document(const std::string& name) {
  const char* source = std::getenv("SALLYPORT_SOURCE");
  REQUIRE(source != nullptr);
  std::ifstream in(std::string(source) + "/docs/" + name);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

TEST_CASE("each exception has its row in docs/enforcement.md, with its default and its choices",
          "[docs]") {
  const std::string text = document("enforcement.md");
  for (const ExceptionInfo& info : kExceptionInfo) {
    const size_t at = text.find("\n| `" + std::string(info.name) + "` |");
    CAPTURE(info.name);
    REQUIRE(at != std::string::npos);
    const std::string row = text.substr(at + 1, text.find('\n', at + 1) - at - 1);
    const size_t choices = row.find("| " + std::string(to_string(info.usual)) + " | ");
    REQUIRE(choices != std::string::npos);
    for (int i = 0; i < static_cast<int>(ExceptionAction::count_); ++i) {
      const auto action = static_cast<ExceptionAction>(i);
      const bool named = row.find(std::string(to_string(action)), choices) != std::string::npos;
      CAPTURE(to_string(action));
      CHECK(named == ExceptionActions{}.set(info.id, action));
    }
  }
}

TEST_CASE("each drop reason and fault of a packet says what to do about it", "[docs]") {
  const std::string text = document("dataplane.md");
  const size_t section = text.find("\n## Every reason for a drop");
  REQUIRE(section != std::string::npos);
  const auto check = [&](std::string_view name) {
    CAPTURE(name);
    const size_t at = text.find("\n| `" + std::string(name) + "` | ", section);
    REQUIRE(at != std::string::npos);
    const std::string row = text.substr(at + 1, text.find('\n', at + 1) - at - 1);
    REQUIRE(row.ends_with(" |"));
    const size_t cell = row.rfind(" | ", row.size() - 3);
    REQUIRE(cell != std::string::npos);
    CHECK(std::ranges::count(row, '|') == 4);
    CHECK(row.substr(cell + 3).size() > 10);
  };
  for (const auto& reason : kDropReasonInfo) check(reason.name);
  for (size_t i = 1; i < kDecodeFaultInfo.size(); ++i) check(kDecodeFaultInfo[i].name);
}

TEST_CASE("each counter, drop reason, fault and flow reason has its row in docs/dataplane.md",
          "[docs]") {
  const std::string text = document("dataplane.md");
  const auto check = [&](std::string_view name) {
    CAPTURE(name);
    CHECK(text.find("\n| `" + std::string(name) + "` |") != std::string::npos);
  };
  for (const auto& counter : kCounterInfo) check(counter.family);
  for (const FamilyUnit& family : kFamilyUnits) {
    CAPTURE(family.family);
    const std::string row =
        "\n| `" + std::string(family.family) + "` | " + std::string(family.unit) + " |";
    CHECK(text.find(row) != std::string::npos);
  }
  for (const auto& reason : kDropReasonInfo) check(reason.name);
  for (size_t i = 1; i < kDecodeFaultInfo.size(); ++i) check(kDecodeFaultInfo[i].name);
  for (size_t i = 1; i < kInspectFaultInfo.size(); ++i) check(kInspectFaultInfo[i].name);
  for (int i = 1; i < static_cast<int>(FlowReason::count_); ++i) {
    const auto reason = static_cast<FlowReason>(i);
    if (reason != FlowReason::inbound_pass) check(to_string(reason));
  }
}

TEST_CASE("each histogram has its row in docs/observability.md", "[docs]") {
  const std::string text = document("observability.md");
  for (const HistogramInfo& info : kHistogramInfo) {
    CAPTURE(info.family);
    CHECK(text.find("\n| `" + std::string(info.family) + "` | ") != std::string::npos);
  }
}
