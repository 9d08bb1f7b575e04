#include <catch2/catch.hpp>

#include "tests/support/policy_builder.h"

using sallyport::test::load_table;
using sallyport::test::policy_text;
using sallyport::test::say;

namespace {

struct Row {
  const char* flow;
  const char* says;
};

void check_all(const std::string& policy, std::initializer_list<Row> rows) {
  const auto table = load_table(policy);
  for (const Row& row : rows) {
    INFO(row.flow);
    CHECK(say(*table, row.flow) == row.says);
  }
}

}  // namespace

TEST_CASE("the first rule that matches decides") {
  check_all(policy_text(R"(
  egress:
    - {name: block, action: Deny, to: {domainNames: [bad.example.com]}}
    - {name: hub, action: Allow, to: {domainNames: ["*.example.com"]}, protocols: [tls: {ports: [443]}]}
    - {name: ssh, action: Allow, to: {cidrs: [203.0.113.0/24]}, protocols: [tcp: {ports: [22]}]}
)"),
            {
                {"app=tls name=a.example.com", "allow p/hub"},
                {"app=tls name=a.b.example.com", "allow p/hub"},
                {"app=tls name=bad.example.com", "deny p/block"},
                {"app=http name=a.example.com", "deny default_deny"},
                {"app=- name=- dst=203.0.113.9 tcp/22", "allow p/ssh"},
                {"dst=203.0.113.9 tcp/22 app=- name=bad.example.com", "deny p/block"},
                {"tcp/8443 app=tls name=a.example.com", "deny default_deny"},
            });
}
