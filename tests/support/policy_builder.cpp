#include "tests/support/policy_builder.h"

#include <catch2/catch.hpp>
#include <sstream>

namespace sallyport::test {
namespace {

IpAddress address(std::string_view text) {
  const auto parsed = parse_ip_address(text);
  if (!parsed) FAIL("bad address in a test: " << std::string(text));
  return *parsed;
}

}  // namespace

std::string policy_text(std::string_view spec, std::string_view name) {
  return "apiVersion: sallyport/v1\nkind: EgressPolicy\nmetadata: {name: " + std::string(name) +
         "}\nspec:\n" + std::string(spec);
}

std::unique_ptr<PolicyTable> load_table(const std::vector<SourceFile>& sources, unsigned workers) {
  const auto compiled = compile_policy(sources);
  if (!compiled) {
    std::string all;
    for (const Diagnostic& diagnostic : compiled.error()) all += to_string(diagnostic) + "\n";
    FAIL(all);
  }
  auto table = PolicyTable::load(compiled->image, workers);
  if (!table) FAIL("refused: " << std::string(to_string(table.error())));
  return std::move(*table);
}

std::unique_ptr<PolicyTable> load_table(const std::string& text) {
  return load_table(std::vector{SourceFile{"test.yaml", text}});
}

Flow::Flow(std::string_view text) {
  facts_.source = address("10.1.2.3");
  facts_.destination = address("198.51.100.1");
  facts_.ip_protocol = kIpProtocolTcp;
  facts_.destination_port = 443;
  std::istringstream words{std::string(text)};
  for (std::string word; words >> word;) set(word);
}

void Flow::set(std::string_view word) {
  const auto after = [word](std::string_view prefix) { return word.substr(prefix.size()); };
  if (word.starts_with("src=")) {
    facts_.source = address(after("src="));
  } else if (word.starts_with("dst=")) {
    facts_.destination = address(after("dst="));
  } else if (word.starts_with("app=")) {
    facts_.app_known = word == "app=-" ? Known::absent : Known::present;
    facts_.app = word == "app=http" ? AppProtocol::http : AppProtocol::tls;
  } else if (word.starts_with("name=")) {
    facts_.name_known = word == "name=-" ? Known::absent : Known::present;
    name_ = after("name=");
    facts_.name = name_;
  } else if (word.starts_with("tcp/") || word.starts_with("udp/")) {
    facts_.ip_protocol = word.starts_with("tcp") ? kIpProtocolTcp : kIpProtocolUdp;
    facts_.destination_port = static_cast<uint16_t>(std::stoi(std::string(after("tcp/"))));
  } else if (word == "icmp") {
    facts_.ip_protocol = kIpProtocolIcmp;
    facts_.destination_port = 0;
  } else {
    FAIL("bad word in a test's flow: " << std::string(word));
  }
}

std::string say(const PolicyTable& table, const Decision& decision) {
  std::string out(to_string(decision.verdict));
  if (decision.verdict == Verdict::pending) {
    if ((decision.waits_for & kFactApp) != 0) out += " app";
    if ((decision.waits_for & kFactName) != 0) out += " name";
    return out;
  }
  if (decision.reason != Reason::rule) return out + " " + std::string(to_string(decision.reason));
  const RuleInfo rule = table.rule(decision.rule);
  return out + " " + std::string(rule.policy) + "/" + std::string(rule.name);
}

std::string say(const PolicyTable& table, const Flow& flow) {
  return say(table, decide(table, flow.facts(), 0));
}

}  // namespace sallyport::test
