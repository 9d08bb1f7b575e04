// What rules and panels for Prometheus, and our own programs, ask for by name or label is counted.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <set>
#include <string>

#include "dataplane/inspect/drop_reason.h"
#include "dataplane/inspect/exception.h"
#include "dataplane/inspect/fault_info.h"
#include "dataplane/io/counters.h"

using namespace sallyport;

namespace {

/// Label names and their values.
using Labels = std::map<std::string, std::set<std::string>>;

/// Each `name OP "value"` in `text`, the alternatives of a regular expression apart.
Labels labels_in(const std::string& text) {
  static const std::regex kMatcher(R"re((\w+)\s*(=~|!~|!=|=)\s*"?([^",}]*)"?)re");
  Labels out;
  for (std::sregex_iterator at(text.begin(), text.end(), kMatcher), end; at != end; ++at) {
    std::string values = (*at)[3];
    for (size_t from = 0; from <= values.size();) {
      const size_t to = std::min(values.find('|', from), values.size());
      out[(*at)[1]].insert(values.substr(from, to - from));
      from = to + 1;
    }
  }
  return out;
}

/// What the data plane counts, by family.
std::map<std::string, Labels> counted() {
  std::map<std::string, Labels> out;
  for (const CounterInfo& info : kCounterInfo) {
    for (const auto& [label, values] : labels_in(std::string(info.labels))) {
      out[std::string(info.family)][label].insert(values.begin(), values.end());
    }
    out[std::string(info.family)];
  }
  Labels& drops = out["sallyport_drops_total"];
  for (const DropReasonInfo& info : kDropReasonInfo) drops["reason"].emplace(info.name);
  for (size_t i = 1; i < kDecodeFaultInfo.size(); ++i) {
    drops["reason"].emplace(kDecodeFaultInfo[i].name);
  }
  drops["towards"] = {"inside", "outside"};
  auto& faults = out["sallyport_inspection_faults_total"]["fault"];
  for (size_t i = 1; i < kInspectFaultInfo.size(); ++i) faults.emplace(kInspectFaultInfo[i].name);
  for (const ExceptionInfo& info : kExceptionInfo) {
    out["sallyport_exceptions_total"]["condition"].emplace(info.name);
    out["sallyport_exception_fails_open"]["condition"].emplace(info.name);
  }
  return out;
}

std::string source(const std::string& name) {
  const char* root = std::getenv("SALLYPORT_SOURCE");
  REQUIRE(root != nullptr);
  std::ifstream in(std::string(root) + "/" + name);
  std::string text{std::istreambuf_iterator<char>(in), {}};
  REQUIRE(!text.empty());
  return text;
}

std::string config(const std::string& name) {
  static const std::regex kEscaped(R"(\\")");  // in JSON
  return std::regex_replace(source("configs/" + name), kEscaped, "\"");
}

/// "instance:sallyport_drops:rate5m" and "sallyport_drops" are "sallyport_drops_total".
std::string family_of(std::string name, const std::map<std::string, Labels>& known) {
  if (const size_t at = name.find("sallyport_"); at != std::string::npos) name.erase(0, at);
  name.erase(std::min(name.find(':'), name.size()));
  return known.contains(name) ? name : name + "_total";
}

}  // namespace

TEST_CASE("each label that rules and panels ask for, and its value, is counted", "[docs]") {
  const std::string name = GENERATE("prometheus/recording.yml", "prometheus/alerts.yml",
                                    "prometheus/tests.yml", "grafana/sallyport.json");
  CAPTURE(name);
  const std::map<std::string, Labels> known = counted();
  const std::string text = config(name);
  // Prometheus' own, and what the agent or a recording rule adds.
  const std::set<std::string> others{"instance", "core", "job", "le"};
  static const std::regex kSelector(R"re(([\w:]*sallyport_[\w:]+)\{([^{}]*)\})re");
  int values_checked = 0;
  for (std::sregex_iterator at(text.begin(), text.end(), kSelector), end; at != end; ++at) {
    const std::string selector = at->str();
    CAPTURE(selector);
    const auto family = known.find(family_of((*at)[1], known));
    if (family == known.end()) continue;  // of the agent, or a histogram
    for (const auto& [label, values] : labels_in((*at)[2])) {
      if (others.contains(label)) continue;
      CAPTURE(label);
      REQUIRE(family->second.contains(label));
      for (const std::string& value : values) {
        CAPTURE(value);
        CHECK(family->second.at(label).contains(value));
        ++values_checked;
      }
    }
  }
  CHECK(values_checked >= (name == "prometheus/alerts.yml" ? 0 : 2));
}

TEST_CASE("each family that programs ask the segment for by name is in it", "[docs]") {
  const std::string name =
      GENERATE("control/agent/health.cpp", "control/cli/drop_watch.cpp", "control/top/top_json.cpp",
               "control/top/top_model.cpp", "control/top/top_panes.cpp",
               "dataplane/io/telemetry_answers.cpp");
  CAPTURE(name);
  std::map<std::string, Labels> known = counted();
  for (const HistogramInfo& info : kHistogramInfo) known[std::string(info.family)];
  const std::string text = source(name);
  static const std::regex kLiteral(R"re("(sallyport_\w+)")re");
  int found = 0;
  for (std::sregex_iterator at(text.begin(), text.end(), kLiteral), end; at != end; ++at, ++found) {
    const std::string family = (*at)[1];
    if (family == "sallyport_") continue;  // a prefix
    CAPTURE(family);
    CHECK(known.contains(family));
  }
  CHECK(found > 0);
}
