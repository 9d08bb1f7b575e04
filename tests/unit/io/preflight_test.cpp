// What the data plane says at its start about how it fails.
#include "dataplane/io/preflight.h"

#include <algorithm>
#include <catch2/catch.hpp>

using namespace sallyport;

namespace {

std::vector<std::string> open_lines(const GatewayConfig& config) {
  std::vector<std::string> out;
  for (const Preflight& line : preflight(config, true)) {
    if (line.fails_open) out.push_back(line.text);
  }
  return out;
}

bool says(const GatewayConfig& config, bool has_policy, std::string_view text) {
  return std::ranges::any_of(preflight(config, has_policy), [&](const Preflight& line) {
    return line.text.find(text) != std::string::npos;
  });
}

}  // namespace

TEST_CASE("by default only a full log fails open", "[preflight]") {
  const auto lines = open_lines({});
  REQUIRE(lines.size() == 1);
  CHECK(lines.front() ==
        "fails open: exceptions.log_ring_full: pass-flow (There was no room for the record of an "
        "allowed flow's verdict)");
  CHECK(says({}, true, "fails closed: midstream reject, flow_table_full reject"));
}

TEST_CASE("each condition stands in exactly one of the two lists", "[preflight]") {
  for (const ExceptionInfo& info : kExceptionInfo) {
    GatewayConfig config;
    const bool may_pass = config.exceptions.set(info.id, ExceptionAction::pass_flow);
    CAPTURE(info.name);
    CHECK(says(config, true, "exceptions." + std::string(info.name) + ": pass-flow") == may_pass);
    CHECK(says(config, true,
               std::string(info.name) + " " + std::string(to_string(config.exceptions[info.id]))) !=
          may_pass);
  }
}

TEST_CASE("whatever else passes unread is named", "[preflight]") {
  GatewayConfig config;
  config.pass_inbound_flows = true;
  config.pass_http2_opening = true;
  config.exceptions.set(Exception::midstream, ExceptionAction::pass_flow);
  config.midstream_grace_seconds = 77;
  const auto lines = open_lines(config);
  REQUIRE(lines.size() == 4);
  CHECK(lines[0].find("midstream") != std::string::npos);
  CHECK(lines[0].find("for 77 s from now") != std::string::npos);
  CHECK(lines[2].find("inbound_flows: pass") != std::string::npos);
  CHECK(lines[3].find("inspection.http2_opening: pass") != std::string::npos);
}

TEST_CASE("it says what is denied for want of something", "[preflight]") {
  CHECK(says({}, false, "everything is denied until one is pushed"));
  CHECK(says({}, true, "last good policy"));
  CHECK(says({}, true, "binding.resolvers is empty"));
  GatewayConfig config;
  config.resolvers = {parse_ip_address("198.19.0.53").value()};
  CHECK_FALSE(says(config, true, "binding.resolvers"));
}
