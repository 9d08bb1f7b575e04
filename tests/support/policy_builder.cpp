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
  const std::string_view key = word.substr(0, word.find('='));
  const std::string_view value = key == word ? "" : word.substr(key.size() + 1);
  if (key == "src") {
    facts_.source = address(value);
  } else if (key == "dst") {
    facts_.destination = address(value);
  } else if (word.starts_with("tcp/") || word.starts_with("udp/")) {
    facts_.ip_protocol = word.starts_with("tcp") ? kIpProtocolTcp : kIpProtocolUdp;
    facts_.destination_port = static_cast<uint16_t>(std::stoi(std::string(word.substr(4))));
  } else if (word == "icmp" || word == "icmpv6" || word == "gre") {
    facts_.ip_protocol = word == "icmp" ? kIpProtocolIcmp : word == "gre" ? 47 : kIpProtocolIcmpV6;
    facts_.destination_port = 0;
  } else if (key == "time") {
    facts_.unix_seconds = std::stoll(std::string(value));
  } else if (key == "binding") {
    facts_.binding_known = value == "bound" ? Known::present : Known::absent;
  } else if (key == "budget") {
    facts_.budget_spent = value == "spent";
  } else if (!set_application(key, value)) {
    FAIL("bad word in a test's flow: " << std::string(word));
  }
}

bool Flow::set_application(std::string_view key, std::string_view value) {
  const Known known = value == "-" ? Known::absent : Known::present;
  const std::string_view text = texts_.emplace_back(value);
  if (key == "app") {
    facts_.app_known = known;
    for (unsigned app = 0; app < static_cast<unsigned>(AppProtocol::count_); ++app) {
      if (to_string(static_cast<AppProtocol>(app)) == value) {
        facts_.app = static_cast<AppProtocol>(app);
      }
    }
  } else if (key == "name") {
    facts_.name_known = known;
    facts_.name = text;
  } else if (key == "alpn") {
    facts_.alpns_known = known;
    for (size_t at = 0; at <= text.size(); at = text.find(',', at) + 1) {
      alpns_.push_back(text.substr(at, text.find(',', at) - at));
      if (text.find(',', at) == std::string_view::npos) break;
    }
    facts_.alpns = alpns_;
  } else if (key == "ja4") {
    facts_.ja4_known = known;
    facts_.ja4 = text;
  } else if (key == "ech") {
    facts_.ech_known = value == "yes" ? Known::present : Known::absent;
  } else if (key == "method") {
    facts_.method_known = known;
    facts_.method = text;
  } else if (key == "path") {
    facts_.path_known = known;
    facts_.path = text;
  } else if (key.starts_with("header.")) {
    facts_.headers_known = Known::present;
    headers_.push_back({texts_.emplace_back(key.substr(7)), text});
    facts_.headers = headers_;
  } else if (key == "headers") {
    facts_.headers_known = known;
  } else {
    return false;
  }
  return true;
}

std::string say(const PolicyTable& table, const Decision& decision) {
  std::string out(to_string(decision.verdict));
  if (decision.verdict == Verdict::pending) {
    for (unsigned bit = 0; bit < kFactBits; ++bit) {
      const auto fact = static_cast<FactBit>(1u << bit);
      if ((decision.waits_for & fact) != 0) out += " " + std::string(to_string(fact));
    }
    return out;
  }
  if (decision.rule != kNoRule) {
    const RuleInfo rule = table.rule(decision.rule);
    out += " " + std::string(rule.policy) + "/" + std::string(rule.name);
  }
  if (decision.reason != Reason::rule) out += " " + std::string(to_string(decision.reason));
  return decision.would_deny ? out + " would_deny" : out;
}

std::string say(const PolicyTable& table, const Flow& flow) {
  return say(table, decide(table, flow.facts(), 0));
}

}  // namespace sallyport::test
